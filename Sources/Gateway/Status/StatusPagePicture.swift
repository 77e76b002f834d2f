// The status page's picture of the pipelines, and how a list of things is kept in step with its elements.

extension StatusPage {
    static let picture = #"""
        "use strict";

        // Text only ever goes in as text: names of workers and requests come from outside.
        function element(name, attributes = {}, ...children) {
          const made = document.createElement(name);
          for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
          made.append(...children);
          return made;
        }

        function put(node, text) {
          text = String(text);
          if (node.textContent !== text) node.textContent = text;
        }

        function mark(node, name, value) {
          if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
        }

        // Gives `parent` one child for each item, in order; a child stays the same as long as its key does, so that focus and
        // selection stay where they are.
        function keep(parent, items, keyOf, make, update) {
          const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
          let before = null;
          items.forEach((item, index) => {
            const key = String(keyOf(item, index));
            let child = old.get(key);
            if (child) {
              old.delete(key);
            } else {
              child = make(item);
              child.dataset.key = key;
            }
            const place = before ? before.nextElementSibling : parent.firstElementChild;
            if (place !== child) parent.insertBefore(child, place);
            update(child, item, index);
            before = child;
          });
          for (const child of old.values()) child.remove();
        }

        const percent = (share) => `${Math.round(share * 100)} %`;
        const count = (value) => Math.round(value).toLocaleString("en");
        function duration(seconds) {
          if (seconds < 0.00005) return "0 ms";
          if (seconds < 0.00995) return `${(seconds * 1000).toFixed(1)} ms`;
          if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
          if (seconds < 100) return `${seconds.toFixed(1)} s`;
          if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
          return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
        }
        const ago = (seconds) => seconds < 100 ? `${Math.max(0, Math.round(seconds))} s ago` : `${duration(seconds)} ago`;
        const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

        function meter(kind, word) {
          const bar = element("div", { class: `bar ${kind}`, role: "meter", "aria-valuemin": 0, "aria-valuemax": 100 }, element("i"));
          return element("div", { class: "meter" }, element("span", {}, word), bar, element("span"));
        }

        function setMeter(meter, share, text, label) {
          const [, bar, figure] = meter.children;
          bar.firstChild.style.setProperty("--share", Math.min(1, Math.max(0, share)));
          mark(bar, "aria-valuenow", Math.round(share * 100));
          mark(bar, "aria-valuetext", text);
          mark(bar, "aria-label", label);
          put(figure, percent(share));
        }

        function makeStage() {
          return element("li", { class: "stop" },
            element("div", { class: "edge", "aria-hidden": "true" }, element("i")),
            element("div", { class: "stage" }, element("b"), element("div", { class: "soft" }),
              meter("", "busy"), meter("kv", "KV"), element("div", { class: "soft" }), element("p", { class: "slow" })));
        }

        function updateStage(stop, stage, index, pipeline) {
          const [edge, card] = stop.children;
          const [title, place, busy, kv, times, slow] = card.children;
          const flows = pipeline.rows_in_flight > 0 || pipeline.rows_per_second >= 1;
          edge.classList.toggle("flows", flows && pipeline.is_standing);
          // From a slow drip to a quick run; never so quick that it flickers.
          edge.style.setProperty("--pace", `${(1.6 / (1 + Math.log10(1 + pipeline.rows_per_second))).toFixed(2)}s`);
          card.classList.toggle("works", stage.busy > 0.02);
          put(title, `Stage ${index}: ${stage.worker}`);
          const layers = `${stage.first_layer === stage.last_layer ? "layer" : "layers"} ${stage.layers}`;
          const state = stage.loaded < 1 ? `, ${percent(stage.loaded)} loaded` : stage.is_linked ? "" : ", being linked";
          put(place, layers + (stage.threads ? `, ${plural(stage.threads, "thread")}` : "") + state
            + (stage.silent_seconds > 1.5 ? `, silent for ${duration(stage.silent_seconds)}` : ""));
          setMeter(busy, stage.busy, percent(stage.busy), `stage ${index} busy`);
          const share = stage.kv_rows > 0 ? stage.kv_rows_used / stage.kv_rows : 0;
          setMeter(kv, share, `${count(stage.kv_rows_used)} of ${count(stage.kv_rows)} rows`, `stage ${index} KV cache in use`);
          put(times, stage.compute_seconds > 0
            ? `computes ${duration(stage.compute_seconds)}, waits ${duration(stage.wait_seconds)}, wire ${duration(stage.wire_seconds)}`
            : "at rest");
          put(slow, stage.slow ? `Slow: ${stage.slow}` : "");
          slow.hidden = !stage.slow;
        }

        function showPipelines(parent, pipelines, takenAt) {
          keep(parent, pipelines, (pipeline) => pipeline.name,
            (pipeline) => element("article", { class: "pipeline" }, element("h3"), element("p"),
              element("ol", { class: "way", "aria-label": `Stages of pipeline ${pipeline.name}, in the order that rows pass them` })),
            (card, pipeline) => {
              const [title, state, way] = card.children;
              put(title, pipeline.name);
              state.classList.toggle("bad", !pipeline.is_standing);
              const facts = pipeline.is_standing
                ? [plural(pipeline.requests, "request"), `${count(pipeline.decoding)} in decode`,
                  `${plural(pipeline.queued_rows, "prompt row")} queued`,
                  `${plural(pipeline.rows_in_flight, "row")} under way in ${plural(pipeline.micro_batches_in_flight, "micro-batch").replace(/hs$/, "hes")}`,
                  `${count(pipeline.rows_per_second)} rows/s`]
                : [`Down: ${pipeline.reason || "no worker is here"}`];
              if (pipeline.epoch) facts.push(`epoch ${pipeline.epoch.split(".").pop()} for ${duration(Math.max(0, takenAt - pipeline.since))}`);
              put(state, facts.join(" · "));
              keep(way, pipeline.stages, (stage, index) => `${index} ${stage.worker}`, makeStage,
                (stop, stage, index) => updateStage(stop, stage, index, pipeline));
            });
        }

        """#
}
