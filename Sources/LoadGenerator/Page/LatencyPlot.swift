// Latency against the offered rate.

/// One latency percentile and the median of every run, against the rate of the run.
struct LatencyPlot {
    /// `ttft`, `tpot` or `e2e`.
    let metric: String
    /// The percentile drawn as a solid line.
    let percentile: Double
    /// The promise; nil when there is none.
    let objective: PageObjective?
    let modes: [PageMode]

    /// One plot per promise; without promises one of the p99 TTFT.
    static func all(of content: PageContent) -> [LatencyPlot] {
        guard content.modes.contains(where: { !$0.runs.isEmpty }) else { return [] }
        guard !content.objectives.isEmpty else {
            return [LatencyPlot(metric: "ttft", percentile: 99, objective: nil, modes: content.modes)]
        }
        return content.objectives.map { objective in
            // Runs whose reports lack the promised percentile are still shown, by their p99.
            let isMeasured = content.modes.contains { mode in
                mode.runs.contains { $0.latencies[objective.metric]?.percentile(objective.percentile) != nil }
            }
            return LatencyPlot(
                metric: objective.metric, percentile: isMeasured ? objective.percentile : 99,
                objective: objective, modes: content.modes)
        }
    }

    /// A run's percentile on its way into the picture.
    private struct Point {
        var run: PageRun
        /// In milliseconds; nil beyond the upper edge.
        var milliseconds: Double?
        var interval: PageInterval?
    }

    /// In milliseconds.
    private var bound: Double? { objective?.boundMilliseconds }

    private var name: String { "\(PageText.metric(metric)) \(PageText.percentile(percentile))" }

    var figure: PlotFigure {
        let solid = modes.map { points($0, percentile) }
        let dashed = modes.map { points($0, 50) }
        let all = (solid + dashed).flatMap(\.self)
        let maxima = modes.compactMap { PageText.finite($0.maximalRate) }
        let latencies =
            all.compactMap(\.milliseconds) + [bound].compactMap(\.self)
            + all.compactMap(\.interval).flatMap { [$0.low, $0.high ?? $0.low] }
        let rates = Axis.covering(all.map(\.run.offeredRate) + maxima, ticks: 8)
            .titled("offered rate (requests/s)")
        let top = 32 + 17 * Double(min(max(maxima.count, 1), 4) - 1)
        var plot = Plot(
            top: top, bottom: top + 290, horizontal: rates,
            vertical: Axis.covering(latencies).titledLatency(PageText.metric(metric)))

        for points in solid + dashed {
            for point in points { plot.keepFree(x: plot.x(point.run.offeredRate), y: height(point, in: plot)) }
        }
        for (index, mode) in modes.enumerated() {
            guard let rate = PageText.finite(mode.maximalRate) else { continue }
            let label = "\(PageText.shortened(mode.name, to: 24)): \(PageText.number(rate))/s"
            plot.verticalBound(rate, label, styleClass: "maximum \(Plot.series(index))")
        }
        if let bound { plot.horizontalBound(bound, "bound \(PageText.latency(bound))") }
        for (index, points) in dashed.enumerated() where percentile != 50 {
            draw(points, "median", mode: modes[index].name, series: index, isMain: false, in: &plot)
        }
        for (index, points) in solid.enumerated() {
            draw(points, "solid", mode: modes[index].name, series: index, isMain: true, in: &plot)
        }
        let title = "\(name) against offered rate"
        return PlotFigure(
            title: title, caption: caption(maxima.isEmpty), legend: legend(solid: solid, all: all),
            picture: Plot.picture(
                height: top + 338,
                description: "\(title): \(PageText.count(modes.count, "mode")), "
                    + PageText.count(modes.reduce(0) { $0 + $1.runs.count }, "run"),
                [plot.drawing]))
    }

    private func caption(_ hasNoMaximum: Bool) -> String {
        var sentences: [String] = []
        if let objective, objective.percentile != percentile {
            let promised = PageText.percentile(objective.percentile)
            sentences.append("The promise is for \(promised), which these runs do not tell.")
        }
        if !hasNoMaximum { sentences.append("A vertical line marks the maximal QPS of its mode.") }
        if percentile != 50 { sentences.append("The dashed lines are medians.") }
        let hasOthers = modes.contains { $0.runs.contains { !PageVerdict($0.verdict).counts } }
        if hasOthers { sentences.append("Lines leave out runs that do not count.") }
        return sentences.joined(separator: " ")
    }

    /// By rate; runs that sent nothing or lack the metric have no point.
    private func points(_ mode: PageMode, _ percentile: Double) -> [Point] {
        let points = mode.runs.compactMap { run -> Point? in
            guard run.requests > 0, let latency = run.latencies[metric], PageText.finite(run.offeredRate) != nil,
                let measured = latency.percentile(percentile)
            else { return nil }
            if let value = measured.milliseconds, value.isNaN { return nil }
            let interval = percentile == 99 ? latency.p99Interval : nil
            return Point(
                run: run, milliseconds: PageText.finite(measured.milliseconds),
                interval: interval.flatMap { PageText.finite($0.low) == nil ? nil : $0 })
        }
        // Equal rates stay in the order they were made.
        return points.enumerated().sorted {
            ($0.element.run.offeredRate, $0.offset) < ($1.element.run.offeredRate, $1.offset)
        }.map(\.element)
    }

    private func height(_ point: Point, in plot: Plot) -> Double {
        point.milliseconds.map { plot.y($0) } ?? plot.top
    }

    private func draw(
        _ points: [Point], _ styleClass: String, mode: String, series: Int, isMain: Bool, in plot: inout Plot
    ) {
        plot.add("<g class=\"\(Plot.series(series))\">")
        // A point beyond the edge has no place to draw a line to.
        for part in Self.joined(points).split(whereSeparator: { $0.milliseconds == nil }) {
            plot.line(styleClass, part.map { (plot.x($0.run.offeredRate), height($0, in: plot)) })
        }
        for point in points {
            let x = plot.x(point.run.offeredRate)
            let y = height(point, in: plot)
            if let interval = point.interval {
                plot.segment("interval", x, plot.y(interval.low), x, interval.high.map { plot.y($0) } ?? plot.top)
            }
            let mark: PlotMark =
                switch (point.milliseconds, isMain) {
                case (nil, _): .beyond
                case (_, true): PageVerdict(point.run.verdict).mark
                case (_, false): .dot
                }
            plot.add(mark.drawing(x: x, y: y, tooltip: tooltip(point, mode, isMain: isMain)))
        }
        plot.add("</g>")
    }

    /// The points a line goes through: those that say something of the server, one for each rate. Of several runs at a
    /// rate the one with the most requests stands for it, of equals the last.
    private static func joined(_ points: [Point]) -> [Point] {
        points.filter { PageVerdict($0.run.verdict).counts }.reduce(into: []) { line, point in
            guard let last = line.last, last.run.offeredRate == point.run.offeredRate else {
                line.append(point)
                return
            }
            if point.run.requests >= last.run.requests { line[line.count - 1] = point }
        }
    }

    private func tooltip(_ point: Point, _ mode: String, isMain: Bool) -> String {
        let name = "\(PageText.metric(metric)) \(PageText.percentile(isMain ? percentile : 50))"
        let value = point.milliseconds.map { PageText.latency($0) } ?? "among the failed requests"
        var text = "\(mode) at \(PageText.rate(point.run.offeredRate)): \(name) \(value)"
        if let interval = point.interval {
            let high = interval.high.map { PageText.latency($0) } ?? "the failed requests"
            text += " (\(PageText.latency(interval.low)) to \(high))"
        }
        return text + ", \(point.run.verdict), \(point.run.purpose)"
    }

    private func legend(solid: [[Point]], all: [Point]) -> [LegendEntry] {
        var entries = modes.enumerated().map { index, mode in
            LegendEntry(
                sample: .line(styleClass: "solid"), series: Plot.series(index),
                text: "\(PageText.shortened(mode.name, to: 40)), \(PageText.percentile(percentile))")
        }
        if percentile != 50 { entries.append(LegendEntry(sample: .line(styleClass: "median"), text: "p50")) }
        var described: Set<PlotMark> = []
        let shown = Set(solid.flatMap(\.self).filter { $0.milliseconds != nil }.map { PageVerdict($0.run.verdict) })
        for verdict in PageVerdict.allCases where shown.contains(verdict) {
            guard described.insert(verdict.mark).inserted else { continue }
            entries.append(LegendEntry(sample: .mark(verdict.mark), text: verdict.legend))
        }
        if all.contains(where: { $0.milliseconds == nil }) {
            entries.append(LegendEntry(sample: .mark(.beyond), text: "lies among the failed requests"))
        }
        if all.contains(where: { $0.interval != nil }) {
            entries.append(LegendEntry(sample: .line(styleClass: "interval"), text: "confidence interval"))
        }
        if bound != nil { entries.append(LegendEntry(sample: .line(styleClass: "bound"), text: "bound")) }
        return entries
    }
}
