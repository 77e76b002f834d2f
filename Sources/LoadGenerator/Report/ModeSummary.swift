// What is known about one mode, as it goes into reports.

/// One mode of a report.
public struct ModeSummary: Codable, Sendable, Equatable {
    /// Its name.
    public var name: String
    /// The server's address.
    public var target: String
    /// The model asked for.
    public var model: String
    /// The verdict on ``maxQps``, or on the one run.
    public var verdict: Verdict
    /// Why it is not better.
    public var reasons: [String]
    /// The highest rate that is proved to keep every promise, requests per second; `null` without a search, or when none is.
    @OrNull public var maxQps: Double?
    /// The highest rate that kept every promise as measured, proved or not.
    @OrNull public var passedQps: Double?
    /// The lowest rate above it that was found to break one.
    @OrNull public var maxQpsBroken: Double?
    /// The promises, held against all of the runs that decided together.
    public var objectives: [ObjectiveSummary]
    /// The median TTFT without load.
    @OrNull public var unloadedTtftMs: Double?
    /// The median E2E without load.
    @OrNull public var unloadedEndToEndMs: Double?
    /// The regime of each run by the paper's method; absent otherwise.
    public var regimes: [PaperRule.Regime]?
    /// The indices of the runs the verdict stands on.
    public var decidedBy: [Int]
    /// The index of the run that shows the mode: the last of those that decided, or else of those that count; `null` where
    /// none of a search does.
    @OrNull public var headline: Int?
    /// Its runs, in the order they were made.
    public var runs: [RunSummary]

    /// The run that shows the mode.
    public var headlineRun: RunSummary? { headline.flatMap { runs.indices.contains($0) ? runs[$0] : nil } }

    /// The maximal rate, where a search found and proved it.
    var provedMaximum: Double? { verdict == .valid ? maxQps : nil }

    /// The runs the verdict stands on.
    private var decidingRuns: [RunSummary] { decidedBy.filter(runs.indices.contains).map { runs[$0] } }

    /// Their latencies, one run after the other.
    var decidingSeries: SeriesSummary { SeriesSummary(decidingRuns.map(\.series)) }

    /// Whether the latencies of the runs that decided may be held against another mode's: a run that was cut has the
    /// requests of its first part only, and confirmations that prove nothing are at a rate that means nothing.
    var isComparable: Bool {
        !decidingRuns.isEmpty
            && decidingRuns.allSatisfy { run in
                run.ending == .complete && run.verdict != .invalid && run.verdict != .interrupted
                    && (run.purpose == .run || run.purpose == .rung || run.purpose == .confirm && verdict == .valid)
            }
    }

    /// The lowest rate whose run proves that it breaks a promise; a run may break one by chance, and one whose requests
    /// were sent late says nothing about the server.
    func lowestRateProvedBroken(confidence: Double) -> Double? {
        runs.filter { run in
            run.verdict != .invalid
                && run.objectives.contains { !$0.holds && ($0.confidenceOfBreach ?? 0) >= confidence }
        }.map(\.offeredRate).min()
    }

    /// Takes a mode's result.
    public init(_ result: CampaignModeResult, kind: MeasurementKind) {
        name = result.name
        target = result.address
        model = result.model
        verdict = result.finding.verdict
        reasons = result.finding.reasons
        maxQps = result.finding.highest
        passedQps = result.finding.passed
        maxQpsBroken = result.finding.lowestBroken
        unloadedTtftMs = LatencySummary.milliseconds(result.unloaded?.median(.ttft))
        unloadedEndToEndMs = LatencySummary.milliseconds(result.unloaded?.median(.e2e))
        let deciding = result.finding.deciding.filter(result.runs.indices.contains)
        runs = result.runs.enumerated().map { index, run in
            let isOnTheWay = run.step.purpose == .bracket || run.step.purpose == .bisect
            return RunSummary(
                run.result, load: run.load, step: run.step, judgement: run.judgement, server: run.server,
                keepsSeries: !isOnTheWay || deciding.contains(index))
        }
        decidedBy = deciding
        objectives = (deciding.last.map { result.runs[$0].judgement.objectives } ?? []).map { objective in
            ObjectiveSummary(ObjectiveResult(objective.objective, deciding.map { result.runs[$0].result }))
        }
        if kind == .run, let run = runs.first {
            verdict = run.verdict
            reasons = run.reasons
        }
        if kind == .paper {
            regimes = PaperRule.regimes(
                result.runs.map { ($0.result.distribution(of: .e2e).meanMeasured, $0.judgement.verdict == .valid) })
        }
        // A run that does not count shows nothing of a search; the one run that was asked for is shown whatever came of it.
        headline =
            deciding.last ?? runs.indices.last { runs[$0].verdict != .invalid && runs[$0].verdict != .interrupted }
            ?? (kind == .run ? runs.indices.last : nil)
    }
}
