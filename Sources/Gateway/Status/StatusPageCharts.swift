// The status page's curves of the last minutes.

extension StatusPage {
    static let charts = #"""
        "use strict";

        const drawing = "http://www.w3.org/2000/svg";
        function shape(name, attributes = {}, text = "") {
          const made = document.createElementNS(drawing, name);
          for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
          if (text) made.textContent = text;
          return made;
        }

        const size = { width: 320, height: 130, left: 44, right: 6, top: 8, bottom: 18 };
        const minutes = 10;

        // The next of 1, 2, 5, 10, ... above a value.
        function ceiling(value) {
          if (!(value > 0)) return 1;
          const power = 10 ** Math.floor(Math.log10(value));
          return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
        }

        // `curves`: { key, name, of(interval) }; a gap where a value is null.
        function showChart(figure, history, takenAt, { title, curves, text, top }) {
          if (!figure.firstChild) {
            const caption = element("figcaption", {}, title);
            curves.forEach((curve) => caption.append(element("span", { class: `key ${curve.key}`, "aria-hidden": "true" }), curve.name));
            figure.append(caption, shape("svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img" }));
          }
          const values = curves.flatMap((curve) => history.map(curve.of)).filter((value) => value != null);
          const most = top ?? ceiling(Math.max(0, ...values));
          const x = (at) => size.width - size.right - (takenAt - at) / (minutes * 60) * (size.width - size.left - size.right);
          const y = (value) => size.height - size.bottom - Math.min(1, value / most) * (size.height - size.top - size.bottom);
          const parts = [];
          for (const share of [0, 0.5, 1]) {
            parts.push(shape("line", { class: "grid", x1: size.left, x2: size.width - size.right, y1: y(share * most), y2: y(share * most) }),
              shape("text", { x: size.left - 4, y: y(share * most) + 4, "text-anchor": "end" }, text(share * most)));
          }
          for (const minute of [10, 5, 0]) {
            parts.push(shape("text", { x: x(takenAt - minute * 60), y: size.height - 3, "text-anchor": minute === 10 ? "start" : minute ? "middle" : "end" },
              minute ? `-${minute} min` : "now"));
          }
          for (const curve of curves) {
            const group = shape("g", { class: curve.key });
            let path = "";
            let pen = false;
            for (const interval of history) {
              const value = curve.of(interval);
              const at = Math.max(x(interval.at + 5), size.left);
              if (value == null) { pen = false; continue; }
              path += `${pen ? "L" : "M"}${at.toFixed(1)} ${y(value).toFixed(1)}`;
              // A lone value would be no line.
              if (!pen) group.append(shape("circle", { cx: at.toFixed(1), cy: y(value).toFixed(1), r: 2 }));
              pen = true;
            }
            if (path) group.append(shape("path", { d: path }));
            parts.push(group);
          }
          const svg = figure.lastChild;
          const last = curves.map((curve) => {
            const seen = history.map(curve.of).filter((value) => value != null);
            return seen.length ? `${curve.name} from ${text(Math.min(...seen))} to ${text(Math.max(...seen))}, last ${text(seen.at(-1))}` : `${curve.name}: nothing yet`;
          });
          mark(svg, "aria-label", `${title}, last ten minutes: ${last.join("; ")}`);
          svg.replaceChildren(...parts);
        }

        const charts = [
          { title: "Time to first token", text: duration, curves: [
            { key: "first", name: "median", of: (interval) => interval.ttft_median_seconds },
            { key: "second", name: "p95", of: (interval) => interval.ttft_p95_seconds }] },
          { title: "Requests", text: (value) => String(+value.toFixed(1)), curves: [
            { key: "first", name: "running", of: (interval) => interval.running },
            { key: "second", name: "waiting", of: (interval) => interval.waiting }] },
          { title: "Kept of the prompts", text: percent, top: 1, curves: [
            { key: "first", name: "share", of: (interval) => interval.prompt_tokens > 0 ? interval.kept_tokens / interval.prompt_tokens : null }] },
        ];

        function showCharts(parent, history, takenAt) {
          keep(parent, charts, (chart) => chart.title, () => element("figure", { class: "chart" }),
            (figure, chart) => showChart(figure, history, takenAt, chart));
        }

        """#
}
