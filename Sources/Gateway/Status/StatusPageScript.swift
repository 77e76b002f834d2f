// The status page's life: the stream of snapshots, and the lists and figures that they fill.

extension StatusPage {
    static let script = #"""
        "use strict";

        const by = (id) => document.getElementById(id);

        // What was kept of each piece of a prompt, a digit each, as one bar.
        function showMap(cell, request) {
          const map = request.kept_map || "";
          if (cell.dataset.map === map) return;
          cell.dataset.map = map;
          const svg = shape("svg", { class: "map", viewBox: `0 0 ${Math.max(1, map.length)} 1`, preserveAspectRatio: "none", role: "img" });
          svg.append(shape("rect", { class: "none", width: Math.max(1, map.length), height: 1 }));
          Array.from(map, Number).forEach((digit, index) => {
            if (digit > 0) svg.append(shape("rect", { x: index, width: 1.02, height: 1, "fill-opacity": (0.2 + 0.8 * digit / 9).toFixed(2) }));
          });
          svg.setAttribute("aria-label", map ? `of ${map.length} pieces ${Array.from(map).filter((digit) => digit === "9").length} are kept whole and ${Array.from(map).filter((digit) => digit === "0").length} not at all` : "not known yet");
          const text = cell.lastChild;
          cell.replaceChildren(svg, text);
        }

        const columns = ["", "", "prompt", "kept", "answer", "first token", "in all"];
        function makeRow() {
          const row = element("tr", { role: "row" });
          columns.forEach((name) => row.append(element("td", { role: "cell", "data-name": name })));
          row.children[3].append(element("span", { class: "soft" }));
          return row;
        }

        function showRow(row, request, takenAt) {
          const [id, state, prompt, kept, answer, first, all] = row.children;
          put(id, request.id);
          const words = [request.state];
          if (request.end && request.end !== request.state) words.push(`(${request.end})`);
          if (request.pipeline) words.push(`in ${request.pipeline}`);
          if (request.replays) words.push(`after ${plural(request.replays, "replay")}`);
          words.push(ago(takenAt - request.at));
          put(state, words.join(" "));
          state.classList.toggle("bad", request.state === "failed");
          put(prompt, plural(request.prompt_tokens, "token"));
          showMap(kept, request);
          put(kept.lastChild, request.kept_tokens == null ? "" : `${count(request.kept_tokens)} kept, ${percent(request.kept_tokens / Math.max(1, request.prompt_tokens))}`
            + (request.speculation_seconds == null ? "" : `, scored in ${duration(request.speculation_seconds)}`)
            + (request.fallback ? `; dense: ${request.fallback}` : ""));
          put(answer, plural(request.generated_tokens, "token"));
          put(first, request.ttft_seconds == null ? "-" : duration(request.ttft_seconds));
          put(all, request.seconds == null ? "-" : duration(request.seconds));
        }

        function show(status) {
          const at = status.taken_at;
          put(by("model"), status.model);
          document.title = `${status.not_ready ? "not ready - " : ""}${status.model} - Winnow`;
          put(by("release"), `Winnow ${status.release}, up for ${duration(status.uptime_seconds)}.`);
          const lately = status.history.filter((interval) => at - interval.at <= 70 && interval.ttft_median_seconds != null);
          const figures = [
            ["waiting", count(status.queue.waiting)], ["being scored", count(status.queue.scoring)], ["running", count(status.queue.running)],
            ["requests/s", status.rates.requests.toFixed(2)], ["prompt tokens/s", count(status.rates.prompt_tokens)],
            ["kept tokens/s", count(status.rates.kept_tokens)], ["answer tokens/s", count(status.rates.generated_tokens)],
            ["first token, median", lately.length ? duration(lately.at(-1).ttft_median_seconds) : "-"],
          ];
          keep(by("now"), figures, (figure) => figure[0], (figure) => element("div", {}, element("dt", {}, figure[0]), element("dd")),
            (box, figure) => put(box.lastChild, figure[1]));
          showPipelines(by("pipelines"), status.pipelines, at);
          const others = status.speculators.map((one) => [`s ${one.name}`, `Speculator ${one.name}: `
              + (!one.is_ready ? "not ready" : one.scoring ? `scores ${one.scoring}` : "at rest")
              + (status.speculators.length === 1 ? `, busy ${percent(Math.min(1, status.speculators_busy))}` : "")])
            .concat(status.spares.map((one) => [`w ${one.worker}`, `Spare ${one.role} ${one.worker}: `
              + (one.is_leaving ? "leaves" : one.layers ? `holds layers ${one.layers}` : "holds nothing yet")]));
          keep(by("others"), others, (one, index) => `${one[0]} ${index}`, () => element("li"), (chip, one) => put(chip, one[1]));
          showCharts(by("charts"), status.history, at);
          by("no-faults").hidden = status.faults.length > 0;
          keep(by("faults"), status.faults, (fault) => `${fault.at.toFixed(1)} ${fault.place} ${fault.kind}`, () => element("li"),
            (row, fault) => put(row, `${ago(at - fault.at)}, ${fault.place}: ${fault.reason} (${fault.kind})`));
          by("no-requests").hidden = status.requests.length > 0;
          by("requests").hidden = status.requests.length === 0;
          keep(by("requests").tBodies[0], status.requests, (request) => `${request.id} ${request.at.toFixed(1)}`, makeRow,
            (row, request) => showRow(row, request, at));
        }

        // What the screen says of the connection; a screen reader tells it only when it changes.
        function say(text, kind) {
          put(by("state"), text);
          by("state").className = `state ${kind}`;
        }

        const life = { stream: null, paused: false, seen: 0, newest: null };

        function take(text) {
          const status = JSON.parse(text);
          life.seen = Date.now();
          life.newest = status;
          if (life.paused) return;
          show(status);
          if (status.not_ready) say(`Not ready: ${status.not_ready}`, "bad");
          else say("Ready", "good");
        }

        // A stream where one is to be had; else a question every few seconds, and another try later.
        function connect() {
          const stream = new EventSource("status/stream");
          life.stream = stream;
          stream.onmessage = (event) => take(event.data);
          stream.onerror = () => {
            if (!life.paused) say("The coordinator does not answer; trying again", "bad");
            if (stream.readyState !== EventSource.CLOSED) return;
            ask(4);
          };
        }

        async function ask(times) {
          try {
            const answer = await fetch("status", { cache: "no-store" });
            if (answer.ok) take(await answer.text());
          } catch { /* Said already; the next try may reach it. */ }
          setTimeout(() => times > 0 ? ask(times - 1) : connect(), 3000);
        }

        by("pause").addEventListener("click", (event) => {
          life.paused = !life.paused;
          event.target.setAttribute("aria-pressed", life.paused);
          document.body.classList.toggle("paused", life.paused);
          if (life.paused) say("Paused", "");
          else if (life.newest) { show(life.newest); say("Live again", "good"); }
        });

        connect();

        """#
}
