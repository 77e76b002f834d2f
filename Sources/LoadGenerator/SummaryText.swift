// Reports as small aligned tables for people.

import Foundation

/// Puts reports into words.
public struct SummaryText: Sendable {
    private let usesColor: Bool

    /// - Parameter usesColor: whether to write ANSI colour codes, which only terminals understand.
    public init(usesColor: Bool) {
        self.usesColor = usesColor
    }

    /// The text of one run, ending in a line feed.
    public func text(of report: RunReport) -> String {
        let summary = report.summary
        let settings = report.settings
        var lines = [
            "\(settings.target)  \(settings.model)  \(summary.mode)",
            "\(settings.arrivals.rawValue) arrivals at \(Self.number(summary.offeredRate))/s "
                + "for \(Duration.seconds(settings.durationS).shortText), seed \(settings.seed)",
            "",
        ]
        let rows = [("TTFT", summary.ttftMs), ("TPOT", summary.tpotMs), ("E2E", summary.e2eMs)]
        lines += Self.aligned(
            [["ms", "p50", "p90", "p99", "max"]]
                + rows.map { name, latency in
                    [name] + [latency.p50, latency.p90, latency.p99, latency.max].map { latencyText($0, latency) }
                })
        lines.append("")
        lines.append(counts(summary))
        lines += details(summary)
        if summary.failedTotal > 0 { lines.append("miss: that percentile lies among the failed requests") }
        if (1..<100).contains(summary.ttftMs.count) { lines.append("below 100 requests the p99 is the maximum") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The text of a ladder, ending in a line feed.
    public func text(of report: LadderReport) -> String {
        let settings = report.settings
        var lines = [
            "\(settings.target)  \(settings.model)",
            "\(settings.arrivals.rawValue) arrivals, seed \(settings.seed), "
                + "p99 TTFT bound \(Duration.milliseconds(report.ttftBoundMs).shortText), latencies in ms",
            "",
        ]
        var table = [
            ["mode", "req/s", "sent", "done", "failed", "achieved", "TTFT p50", "p90", "p99", "E2E p50", "", ""]
        ]
        for mode in report.modes {
            for rung in mode.rungs { table.append(row(rung, mode: mode.name)) }
        }
        if table.count > 1 { lines += Self.aligned(table) + [""] }
        for mode in report.modes { lines.append(conclusion(mode, against: report.modes.first)) }
        for mode in report.modes {
            for rung in mode.rungs { lines += failures(rung.summary).map { "\(mode.name): \($0)" } }
        }
        lines.append(report.note)
        return lines.joined(separator: "\n") + "\n"
    }

    private func row(_ rung: LadderReport.Rung, mode: String) -> [String] {
        let summary = rung.summary
        let ttft = summary.ttftMs
        var notes: [String] = []
        if let accuracy = summary.accuracy { notes.append("accuracy \(Self.number(accuracy))") }
        if let kept = summary.speculativePrefill?.keepRate { notes.append("kept \(Self.number(kept * 100)) %") }
        if summary.lateSends > 0 { notes.append("\(summary.lateSends) sent late") }
        // A lost rung's open requests were given up by the generator, not failed by the server.
        let givenUp = summary.ending == .lost ? summary.failed[FailureKind.unfinished.rawValue] ?? 0 : 0
        if summary.ending == .lost { notes.append("ended early" + (givenUp > 0 ? " with \(givenUp) open" : "")) }
        return [
            mode, Self.number(summary.offeredRate), "\(summary.requests)", "\(summary.completed)",
            "\(summary.failedTotal - givenUp)", Self.number(summary.achievedRate), latencyText(ttft.p50, ttft),
            latencyText(ttft.p90, ttft), latencyText(ttft.p99, ttft), latencyText(summary.e2eMs.p50, summary.e2eMs),
            verdict(rung.verdict), notes.joined(separator: ", "),
        ]
    }

    private func conclusion(_ mode: LadderReport.Mode, against base: LadderReport.Mode?) -> String {
        var parts = ["\(mode.name):"]
        if let unloaded = mode.unloadedTtftMs {
            parts.append("unloaded TTFT \(Self.latency(unloaded)) ms (median of \(mode.unloadedRequests))")
            if let base, let first = base.unloadedTtftMs, base != mode, unloaded > 0, first > 0 {
                let (ratio, word) = first >= unloaded ? (first / unloaded, "sooner") : (unloaded / first, "later")
                parts[parts.count - 1] += ", \(Self.number(ratio))x \(word) than \(base.name)"
            }
        } else {
            parts.append("no unloaded TTFT")
        }
        if let rate = mode.highestPassingRate {
            parts.append("; highest passing rate \(Self.number(rate))/s")
            if let first = base?.highestPassingRate, base != mode {
                parts[parts.count - 1] += ", \(Self.number(rate / first))x"
            }
        } else {
            parts.append("; no rate passed")
        }
        switch mode.ending {
        case .top: parts.append("(the ladder's top: it may sustain more)")
        case .budget: parts.append("(the time budget ended the climb)")
        case .interrupted: parts.append("(interrupted)")
        case .slow, .failures: break
        }
        return parts.joined(separator: " ").replacingOccurrences(of: " ;", with: ";")
    }

    private func counts(_ summary: RunSummary) -> String {
        let open = summary.interrupted > 0 ? ", \(summary.interrupted) open at the end" : ""
        // A Poisson window holds as many arrivals as its seed draws; the drawn rate is the one to compare with.
        let drawn = summary.scheduledRate.map { ", drawn \(Self.number($0))/s" } ?? ""
        return "completed \(summary.completed) of \(summary.requests), failed \(summary.failedTotal)\(open); "
            + "achieved \(Self.number(summary.achievedRate))/s\(drawn), asked \(Self.number(summary.offeredRate))/s; "
            + "\(summary.outputTokens) tokens"
    }

    private func details(_ summary: RunSummary) -> [String] {
        var lines = failures(summary)
        if summary.lateSends > 0 {
            let worst = summary.sendLatenessMs.max.map { ", the worst \(Self.latency($0)) ms" } ?? ""
            // A generator this late has measured itself as much as the server.
            let advice = summary.lateSends * 10 > summary.requests ? ": this machine is too busy for this rate" : ""
            lines.append("late sends \(summary.lateSends) of \(summary.requests) (over 5 ms\(worst))\(advice)")
        }
        if let prefill = summary.speculativePrefill, let prompt = prefill.promptTokens, let kept = prefill.keptTokens {
            let time = prefill.speculationMs.map { ", speculation \(Self.latency($0)) ms" } ?? ""
            let fallbacks = prefill.fallbacks > 0 ? ", \(prefill.fallbacks) fell back to dense" : ""
            lines.append("prefilled \(kept) of \(prompt) prompt tokens (medians)\(time)\(fallbacks)")
        }
        if let accuracy = summary.accuracy {
            lines.append("accuracy \(Self.number(accuracy)) (\(summary.judged) answers with a known right one)")
        }
        if summary.ending == .interrupted { lines.append("interrupted: this is what was measured until then") }
        return lines
    }

    private func failures(_ summary: RunSummary) -> [String] {
        summary.failed.filter { kind, count in
            count > 0 && !(summary.ending == .lost && kind == FailureKind.unfinished.rawValue)
        }.sorted { $0.key < $1.key }.map { kind, count in
            "\(count) \(kind.replacingOccurrences(of: "_", with: " ")): \(summary.failureExamples[kind] ?? "")"
        }
    }

    private func latencyText(_ value: Double?, _ latency: LatencySummary) -> String {
        value.map(Self.latency) ?? (latency.count == 0 ? "-" : "miss")
    }

    private func verdict(_ verdict: RungVerdict) -> String {
        guard usesColor else { return verdict.rawValue }
        let code =
            switch verdict {
            case .pass: "32"
            case .slow, .failures: "31"
            case .incomplete: "33"
            }
        return "\u{1B}[\(code)m\(verdict.rawValue)\u{1B}[0m"
    }

    /// Milliseconds: whole ones from 100 on, one place below, three below 1.
    private static func latency(_ milliseconds: Double) -> String {
        String(format: milliseconds >= 100 ? "%.0f" : milliseconds >= 1 ? "%.1f" : "%.3f", milliseconds)
    }

    /// Three significant digits without trailing zeros.
    private static func number(_ value: Double) -> String {
        value >= 1000 ? String(format: "%.0f", value) : String(format: "%.3g", value)
    }

    /// Columns of equal width: the first to the left, the rest to the right, but for the last, which runs free.
    private static func aligned(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { visibleCount($0[column]) }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - visibleCount(cell))
                if column == 0 || row.count > 5 && column >= row.count - 2 { return cell + padding }
                return padding + cell
            }.joined(separator: "  ").replacing(#/\s+$/#, with: "")
        }
    }

    private static func visibleCount(_ cell: String) -> Int {
        cell.replacing(/\u{1B}\[[0-9]*m/, with: "").count
    }
}
