// Reports as small aligned tables for people.

import Foundation
import OutsideText

/// Puts reports into words.
public struct SummaryText: Sendable {
    private let usesColor: Bool

    /// - Parameter usesColor: whether to write ANSI colour codes, which only terminals understand.
    public init(usesColor: Bool) {
        self.usesColor = usesColor
    }

    /// The text of a measurement, ending in a line feed.
    public func text(of measurement: Measurement) -> String {
        var lines: [String] = []
        if measurement.settings.kind == .run, measurement.modes.count == 1, let mode = measurement.modes.first,
            let run = mode.runs.first
        {
            lines = single(run, of: mode)
        } else {
            lines = table(measurement)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The text of a comparison, ending in a line feed.
    public func text(of comparisons: [ComparisonSummary]) -> String {
        comparisons.map(line).joined(separator: "\n") + "\n"
    }

    /// One finished run in a line, for the log of a long search.
    public func line(of run: CampaignRun, mode: String) -> String {
        let ttft = run.result.distribution(of: .ttft)
        let p99 = ttft.quantile(.p99).map(\.shortText) ?? "among the failed"
        return "\(mode): \(run.step.purpose.rawValue) at \(RateText.perSecond(run.step.rate)), "
            + "\(run.result.records.count) requests, TTFT p99 \(p99): \(run.judgement.verdict.rawValue)"
    }

    private func single(_ run: RunSummary, of mode: ModeSummary) -> [String] {
        var lines = [
            "\(mode.target)  \(mode.model.shown)  \(mode.name)",
            "\(run.arrivals) arrivals at \(RateText.perSecond(run.offeredRate)) "
                + "for \(Duration.seconds(run.windowS).shortText), seed \(run.seed)",
            "",
        ]
        let rows = [("TTFT", run.ttftMs), ("TPOT", run.tpotMs), ("E2E", run.e2eMs)]
        lines += Self.aligned(
            [["ms", "p50", "p90", "p95", "p99", "max"]]
                + rows.map { name, latency in
                    [name]
                        + [latency.p50, latency.p90, latency.p95, latency.p99, latency.max]
                        .map { latencyText($0, latency) }
                })
        lines.append("")
        lines.append(counts(run))
        lines += details(run)
        if run.failedTotal > 0 { lines.append("miss: that percentile lies among the failed requests") }
        if (1..<100).contains(run.ttftMs.count) { lines.append("below 100 requests the p99 is the maximum") }
        for objective in run.objectives { lines.append(text(of: objective)) }
        if !run.objectives.isEmpty { lines.append("goodput \(RateText.perSecond(run.goodput))") }
        lines.append(verdict(mode.verdict, mode.reasons))
        return lines
    }

    private func table(_ measurement: Measurement) -> [String] {
        let settings = measurement.settings
        var lines: [String] = []
        for mode in measurement.modes {
            let server = "\(mode.target)  \(mode.model.shown)"
            if !lines.contains(server) { lines.append(server) }
        }
        let promises = settings.slo.isEmpty ? "" : ", \(settings.slo.joined(separator: ", "))"
        lines += ["seed \(settings.seed)\(promises), latencies in ms", ""]
        var table = [
            [
                "mode", "run", "req/s", "sent", "done", "failed", "achieved", "tok/s", "TTFT p50", "p90", "p95", "p99",
                "E2E p50", "mean", "", "",
            ]
        ]
        for mode in measurement.modes {
            for (index, run) in mode.runs.enumerated() {
                let regime = mode.regimes.flatMap { $0.indices.contains(index) ? $0[index].rawValue : nil }
                table.append(row(run, mode: mode.name, regime: regime))
            }
        }
        if table.count > 1 { lines += Self.aligned(table) + [""] }
        for mode in measurement.modes { lines.append(conclusion(mode, settings.kind)) }
        for mode in measurement.modes {
            let pooled = mode.decidedBy.count > 1 ? " (\(mode.decidedBy.count) runs)" : ""
            for objective in mode.objectives { lines.append("\(mode.name): \(text(of: objective))\(pooled)") }
            if let run = mode.headlineRun {
                if let server = run.server { lines.append("\(mode.name): \(server.bottleneck)") }
            }
            for run in mode.runs { lines += failures(run).map { "\(mode.name): \($0)" } }
        }
        lines += measurement.comparisons.map(line)
        var seen: Set<String> = []
        return lines.filter { $0.isEmpty || seen.insert($0).inserted }
    }

    private func row(_ run: RunSummary, mode: String, regime: String?) -> [String] {
        let ttft = run.ttftMs
        var notes: [String] = []
        if let accuracy = run.accuracy { notes.append("accuracy \(RateText.number(accuracy))") }
        if let kept = run.speculativePrefill?.keepRate { notes.append("kept \(RateText.number(kept * 100)) %") }
        if run.lateSends > 0 { notes.append("\(run.lateSends) sent late") }
        // A lost run's open requests were given up by the generator, not failed by the server.
        let givenUp = run.ending == .lost ? run.failed[FailureKind.unfinished.rawValue] ?? 0 : 0
        if run.ending == .lost { notes.append("ended early" + (givenUp > 0 ? " with \(givenUp) open" : "")) }
        return [
            mode, run.purpose.rawValue, RateText.number(run.offeredRate), "\(run.requests)", "\(run.completed)",
            "\(run.failedTotal - givenUp)", RateText.number(run.achievedRate), RateText.number(run.outputTokensPerS),
            latencyText(ttft.p50, ttft), latencyText(ttft.p90, ttft), latencyText(ttft.p95, ttft),
            latencyText(ttft.p99, ttft), latencyText(run.e2eMs.p50, run.e2eMs), latencyText(run.e2eMs.mean, run.e2eMs),
            regime ?? colored(run.verdict), notes.joined(separator: ", "),
        ]
    }

    private func conclusion(_ mode: ModeSummary, _ kind: MeasurementKind) -> String {
        var text = "\(mode.name): "
        if let unloaded = mode.unloadedTtftMs { text += "unloaded TTFT \(Self.latency(unloaded)) ms; " }
        if kind != .run { text += maximum(mode) + ", " }
        return text + verdict(mode.verdict, mode.reasons)
    }

    /// What is proved, or that nothing is, and what there is instead.
    private func maximum(_ mode: ModeSummary) -> String {
        let broken = mode.maxQpsBroken.map { RateText.number($0) }
        if let rate = mode.maxQps {
            let isMaximum = mode.verdict == .valid
            return "\(isMaximum ? "maximal QPS" : "proved at") \(RateText.number(rate))"
                + (broken.map { " (\($0) is too much)" } ?? "")
        }
        let known = [
            mode.passedQps.map { "\(RateText.number($0)) passed unproved" }, broken.map { "\($0) is too much" },
        ]
        let details = known.compactMap(\.self).joined(separator: ", ")
        return "no maximal QPS" + (details.isEmpty ? "" : " (\(details))")
    }

    private func verdict(_ verdict: Verdict, _ reasons: [String]) -> String {
        colored(verdict) + (reasons.isEmpty ? "" : ": " + reasons.joined(separator: "; "))
    }

    private func text(of objective: ObjectiveSummary) -> String {
        let observed = objective.observedMs.map { "measured \(Duration.milliseconds($0).shortText)" } ?? "not measured"
        let sure = objective.holds ? objective.confidence : objective.confidenceOfBreach ?? 0
        return
            "\(objective.metric.name) \(objective.percentile) <= \(Duration.milliseconds(objective.boundMs).shortText) "
            + "\(objective.holds ? "holds" : "is broken"): \(observed), \(objective.misses) of \(objective.samples) miss, "
            + "\(Share.sureness(sure)) sure"
    }

    private func line(_ comparison: ComparisonSummary) -> String {
        var text = "\(comparison.what): \(comparison.of) is \(RateText.number(comparison.ratio))x \(comparison.against)"
        switch (comparison.low, comparison.high) {
        case (let low?, let high?): text += " (\(RateText.number(low)) to \(RateText.number(high)))"
        case (let low?, nil): text += " (at least \(RateText.number(low)))"
        case (nil, let high?): text += " (at most \(RateText.number(high)))"
        case (nil, nil): break
        }
        return text
    }

    private func counts(_ run: RunSummary) -> String {
        let open = run.interrupted > 0 ? ", \(run.interrupted) open at the end" : ""
        // A Poisson window holds as many arrivals as its seed draws; the drawn rate is the one to compare with.
        let drawn = run.scheduledRate.map { ", drawn \(RateText.perSecond($0))" } ?? ""
        return "completed \(run.completed) of \(run.requests), failed \(run.failedTotal)\(open); "
            + "achieved \(RateText.perSecond(run.achievedRate))\(drawn), asked \(RateText.perSecond(run.offeredRate)); "
            + "\(run.outputTokens) tokens, \(RateText.number(run.outputTokensPerS)) tokens/s"
    }

    private func details(_ run: RunSummary) -> [String] {
        var lines = failures(run)
        if run.lateSends > 0 {
            let worst = run.sendLatenessMs.max.map { ", the worst \(Self.latency($0)) ms" } ?? ""
            lines.append("late sends \(run.lateSends) of \(run.requests) (over 5 ms\(worst))")
        }
        if let prefill = run.speculativePrefill, let prompt = prefill.promptTokens, let kept = prefill.keptTokens {
            let time = prefill.speculationMs.map { ", speculation \(Self.latency($0)) ms" } ?? ""
            let fallbacks = prefill.fallbacks > 0 ? ", \(prefill.fallbacks) fell back to dense" : ""
            lines.append("prefilled \(kept) of \(prompt) prompt tokens (medians)\(time)\(fallbacks)")
        }
        if let accuracy = run.accuracy {
            lines.append("accuracy \(RateText.number(accuracy)) (\(run.judged) answers with a known right one)")
        }
        if let server = run.server { lines.append("server: \(server.bottleneck)") }
        if run.ending == .interrupted { lines.append("interrupted: this is what was measured until then") }
        return lines
    }

    private func failures(_ run: RunSummary) -> [String] {
        run.failed.filter { kind, count in
            count > 0 && !(run.ending == .lost && kind == FailureKind.unfinished.rawValue)
        }.sorted { $0.key < $1.key }.map { kind, count in
            "\(count) \(kind.replacingOccurrences(of: "_", with: " ")): \(run.failureExamples[kind] ?? "")"
        }
    }

    private func latencyText(_ value: Double?, _ latency: LatencySummary) -> String {
        value.map(Self.latency) ?? (latency.count == 0 ? "-" : "miss")
    }

    private func colored(_ verdict: Verdict) -> String {
        guard usesColor else { return verdict.rawValue }
        let code =
            switch verdict {
            case .valid: "32"
            case .missed, .invalid: "31"
            case .inconclusive, .interrupted: "33"
            case .measured: "36"
            }
        return "\u{1B}[\(code)m\(verdict.rawValue)\u{1B}[0m"
    }

    /// Milliseconds: whole ones from 100 on, one place below, three below 1.
    private static func latency(_ milliseconds: Double) -> String {
        String(format: milliseconds >= 100 ? "%.0f" : milliseconds >= 1 ? "%.1f" : "%.3f", milliseconds)
    }

    /// Columns of equal width: the first to the left, the rest to the right, but for the last two of a wide table, which
    /// run free.
    private static func aligned(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { visibleCount($0[column]) }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - visibleCount(cell))
                let isLeft = column == 0 || (row.count > 8 && (column == 1 || column >= row.count - 2))
                return isLeft ? cell + padding : padding + cell
            }.joined(separator: "  ").replacing(#/\s+$/#, with: "")
        }
    }

    private static func visibleCount(_ cell: String) -> Int {
        cell.replacing(/\u{1B}\[[0-9]*m/, with: "").count
    }
}
