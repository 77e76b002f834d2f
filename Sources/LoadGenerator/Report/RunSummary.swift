// The numbers of one run, as they go into reports.

/// One promise held against a run.
public struct ObjectiveSummary: Codable, Sendable, Equatable {
    /// What is promised.
    public var metric: LatencyMetric
    /// For how many requests, such as `p99`.
    public var percentile: String
    /// The bound.
    public var boundMs: Double
    /// The percentile as measured; `null` when it lies among the failed requests.
    @OrNull public var observedMs: Double?
    /// Requests it applies to.
    public var samples: Int
    /// Those that broke it, failures included.
    public var misses: Int
    /// Whether the percentile as measured keeps the bound.
    public var holds: Bool
    /// How sure the run makes one that it does, 0...1.
    public var confidence: Double
    /// How sure the run makes one that it does not, 0...1; absent in reports of older versions.
    public var confidenceOfBreach: Double?

    init(_ result: ObjectiveResult) {
        metric = result.objective.metric
        percentile = result.objective.percentile.name
        boundMs = LatencySummary.rounded(result.objective.bound.milliseconds)
        observedMs = LatencySummary.milliseconds(result.observed)
        samples = result.samples
        misses = result.misses
        holds = result.isObserved
        confidence = (result.confidence * 1e6).rounded() / 1e6
        confidenceOfBreach = (result.confidenceOfBreach * 1e6).rounded() / 1e6
    }
}

/// The numbers of one run.
public struct RunSummary: Codable, Sendable, Equatable {
    /// The version of the fields; it grows when one changes its meaning.
    public static let schemaVersion = 3

    /// Why the run was made.
    public var purpose: RunPurpose
    /// What it says.
    public var verdict: Verdict
    /// Why the verdict is not better.
    public var reasons: [String]
    /// The promises.
    public var objectives: [ObjectiveSummary]
    /// The rate asked for, requests per second; of a closed loop, what was sent.
    public var offeredRate: Double
    /// Arrivals in the schedule divided by its span: what the seed drew.
    @OrNull public var scheduledRate: Double?
    /// Whole answers divided by the time from the window's start to its end, or to the last of them if later.
    public var achievedRate: Double
    /// Requests per second that kept every promise.
    public var goodput: Double
    /// The kind of arrivals, or `closed:USERS`.
    public var arrivals: String
    /// The seed of the arrivals.
    public var seed: UInt64
    /// Tells this schedule from others; `null` in a closed loop.
    @OrNull public var scheduleHash: String?
    /// The length of the window, in seconds.
    public var windowS: Double
    /// Requests that were due before the run ended; the percentiles stand on these, less the interrupted ones.
    public var requests: Int
    /// Whole answers.
    public var completed: Int
    /// Requests without a whole answer, by kind; kinds that did not occur are 0.
    public var failed: [String: Int]
    /// One message for each kind that did occur.
    public var failureExamples: [String: String]
    /// Requests that were open when the user ended the run: neither answers nor failures.
    public var interrupted: Int
    /// Time to first token, from the scheduled time.
    public var ttftMs: LatencySummary
    /// Time per output token after the first; answers of one token have none.
    public var tpotMs: LatencySummary
    /// End-to-end latency, from the scheduled time.
    public var e2eMs: LatencySummary
    /// Requests sent more than 5 ms after their time.
    public var lateSends: Int
    /// How late requests were sent.
    public var sendLatenessMs: LatencySummary
    /// Median prompt length in tokens, as the server counts.
    @OrNull public var promptTokens: Int?
    /// Tokens of all whole answers.
    public var outputTokens: Int
    /// The same per second, over the time of ``achievedRate``.
    public var outputTokensPerS: Double
    /// The share of right answers among the whole ones whose right answer is known.
    @OrNull public var accuracy: Double?
    /// How many answers that share stands on.
    public var judged: Int
    /// What the server said it did to the prompts.
    @OrNull public var speculativePrefill: PrefillSummary?
    /// Where the server's time went, if it says.
    @OrNull public var server: ServerWork?
    /// Rates second by second.
    public var timeline: Timeline
    /// Latencies in schedule order: what a comparison stands on.
    public var series: SeriesSummary
    /// Why the run ended.
    public var ending: RunResult.Ending

    /// All failures.
    public var failedTotal: Int { failed.values.reduce(0, +) }

    /// Counts and sorts the records of a run.
    ///
    /// - Parameter keepsSeries: whether the latencies are kept one by one; those of the runs on a search's way tell nothing.
    public init(
        _ result: RunResult, load: Load, step: RateStep, judgement: Judgement, server: ServerWork? = nil,
        keepsSeries: Bool = true
    ) {
        let measured = result.measured
        let whole = measured.filter { $0.outcome == .completed }
        purpose = step.purpose
        verdict = judgement.verdict
        reasons = judgement.reasons
        objectives = judgement.objectives.map(ObjectiveSummary.init)
        goodput = LatencySummary.rounded(judgement.goodput)
        let span = result.span.seconds
        let last = max(span, whole.map(\.end.seconds).max() ?? 0)
        achievedRate = last > 0 ? LatencySummary.rounded(Double(whole.count) / last) : 0
        windowS = LatencySummary.rounded(span)
        switch load {
        case .open(let schedule):
            offeredRate = schedule.rate
            let planned = schedule.span.seconds
            scheduledRate = planned > 0 ? LatencySummary.rounded(Double(schedule.offsets.count) / planned) : nil
            arrivals = schedule.process.name
            seed = schedule.seed
            scheduleHash = schedule.digest
        case .closed(let concurrency, _):
            offeredRate = span > 0 ? LatencySummary.rounded(Double(result.records.count) / span) : 0
            scheduledRate = nil
            arrivals = "closed:\(concurrency)"
            seed = step.seed
            scheduleHash = nil
        }
        requests = result.records.count
        completed = whole.count
        interrupted = result.records.count - measured.count
        failed = Dictionary(uniqueKeysWithValues: FailureKind.allCases.map { ($0.rawValue, 0) })
        failureExamples = [:]
        for record in measured {
            guard case .failed(let kind, let detail) = record.outcome else { continue }
            failed[kind.rawValue, default: 0] += 1
            failureExamples[kind.rawValue] = failureExamples[kind.rawValue] ?? detail
        }
        ttftMs = LatencySummary(result.series(of: .ttft))
        tpotMs = LatencySummary(result.series(of: .tpot))
        e2eMs = LatencySummary(result.series(of: .e2e))
        lateSends = result.records.count { $0.lateness > GeneratorHealth.lateThreshold }
        sendLatenessMs = LatencySummary(result.records.map(\.lateness))
        promptTokens = PrefillSummary.median(whole.compactMap(\.promptTokens))
        outputTokens = whole.reduce(0) { $0 + $1.tokens }
        outputTokensPerS = last > 0 ? LatencySummary.rounded(Double(outputTokens) / last) : 0
        let judgements = whole.compactMap(\.isCorrect)
        judged = judgements.count
        let right = Double(judgements.count { $0 })
        accuracy = judgements.isEmpty ? nil : LatencySummary.rounded(right / Double(judgements.count))
        speculativePrefill = PrefillSummary(whole.compactMap(\.report))
        self.server = server
        timeline = Timeline(result)
        series = SeriesSummary(keepsSeries ? result : nil)
        ending = result.ending
    }
}
