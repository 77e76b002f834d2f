// A measurement as the report page shows it.

import Foundation

extension PageContent {
    /// Takes a measurement.
    public init(_ measurement: Measurement, objectives: [Objective]) {
        let settings = measurement.settings
        let title: String =
            switch settings.kind {
            case .run: "Latency at one load"
            case .ladder: "Latency by rate"
            case .search: "Maximal QPS"
            case .paper: "Maximal QPS by the paper's method"
            }
        self.init(
            title: title, facts: Self.facts(measurement),
            objectives: objectives.map { objective in
                PageObjective(
                    metric: objective.metric.rawValue, percentile: Double(objective.percentile.millionths) / 10_000,
                    boundMilliseconds: objective.bound.milliseconds)
            },
            modes: measurement.modes.map { PageMode($0) },
            comparisons: measurement.comparisons.map { comparison in
                PageComparison(
                    what: comparison.what, of: comparison.of, against: comparison.against, ratio: comparison.ratio,
                    low: comparison.low, high: comparison.high)
            },
            notes: Self.notes(measurement))
    }

    private static func facts(_ measurement: Measurement) -> [PageFact] {
        let settings = measurement.settings
        var facts = measurement.modes.map { PageFact(label: "\($0.name)", value: "\($0.target), model \($0.model)") }
        facts += [
            PageFact(label: "command", value: settings.command.joined(separator: " ")),
            PageFact(label: "prompts", value: settings.prompts),
            PageFact(label: "seed", value: "\(settings.seed)"),
            PageFact(label: "confidence", value: Share.percent(settings.confidence)),
            PageFact(label: "timeout", value: Duration.seconds(settings.timeoutS).shortText),
            PageFact(label: "load from", value: "\(settings.host), \(settings.system)"),
            PageFact(label: "winnow", value: settings.version),
            PageFact(label: "started", value: settings.startedAt.formatted(.iso8601)),
        ]
        for mode in measurement.modes {
            guard let run = mode.headlineRun, let hash = run.scheduleHash else { continue }
            facts.append(
                PageFact(
                    label: "schedule of \(mode.name)",
                    value: "\(run.arrivals), seed \(run.seed), \(run.requests) requests, hash \(hash)"))
        }
        return facts
    }

    private static func notes(_ measurement: Measurement) -> [String] {
        var notes = [
            "Latencies count from the time a request was due, not from its sending; a request that failed, was refused or timed out counts as slower than every answer.",
            "Intervals of percentiles: \(Share.percent(QuantileInterval.confidence)), by batch means; of latency ratios: \(Share.percent(Comparison.confidence)), by block bootstrap; of the ratio of maximal rates: from the confirmed to the lowest broken rates.",
        ]
        switch measurement.settings.kind {
        case .ladder: notes.append("Each rate was tried once: a quick estimate, not a verdict, unless it says VALID.")
        case .paper:
            notes.append(
                "The paper's method: equal gaps, the mean E2E of those that were answered, a rate fails when more than \(PaperRule.allowedTimeouts) requests time out. It proves nothing about a percentile."
            )
        case .run, .search: break
        }
        for mode in measurement.modes {
            for run in mode.runs where run.lateSends * 100 > run.requests {
                notes.append(
                    "\(mode.name) at \(RateText.perSecond(run.offeredRate)): \(run.lateSends) of \(run.requests) requests were sent over 5 ms late."
                )
            }
        }
        return Array(notes.prefix(40))
    }
}

extension PageMode {
    fileprivate init(_ mode: ModeSummary) {
        self.init(
            name: mode.name, verdict: mode.verdict.rawValue, verdictReason: mode.reasons.joined(separator: "; "),
            maximalRate: mode.verdict == .valid ? mode.maxQps : nil, passedRate: mode.passedQps,
            maximalRateHigh: mode.maxQpsBroken,
            promises: mode.objectives.map { PageMode.promise($0, runs: mode.decidedBy.count) },
            unloadedTTFTMilliseconds: mode.unloadedTtftMs,
            runs: mode.runs.enumerated().map { index, run in
                PageRun(run, regime: mode.regimes.flatMap { $0.indices.contains(index) ? $0[index] : nil })
            }, focus: mode.headline)
    }
}

extension PageMode {
    /// `TTFT p99 <= 2 s holds: 3 of 1400 requests of 2 runs missed it, 99.2 % sure.`
    fileprivate static func promise(_ objective: ObjectiveSummary, runs: Int) -> String {
        let sure = objective.holds ? objective.confidence : objective.confidenceOfBreach ?? 0
        return "\(objective.metric.name) \(objective.percentile) \u{2264} \(PageText.latency(objective.boundMs)) "
            + "\(objective.holds ? "holds" : "is broken"): \(objective.misses) of \(objective.samples) requests"
            + (runs > 1 ? " of \(runs) runs" : "") + " missed it, \(Share.sureness(sure)) sure."
    }
}

extension PageRun {
    fileprivate init(_ run: RunSummary, regime: PaperRule.Regime?) {
        let answered = run.series.ttftMs.compactMap(\.self).sorted()
        let count = min(answered.count, 500)
        let all = max(run.series.ttftMs.count, 1)
        self.init(
            offeredRate: run.offeredRate, achievedRate: run.achievedRate,
            purpose: regime.map { "\(run.purpose.rawValue), \($0.rawValue)" } ?? run.purpose.rawValue,
            verdict: run.verdict.rawValue, verdictReason: run.reasons.joined(separator: "; "), requests: run.requests,
            completed: run.completed, outputTokensPerSecond: run.outputTokensPerS,
            failedByKind: run.failed.filter { $0.value > 0 },
            latencies: [
                "ttft": PageLatency(run.ttftMs, run, .ttft), "tpot": PageLatency(run.tpotMs, run, .tpot),
                "e2e": PageLatency(run.e2eMs, run, .e2e),
            ].compactMapValues(\.self),
            missShares: run.objectives.map { $0.samples > 0 ? Double($0.misses) / Double($0.samples) : nil },
            accuracy: run.accuracy, judged: run.judged, keepRate: run.speculativePrefill?.keepRate,
            ttftQuantiles: (0..<count).map { answered[$0 * answered.count / count] },
            ttftFailures: Double(all - answered.count) / Double(all),
            timeline: run.timeline.offered.indices.map { index in
                let width = Double(run.timeline.stepS)
                return PageTick(
                    second: index * run.timeline.stepS, offered: Double(run.timeline.offered[index]) / width,
                    completed: Double(run.timeline.completed[index]) / width,
                    inFlight: run.timeline.inFlight[index], failed: Double(run.timeline.failed[index]) / width)
            },
            stages: run.server?.parts.map { PageStage(name: $0.name, busyShare: $0.busyShare, detail: $0.detail) }
                ?? [],
            bottleneck: run.server?.bottleneck)
    }
}

extension PageLatency {
    /// A metric no request has (the TPOT of single tokens) is left out.
    fileprivate init?(_ latency: LatencySummary, _ run: RunSummary, _ metric: LatencyMetric) {
        guard latency.count > 0, metric != .tpot || latency.mean != nil else { return nil }
        let others = run.objectives.filter { $0.metric == metric }.compactMap { objective in
            Double(objective.percentile.dropFirst()).map {
                PagePercentile($0, milliseconds: objective.observedMs)
            }
        }
        self.init(
            p50: latency.p50, p90: latency.p90, p95: latency.p95, p99: latency.p99, max: latency.max,
            mean: latency.mean,
            p99Interval: latency.p99Interval.map { PageInterval(low: $0.low, high: $0.high) }, others: others)
    }
}
