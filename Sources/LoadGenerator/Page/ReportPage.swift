// The report as one page.

/// Turns a measurement into a single HTML file that needs nothing else: no network, no scripts.
///
/// The same content gives the same bytes. The page is well-formed XML after its first line.
public struct ReportPage: Sendable {
    private let content: PageContent

    /// - Parameter content: what to show; numbers that cannot be drawn are left out of plots.
    public init(_ content: PageContent) {
        self.content = content
    }

    /// The whole file.
    public func html() -> String {
        let title = PageText.escaped(content.title)
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
            <title>\(title)</title>
            <style>
            \(PageStyle.text)</style>
            </head>
            <body>
            <main>
            <h1>\(title)</h1>
            \(PageHeadline(content: content).html)\(figures)\(tables)\(facts)\(notes)</main>
            </body>
            </html>

            """
    }

    private var figures: String {
        let modes = Array(content.modes.enumerated())
        let distribution = [DistributionPlot(content)?.figure].compactMap(\.self)
        return section("Latency", LatencyPlot.all(of: content).map(\.figure) + distribution)
            + section("Over time", modes.compactMap { TimelinePlot($0.element, index: $0.offset)?.figure })
            + section(
                "Where the time went", modes.compactMap { StagePlot($0.element, index: $0.offset)?.figure })
            + section("Answer quality", QualityPlot(content)?.figures ?? [])
    }

    private func section(_ title: String, _ figures: [PlotFigure]) -> String {
        guard !figures.isEmpty else { return "" }
        return "<h2>\(title)</h2>\n<div class=\"figures\">\n\(figures.map(\.html).joined())</div>\n"
    }

    private var tables: String {
        let html = RunTables(content: content).html
        return html.isEmpty ? "" : "<h2>All figures</h2>\n" + html
    }

    private var facts: String {
        guard !content.facts.isEmpty else { return "" }
        let entries = content.facts.map {
            "<dt>\(PageText.escaped($0.label))</dt><dd>\(PageText.escaped($0.value))</dd>\n"
        }
        return "<h2>To repeat it</h2>\n<dl>\n\(entries.joined())</dl>\n"
    }

    private var notes: String {
        guard !content.notes.isEmpty else { return "" }
        let entries = content.notes.map { "<li>\(PageText.escaped($0))</li>\n" }
        return "<h2>Notes</h2>\n<ul>\n\(entries.joined())</ul>\n"
    }
}
