// How the times to first token of the runs in focus are spread.

/// The cumulative distribution of TTFT, one curve per mode.
struct DistributionPlot {
    private struct Curve {
        /// The mode's place, which fixes the colour.
        var index: Int
        var mode: PageMode
        var run: PageRun
        /// Measured TTFT in milliseconds, ascending.
        var sorted: [Double]
        /// The share of requests without a TTFT.
        var failures: Double

        /// The share of requests up to and with a value.
        func share(_ index: Int) -> Double {
            Double(index + 1) / Double(sorted.count) * (1 - failures)
        }
    }

    /// More steps than this are too small to be seen.
    private static let mostSteps = 250

    private let curves: [Curve]
    private let objectives: [PageObjective]

    /// - Returns: nil when no run has order statistics.
    init?(_ content: PageContent) {
        curves = content.modes.enumerated().compactMap { index, mode in
            guard let run = mode.focusRun else { return nil }
            let sorted = run.ttftQuantiles.compactMap { PageText.finite($0) }.filter { $0 >= 0 }.sorted()
            guard !sorted.isEmpty else { return nil }
            let failures = min(max(PageText.finite(run.ttftFailures) ?? 0, 0), 1)
            return Curve(index: index, mode: mode, run: run, sorted: sorted, failures: failures)
        }
        guard !curves.isEmpty else { return nil }
        objectives = content.objectives.filter { $0.metric == "ttft" }
    }

    var figure: PlotFigure {
        let ends = curves.flatMap { [$0.sorted.first, $0.sorted.last].compactMap(\.self) }
        let horizontal = Axis.covering(ends + objectives.map(\.boundMilliseconds), ticks: 8).titledLatency("TTFT")
        let top = 32 + 17 * Double(min(max(objectives.count, 1), 3) - 1)
        var plot = Plot(
            top: top, bottom: top + 270, horizontal: horizontal, vertical: Axis.share.titledShare("requests"))
        for objective in objectives {
            plot.verticalBound(
                objective.boundMilliseconds,
                "\(PageText.percentile(objective.percentile)) bound \(PageText.latency(objective.boundMilliseconds))",
                styleClass: "bound")
        }
        for curve in curves { draw(curve, in: &plot) }
        let title = "Distribution of TTFT"
        return PlotFigure(
            title: title, caption: caption, legend: legend,
            picture: Plot.picture(
                height: top + 318, description: "\(title) of \(PageText.count(curves.count, "run"))", [plot.drawing]))
    }

    private var caption: String {
        "The share of requests with a first token within a time."
            + (curves.contains { $0.failures > 0 }
                ? " Failed requests never get there: the curve ends below 100 %." : "")
    }

    private func draw(_ curve: Curve, in plot: inout Plot) {
        let count = curve.sorted.count
        let steps = min(count, Self.mostSteps)
        var places: [(x: Double, y: Double)] = []
        var height = plot.bottom
        for step in 0..<steps {
            // Ends with the slowest whatever the number of steps.
            let index = (step + 1) * count / steps - 1
            let x = plot.x(curve.sorted[index])
            places.append((x, height))
            height = plot.y(curve.share(index))
            places.append((x, height))
        }
        if curve.failures == 0 { places.append((Plot.right, height)) }
        plot.add("<g class=\"\(Plot.series(curve.index))\">")
        plot.line("solid", places)
        for percentile in [50.0, 90, 99] {
            guard let value = curve.run.latencies["ttft"]?.percentile(percentile)?.milliseconds,
                let value = PageText.finite(value)
            else { continue }
            let text = "\(curve.mode.name): TTFT \(PageText.percentile(percentile)) \(PageText.latency(value))"
            plot.add(PlotMark.disc.drawing(x: plot.x(value), y: plot.y(percentile / 100), tooltip: text))
        }
        plot.add("</g>")
    }

    private var legend: [LegendEntry] {
        var entries = curves.map { curve in
            LegendEntry(
                sample: .line(styleClass: "solid"), series: Plot.series(curve.index),
                text: "\(PageText.shortened(curve.mode.name, to: 40)) at \(PageText.rate(curve.run.offeredRate))"
                    + (curve.failures > 0 ? ", \(PageText.percent(curve.failures)) failed" : ""))
        }
        entries.append(LegendEntry(sample: .mark(.disc), text: "p50, p90, p99"))
        if !objectives.isEmpty { entries.append(LegendEntry(sample: .line(styleClass: "bound"), text: "bound")) }
        return entries
    }
}
