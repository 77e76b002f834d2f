// The figures behind the plots.

/// All runs as tables.
struct RunTables {
    let content: PageContent

    private struct Row {
        var mode: String
        var run: PageRun
        var isFocus: Bool

        /// The cells every table begins with.
        var key: [Cell] { [.text(mode), .number(PageText.number(run.offeredRate))] }
    }

    /// A column's heading.
    private struct Head {
        var text: String
        var isNumber = false
        /// The columns it stands over.
        var span = 1

        var html: String {
            let styleClass = span > 1 ? " class=\"group\"" : isNumber ? " class=\"number\"" : ""
            let columns = span > 1 ? " colspan=\"\(span)\"" : ""
            let scope = span > 1 ? "colgroup" : "col"
            return "<th scope=\"\(scope)\"\(columns)\(styleClass)>\(PageText.escaped(text))</th>"
        }
    }

    /// A table cell; contents are unescaped but for `markup`.
    private enum Cell {
        case text(String)
        case number(String)
        case markup(String)

        var html: String {
            switch self {
            case .text(let text): "<td>\(PageText.escaped(text))</td>"
            case .number(let text): "<td class=\"number\">\(PageText.escaped(text))</td>"
            case .markup(let html): "<td>\(html)</td>"
            }
        }
    }

    /// The headings of ``Row/key``.
    private static let key = [Head(text: "mode"), Head(text: "offered /s", isNumber: true)]

    private var rows: [Row] {
        content.modes.flatMap { mode in
            let focus = mode.focusIndex
            return mode.runs.enumerated().map { Row(mode: mode.name, run: $0.element, isFocus: $0.offset == focus) }
        }
    }

    /// The tables, one after the other; empty without runs.
    var html: String {
        let rows = rows
        guard !rows.isEmpty else { return "" }
        return runs(rows) + latencies(rows) + failures(rows)
    }

    private func runs(_ rows: [Row]) -> String {
        let hasAccuracy = rows.contains { $0.run.accuracy != nil }
        let hasKeepRate = rows.contains { $0.run.keepRate != nil }
        let promises = content.objectives.enumerated().filter { index, _ in
            rows.contains { index < $0.run.missShares.count }
        }
        var figures = ["achieved /s", "tokens /s", "requests", "completed", "failed"]
        figures += promises.map { "missed \(PageText.promise($0.element))" }
        if hasAccuracy { figures += ["accuracy", "judged"] }
        if hasKeepRate { figures.append("kept") }
        let heads =
            Self.key + [Head(text: "purpose")] + figures.map { Head(text: $0, isNumber: true) }
            + [Head(text: "verdict"), Head(text: "reason")]
        let body = rows.map { row -> (cells: [Cell], isFocus: Bool) in
            let run = row.run
            var cells = row.key + [.text(run.purpose)]
            cells += [
                PageText.number(run.achievedRate), PageText.number(run.outputTokensPerSecond), "\(run.requests)",
                "\(run.completed)", "\(run.failed)",
            ].map { .number($0) }
            cells += promises.map { index, _ in
                .number(PageText.percent(index < run.missShares.count ? run.missShares[index] : nil))
            }
            if hasAccuracy { cells += [.number(PageText.percent(run.accuracy)), .number("\(run.judged)")] }
            if hasKeepRate { cells.append(.number(PageText.percent(run.keepRate))) }
            cells += [.markup(PageVerdict.badge(run.verdict)), .text(run.verdictReason)]
            return (cells, row.isFocus)
        }
        let note = rows.contains { $0.isFocus } ? "Bold rows are the runs shown in detail above." : ""
        return table("Runs", headRows: [heads], body, note: note)
    }

    private func latencies(_ rows: [Row]) -> String {
        let known = Set(rows.flatMap { $0.run.latencies.keys })
        let first = ["ttft", "tpot", "e2e"]
        let metrics = first.filter(known.contains) + known.subtracting(first).sorted()
        guard !metrics.isEmpty else { return "" }
        // Promised percentiles beside the usual ones have columns only where a run tells them.
        let percentiles = metrics.map { metric in
            let others = rows.flatMap { $0.run.latencies[metric]?.others ?? [] }.map(\.percentile)
            let usual: [Double] = [50, 90, 95, 99]
            return usual + Set(others.filter { 0 < $0 && $0 < 100 }).subtracting(usual).sorted()
        }
        let groups =
            [Head(text: "", span: Self.key.count)]
            + zip(metrics, percentiles).map { metric, percentiles in
                Head(text: "\(PageText.metric(metric)) (ms)", span: percentiles.count + 2)
            }
        let heads =
            Self.key
            + percentiles.flatMap { $0.map { PageText.percentile($0) } + ["max", "mean"] }
            .map { Head(text: $0, isNumber: true) }
        var hasMiss = false
        let body = rows.map { row -> (cells: [Cell], isFocus: Bool) in
            var cells = row.key
            for (metric, percentiles) in zip(metrics, percentiles) {
                let latency = row.run.requests > 0 ? row.run.latencies[metric] : nil
                let measured = percentiles.map { latency?.percentile($0) } + [latency?.slowest]
                let isMiss = measured.map { $0.map { $0.milliseconds == nil } ?? false }
                if isMiss.contains(true) { hasMiss = true }
                cells += zip(measured, isMiss).map { .number($1 ? "miss" : PageText.number($0?.milliseconds)) }
                cells.append(.number(PageText.number(latency?.mean)))
            }
            return (cells, row.isFocus)
        }
        return table(
            "Latencies", headRows: [groups, heads], body,
            note: hasMiss ? "miss: that percentile lies among the failed requests. Means leave them out." : "")
    }

    private func failures(_ rows: [Row]) -> String {
        let body = rows.flatMap { row in
            row.run.failedByKind.filter { $0.value > 0 }.sorted { $0.key < $1.key }
                .map { kind, count -> (cells: [Cell], isFocus: Bool) in
                    let words = kind.replacing("_", with: " ")
                    return (row.key + [.text(words), .number("\(count)")], false)
                }
        }
        guard !body.isEmpty else { return "" }
        let heads = Self.key + [Head(text: "what went wrong"), Head(text: "requests", isNumber: true)]
        return table("Failures", headRows: [heads], body, note: "")
    }

    private func table(
        _ title: String, headRows: [[Head]], _ body: [(cells: [Cell], isFocus: Bool)], note: String
    ) -> String {
        let head = headRows.map { "<tr>\($0.map(\.html).joined())</tr>\n" }
        let lines = body.map { "<tr\($0.isFocus ? " class=\"focus\"" : "")>\($0.cells.map(\.html).joined())</tr>\n" }
        return "<h3>\(title)</h3>\n<div class=\"wide\"><table>\n<thead>\n\(head.joined())</thead>\n"
            + "<tbody>\n\(lines.joined())</tbody>\n</table></div>\n"
            + (note.isEmpty ? "" : "<p class=\"muted\">\(note)</p>\n")
    }
}
