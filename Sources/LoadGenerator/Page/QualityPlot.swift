// Whether the answers stay right.

/// Accuracy against rate, and what rate each accuracy buys.
struct QualityPlot {
    private let modes: [(index: Int, mode: PageMode)]

    /// - Returns: nil when no run has an accuracy.
    init?(_ content: PageContent) {
        modes = content.modes.enumerated().filter { _, mode in
            mode.runs.contains { PageText.finite($0.accuracy) != nil }
        }.map { ($0.offset, $0.element) }
        guard !modes.isEmpty else { return nil }
    }

    /// The plots there is something to show in.
    var figures: [PlotFigure] { [againstRate, exchange].compactMap(\.self) }

    private struct Point {
        var run: PageRun
        var accuracy: Double
        /// 95 % Wilson interval; nil when the number of answers is unknown.
        var interval: (low: Double, high: Double)?
    }

    private func point(_ run: PageRun) -> Point? {
        guard let accuracy = PageText.finite(run.accuracy), PageText.finite(run.offeredRate) != nil else { return nil }
        let share = min(max(accuracy, 0), 1)
        return Point(run: run, accuracy: share, interval: Self.wilson(share, of: run.judged))
    }

    /// The Wilson score interval at 95 % (Wilson 1927).
    private static func wilson(_ share: Double, of count: Int) -> (low: Double, high: Double)? {
        guard count > 0 else { return nil }
        let z = 1.96
        let n = Double(count)
        let middle = share + z * z / (2 * n)
        let half = z * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
        let scale = 1 + z * z / n
        return (max(0, (middle - half) / scale), min(1, (middle + half) / scale))
    }

    /// Accuracies fill at least a tenth of the whole, so that noise does not look like a cliff.
    private func accuracyAxis(_ points: [Point]) -> Axis {
        let values = points.flatMap {
            [$0.accuracy, $0.interval?.low ?? $0.accuracy, $0.interval?.high ?? $0.accuracy]
        }
        let low = values.min() ?? 0
        let high = values.max() ?? 1
        let missing = max(0, 0.1 - (high - low)) / 2
        let start = max(0, min(low - missing, 0.9))
        let end = min(1, max(high + missing, 0.1))
        return Axis.linear(from: start, to: end, ticks: 5).titledShare("accuracy")
    }

    private func points(_ mode: PageMode) -> [Point] {
        let points = mode.runs.compactMap { point($0) }
        return points.enumerated().sorted {
            ($0.element.run.offeredRate, $0.offset) < ($1.element.run.offeredRate, $1.offset)
        }.map(\.element)
    }

    private var againstRate: PlotFigure {
        let lines = modes.map { points($0.mode) }
        let all = lines.flatMap(\.self)
        var plot = Plot(
            top: 16, bottom: 276,
            horizontal: Axis.covering(all.map(\.run.offeredRate), ticks: 8).titled("offered rate (requests/s)"),
            vertical: accuracyAxis(all))
        for ((index, mode), points) in zip(modes, lines) {
            plot.add("<g class=\"\(Plot.series(index))\">")
            plot.line(
                "solid",
                points.filter { PageVerdict($0.run.verdict).counts }.map {
                    (plot.x($0.run.offeredRate), plot.y($0.accuracy))
                })
            for point in points {
                let x = plot.x(point.run.offeredRate)
                if let interval = point.interval {
                    plot.segment("interval", x, plot.y(interval.low), x, plot.y(interval.high))
                }
                plot.add(PlotMark.disc.drawing(x: x, y: plot.y(point.accuracy), tooltip: tooltip(point, mode)))
            }
            plot.add("</g>")
        }
        let title = "Accuracy against offered rate"
        return PlotFigure(
            title: title, caption: all.contains { $0.interval != nil } ? "Thin lines are 95 % intervals." : "",
            legend: modes.map { index, mode in
                LegendEntry(
                    sample: .line(styleClass: "solid"), series: Plot.series(index),
                    text: PageText.shortened(mode.name, to: 40))
            },
            picture: Plot.picture(
                height: 324, description: "\(title): \(PageText.count(modes.count, "mode"))", [plot.drawing]))
    }

    /// One point a mode; nil when no mode has both a maximal rate and an accuracy.
    private var exchange: PlotFigure? {
        let known = modes.compactMap { index, mode -> (index: Int, mode: PageMode, point: Point, rate: Double)? in
            guard let rate = PageText.finite(mode.maximalRate), let point = mode.focusRun.flatMap({ point($0) })
            else { return nil }
            return (index, mode, point, rate)
        }
        guard !known.isEmpty else { return nil }
        var plot = Plot(
            top: 24, bottom: 276, horizontal: accuracyAxis(known.map(\.point)),
            vertical: Axis.linear(from: 0, to: known.map(\.rate).max() ?? 1).titled("maximal QPS (requests/s)"))
        for (_, _, point, rate) in known { plot.keepFree(x: plot.x(point.accuracy), y: plot.y(rate)) }
        for (index, mode, point, rate) in known {
            let (x, y) = (plot.x(point.accuracy), plot.y(rate))
            plot.add("<g class=\"\(Plot.series(index))\">")
            if let interval = point.interval {
                plot.segment("interval", plot.x(interval.low), y, plot.x(interval.high), y)
            }
            let text =
                "\(mode.name): maximal QPS \(PageText.number(rate)), accuracy \(PageText.percent(point.accuracy))"
            plot.add(PlotMark.disc.drawing(x: x, y: y, tooltip: text) + "</g>")
            plot.label(
                PageText.shortened(mode.name, to: 24),
                at: [
                    .init(x: x, y: y - 10, anchor: .middle), .init(x: x, y: y + 20, anchor: .middle),
                    .init(x: x + 10, y: y - 8, anchor: .start), .init(x: x - 10, y: y - 8, anchor: .end),
                    .init(x: x + 10, y: y + 18, anchor: .start), .init(x: x - 10, y: y + 18, anchor: .end),
                ])
        }
        let title = "Maximal QPS against accuracy"
        return PlotFigure(
            title: title, caption: "Up is faster, right is more often right.",
            legend: known.map { known in
                LegendEntry(
                    sample: .mark(.disc), series: Plot.series(known.index),
                    text: PageText.shortened(known.mode.name, to: 40))
            },
            picture: Plot.picture(
                height: 324, description: "\(title): \(PageText.count(known.count, "mode"))", [plot.drawing]))
    }

    private func tooltip(_ point: Point, _ mode: PageMode) -> String {
        var text =
            "\(mode.name) at \(PageText.rate(point.run.offeredRate)): "
            + "accuracy \(PageText.percent(point.accuracy))"
        if let interval = point.interval {
            text +=
                " (\(PageText.percent(interval.low)) to \(PageText.percent(interval.high)) "
                + "from \(PageText.count(point.run.judged, "answer")))"
        }
        return text
    }
}
