// The first thing on the page: what each mode sustains.

/// One card per mode, and the comparisons between them.
struct PageHeadline {
    let content: PageContent

    var html: String {
        var html = ""
        if !content.objectives.isEmpty {
            let promises = content.objectives.map { PageText.objective($0) }.joined(separator: ", ")
            html += "<p>Promised: \(PageText.escaped(promises)).</p>\n"
        }
        if content.modes.isEmpty {
            html += "<p>Nothing was measured.</p>\n"
        } else {
            let cards = content.modes.enumerated().map { card($0.element, series: Plot.series($0.offset)) }
            html += "<div class=\"cards\">\n\(cards.joined())</div>\n"
        }
        if !content.comparisons.isEmpty {
            html += "<ul class=\"comparisons\">\n\(content.comparisons.map(comparison).joined())</ul>\n"
        }
        return html
    }

    private func card(_ mode: PageMode, series: String) -> String {
        let (figure, meaning) = figure(mode)
        var details: [String] = []
        if PageText.finite(mode.maximalRate) != nil {
            details.append(
                PageText.finite(mode.maximalRateHigh).map { "The lowest rate that failed: \(PageText.rate($0))." }
                    ?? "No higher rate failed.")
        } else if let passed = PageText.finite(mode.passedRate) {
            details.append("\(PageText.rate(passed)) passed, unproved.")
        }
        details += mode.promises
        if let unloaded = PageText.finite(mode.unloadedTTFTMilliseconds) {
            details.append("TTFT without load: \(PageText.latency(unloaded)).")
        }
        if let accuracy = PageText.finite(mode.focusRun?.accuracy) {
            details.append("Accuracy \(PageText.percent(accuracy)).")
        }
        return "<section class=\"card \(series)\"><h2>\(PageText.escaped(mode.name))</h2>"
            + "<p class=\"figure\"><strong>\(figure)</strong> \(meaning)</p>"
            + "<p>\(PageVerdict.badge(mode.verdict)) \(PageText.escaped(mode.verdictReason))</p>"
            + (details.isEmpty ? "" : "<p class=\"muted\">\(PageText.escaped(details.joined(separator: " ")))</p>")
            + "</section>\n"
    }

    /// The number to remember, and what it is.
    private func figure(_ mode: PageMode) -> (number: String, meaning: String) {
        if let rate = PageText.finite(mode.maximalRate) { return (PageText.number(rate), "maximal QPS") }
        if PageText.finite(mode.passedRate) != nil { return (PageText.absent, "no rate proved") }
        guard let first = mode.runs.first else { return (PageText.absent, "no run") }
        // The rate of a search's run is not what the mode sustains, even where there is no other.
        if mode.runs.count == 1, first.purpose == RunPurpose.run.rawValue {
            return (PageText.number(first.offeredRate), "requests/s offered")
        }
        return (
            PageText.absent, mode.runs.contains { PageVerdict($0.verdict).counts } ? "no rate passed" : "no run counts"
        )
    }

    private func comparison(_ comparison: PageComparison) -> String {
        var interval = ""
        switch (PageText.finite(comparison.low), PageText.finite(comparison.high)) {
        case (let low?, let high?): interval = " (\(PageText.number(low)) to \(PageText.number(high)))"
        case (let low?, nil): interval = " (at least \(PageText.number(low)))"
        case (nil, let high?): interval = " (at most \(PageText.number(high)))"
        case (nil, nil): break
        }
        return "<li><strong>\(PageText.number(comparison.ratio))\u{D7}</strong>\(interval) "
            + "\(PageText.escaped(comparison.what)): \(PageText.escaped(comparison.of)) "
            + "against \(PageText.escaped(comparison.against))</li>\n"
    }
}
