// How busy each part of the server was.

/// One horizontal bar per stage.
struct StagePlot {
    /// More stages than this are left out, the least busy first.
    private static let mostStages = 40
    private static let rowHeight = 46.0

    private let index: Int
    private let mode: PageMode
    private let run: PageRun
    private let stages: [PageStage]

    /// - Parameters:
    ///   - mode: a mode.
    ///   - index: its place, which fixes the colour.
    /// - Returns: nil when the run in focus knows no stages.
    init?(_ mode: PageMode, index: Int) {
        guard let run = mode.focusRun, !run.stages.isEmpty else { return nil }
        self.index = index
        self.mode = mode
        self.run = run
        let busiest = run.stages.indices.sorted { Self.busy(run.stages[$0]) > Self.busy(run.stages[$1]) }
        stages = busiest.prefix(Self.mostStages).sorted().map { run.stages[$0] }
    }

    private static func busy(_ stage: PageStage) -> Double {
        min(max(PageText.finite(stage.busyShare) ?? 0, 0), 1)
    }

    var figure: PlotFigure {
        let height = Double(stages.count) * Self.rowHeight + 8
        let shares = Axis.linear(from: 0, to: 1, ticks: 10).titledShare("busy share of the run")
        let bottom = 8 + height
        let title = "\(mode.name) at \(PageText.rate(run.offeredRate)): busy stages"
        var drawing = ""
        let x = { (share: Double) in Self.left + shares.share(of: share) * (Self.right - Self.left) }
        for tick in shares.ticks {
            let place = Plot.coordinate(x(tick))
            drawing +=
                "<line class=\"grid\" x1=\"\(place)\" y1=\"8\" x2=\"\(place)\" y2=\"\(Plot.coordinate(bottom))\"/>"
            drawing += text(shares.label(tick), x(tick), bottom + 18, "tick middle")
        }
        drawing += text(shares.title, (Self.left + Self.right) / 2, bottom + 38, "name middle")
        drawing += "<g class=\"\(Plot.series(index))\">"
        for (row, stage) in stages.enumerated() {
            drawing += bar(stage, top: 12 + Double(row) * Self.rowHeight, end: x(Self.busy(stage)))
        }
        drawing += "</g>"
        let left = run.stages.count - stages.count
        let omission = left > 0 ? " The \(left) least busy are left out." : ""
        return PlotFigure(
            title: title, caption: (run.bottleneck ?? "") + omission,
            legend: [
                LegendEntry(sample: .area(styleClass: "bar"), series: Plot.series(index), text: "busy"),
                LegendEntry(sample: .area(styleClass: "rest"), text: "idle or waiting"),
            ],
            picture: Plot.picture(
                height: bottom + 48, description: "\(title): \(PageText.count(stages.count, "stage"))", [drawing]))
    }

    private static let left = 12.0
    private static let right = Plot.width - 24

    private func bar(_ stage: PageStage, top: Double, end: Double) -> String {
        let name = PageText.shortened(stage.name, to: 32)
        let share = PageText.percent(PageText.finite(stage.busyShare))
        let detail = PageText.shortened(stage.detail, to: 76 - name.count)
        let tooltip = "\(stage.name): busy \(share)" + (stage.detail.isEmpty ? "" : ", \(stage.detail)")
        return text("\(name)  \(share)", Self.left, top + 14, "label start")
            + text(detail, Self.right, top + 14, "tick end")
            + "<rect class=\"rest\" x=\"\(Plot.coordinate(Self.left))\" y=\"\(Plot.coordinate(top + 20))\" "
            + "width=\"\(Plot.coordinate(Self.right - Self.left))\" height=\"16\"/>"
            + "<rect class=\"bar\" x=\"\(Plot.coordinate(Self.left))\" y=\"\(Plot.coordinate(top + 20))\" "
            + "width=\"\(Plot.coordinate(end - Self.left))\" height=\"16\">"
            + "<title>\(PageText.escaped(tooltip))</title></rect>"
    }

    private func text(_ content: String, _ x: Double, _ y: Double, _ styleClass: String) -> String {
        "<text class=\"\(styleClass)\" x=\"\(Plot.coordinate(x))\" y=\"\(Plot.coordinate(y))\">"
            + "\(PageText.escaped(content))</text>"
    }
}
