// A run second by second.

/// Offered, completed and failed requests per second above, open requests below.
struct TimelinePlot {
    /// More steps than this are too small to be seen.
    private static let mostSteps = 120

    /// A few seconds taken together.
    private struct Step {
        var second: Double
        var seconds: Double
        /// Means, in requests/s.
        var offered = 0.0
        var completed = 0.0
        var failed = 0.0
        /// Open requests, the mean.
        var inFlight = 0.0
    }

    private let index: Int
    private let mode: PageMode
    private let run: PageRun
    private let steps: [Step]

    /// - Parameters:
    ///   - mode: a mode.
    ///   - index: its place, which fixes the colour.
    /// - Returns: nil when the run in focus has no timeline.
    init?(_ mode: PageMode, index: Int) {
        guard let run = mode.focusRun else { return nil }
        let steps = Self.steps(run.timeline)
        guard !steps.isEmpty else { return nil }
        self.index = index
        self.mode = mode
        self.run = run
        self.steps = steps
    }

    private static func steps(_ timeline: [PageTick]) -> [Step] {
        let ticks = timeline.filter { PageText.finite(Double($0.second)) != nil }.sorted { $0.second < $1.second }
        guard let first = ticks.first?.second, let last = ticks.last?.second else { return [] }
        let width = (last - first) / mostSteps + 1
        return Dictionary(grouping: ticks) { ($0.second - first) / width }.sorted { $0.key < $1.key }.map {
            key, ticks in
            // The last step may be cut short by the end of the run.
            let begin = first + key * width
            let seconds = min(width, last + 1 - begin)
            var step = Step(second: Double(begin), seconds: Double(seconds))
            // A tick may stand for more than a second, so they are counted, not the seconds.
            let mean = { (value: (PageTick) -> Double) in
                ticks.reduce(0) { $0 + max(PageText.finite(value($1)) ?? 0, 0) } / Double(ticks.count)
            }
            step.offered = mean(\.offered)
            step.completed = mean(\.completed)
            step.failed = mean(\.failed)
            step.inFlight = mean(\.inFlight)
            return step
        }
    }

    private var hasFailures: Bool { steps.contains { $0.failed > 0 } }

    private var end: Double { steps.last.map { $0.second + $0.seconds } ?? 1 }

    var figure: PlotFigure {
        let seconds = Axis.linear(from: steps.first?.second ?? 0, to: end, ticks: 8).titled("time since start (s)")
        let rates = steps.flatMap { [$0.offered, $0.completed, $0.failed] }.max() ?? 1
        let open = steps.map(\.inFlight).max() ?? 1
        var above = Plot(
            top: 14, bottom: 204, horizontal: seconds,
            vertical: Axis.linear(from: 0, to: rates, ticks: 4).titled("requests/s"), printsHorizontal: false)
        var below = Plot(
            top: 224, bottom: 324, horizontal: seconds,
            vertical: Axis.linear(from: 0, to: open, ticks: 3).titled("in flight"))
        drawRates(in: &above)
        drawInFlight(in: &below)
        let title = "\(mode.name) at \(PageText.rate(run.offeredRate)), over time"
        let width = Int(steps.map(\.seconds).max() ?? 1)
        return PlotFigure(
            title: title,
            caption: "Means over "
                + (width > 1 ? "steps of \(width) s." : "each second."),
            legend: legend,
            picture: Plot.picture(
                height: 372, description: "\(title): requests per second and requests in flight",
                [above.drawing, below.drawing]))
    }

    /// A line with a level for each step; seconds without a tick are gaps.
    private func levels(_ value: (Step) -> Double, in plot: Plot) -> [[(x: Double, y: Double)]] {
        var parts: [[(x: Double, y: Double)]] = []
        var previousEnd = -Double.infinity
        for step in steps {
            if step.second > previousEnd { parts.append([]) }
            previousEnd = step.second + step.seconds
            let y = plot.y(value(step))
            parts[parts.count - 1] += [(plot.x(step.second), y), (plot.x(previousEnd), y)]
        }
        return parts
    }

    private func drawRates(in plot: inout Plot) {
        for part in levels(\.offered, in: plot) { plot.line("offered", part) }
        plot.add("<g class=\"\(Plot.series(index))\">")
        for part in levels(\.completed, in: plot) { plot.line("solid", part) }
        plot.add("</g>")
        for step in steps where step.failed > 0 {
            let count = PageText.number((step.failed * step.seconds).rounded())
            plot.add(rectangle("failed", step, plot.y(step.failed), plot, "\(count) failed \(place(step))"))
        }
        for step in steps {
            plot.add(
                rectangle(
                    "touch", step, plot.top, plot,
                    "\(place(step)): offered \(PageText.number(step.offered))/s, "
                        + "completed \(PageText.number(step.completed))/s, failed \(PageText.number(step.failed))/s"))
        }
    }

    private func drawInFlight(in plot: inout Plot) {
        plot.add("<g class=\"\(Plot.series(index))\">")
        for part in levels(\.inFlight, in: plot) {
            guard let first = part.first, let last = part.last else { continue }
            let outline = [(x: first.x, y: plot.bottom)] + part + [(x: last.x, y: plot.bottom)]
            plot.line("area", outline)
        }
        plot.add("</g>")
        for step in steps {
            let text = "\(place(step)): \(PageText.number(step.inFlight)) in flight on average"
            plot.add(rectangle("touch", step, plot.top, plot, text))
        }
    }

    /// `at 12 s`, `at 12 to 15 s`.
    private func place(_ step: Step) -> String {
        let begin = PageText.number(step.second)
        return step.seconds > 1 ? "at \(begin) to \(PageText.number(step.second + step.seconds)) s" : "at \(begin) s"
    }

    private func rectangle(_ styleClass: String, _ step: Step, _ top: Double, _ plot: Plot, _ tooltip: String) -> String
    {
        let left = plot.x(step.second)
        let width = max(plot.x(step.second + step.seconds) - left, 0.5)
        return "<rect class=\"\(styleClass)\" x=\"\(Plot.coordinate(left))\" y=\"\(Plot.coordinate(top))\" "
            + "width=\"\(Plot.coordinate(width))\" height=\"\(Plot.coordinate(max(plot.bottom - top, 0)))\">"
            + "<title>\(PageText.escaped(tooltip))</title></rect>"
    }

    private var legend: [LegendEntry] {
        var entries = [
            LegendEntry(sample: .line(styleClass: "offered"), text: "offered"),
            LegendEntry(sample: .line(styleClass: "solid"), series: Plot.series(index), text: "completed"),
        ]
        if hasFailures { entries.append(LegendEntry(sample: .area(styleClass: "failed"), text: "failed")) }
        return entries + [
            LegendEntry(sample: .area(styleClass: "area"), series: Plot.series(index), text: "in flight")
        ]
    }
}
