// The numbers of one run, as they go into reports.

/// A value that is written as `null` when it is not known, instead of being left out.
@propertyWrapper
public struct OrNull<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
    /// The value; nil is `null`.
    public var wrappedValue: Value?

    /// Wraps a value.
    public init(wrappedValue: Value?) {
        self.wrappedValue = wrappedValue
    }

    /// Reads a value or `null`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }

    /// Writes a value or `null`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

/// Percentiles in milliseconds. `null` is a percentile that lies among the failed requests, or has no request.
public struct LatencySummary: Codable, Sendable, Equatable {
    /// The median.
    @OrNull public var p50: Double?
    /// 90 % of the requests took no longer.
    @OrNull public var p90: Double?
    /// 99 % of the requests took no longer.
    @OrNull public var p99: Double?
    /// None took longer; `null` once a single request failed.
    @OrNull public var max: Double?
    /// The longest of those that did not fail.
    @OrNull public var maxMeasured: Double?
    /// Requests behind the percentiles, failed ones included.
    public var count: Int

    /// Takes the percentiles of a distribution.
    public init(_ distribution: LatencyDistribution) {
        p50 = Self.milliseconds(distribution.quantile(perThousand: 500))
        p90 = Self.milliseconds(distribution.quantile(perThousand: 900))
        p99 = Self.milliseconds(distribution.quantile(perThousand: 990))
        max = Self.milliseconds(distribution.quantile(perThousand: 1000))
        maxMeasured = Self.milliseconds(distribution.maximumMeasured)
        count = distribution.count
    }

    static func milliseconds(_ duration: Duration?) -> Double? {
        duration.map { rounded($0.milliseconds) }
    }

    /// Three places: a microsecond is finer than anything measured here.
    static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}

/// What the server said it did to the prompts of a run.
public struct PrefillSummary: Codable, Sendable, Equatable {
    /// Answers that carried a report.
    public var reports: Int
    /// Medians over them.
    @OrNull public var promptTokens: Int?
    /// Tokens prefilled.
    @OrNull public var keptTokens: Int?
    /// The share that was prefilled.
    @OrNull public var keepRate: Double?
    /// Time of the speculator, in milliseconds.
    @OrNull public var speculationMs: Double?
    /// Requests that were prefilled whole against their wish.
    public var fallbacks: Int

    /// Nil when no answer carried a report.
    init?(_ reports: [PrefillReport]) {
        guard !reports.isEmpty else { return nil }
        self.reports = reports.count
        promptTokens = Self.median(reports.compactMap(\.promptTokens))
        keptTokens = Self.median(reports.compactMap(\.keptTokens))
        keepRate = Self.median(reports.compactMap(\.keepRate)).map { ($0 * 1e4).rounded() / 1e4 }
        speculationMs = Self.median(reports.compactMap(\.speculationMilliseconds)).map(LatencySummary.rounded)
        fallbacks = reports.count { $0.fallback != nil }
    }

    private static func median<Value: Comparable>(_ values: [Value]) -> Value? {
        values.isEmpty ? nil : values.sorted()[(values.count - 1) / 2]
    }
}

/// The numbers of one run.
public struct RunSummary: Codable, Sendable, Equatable {
    /// A request sent later than this after its time counts as a late send.
    public static let lateThreshold = Duration.milliseconds(5)

    /// The name of the mode.
    public var mode: String
    /// The rate asked for, requests per second.
    public var offeredRate: Double
    /// Arrivals in the schedule divided by its span: what the seed drew.
    @OrNull public var scheduledRate: Double?
    /// Whole answers divided by the time from the window's start to its end, or to the last of them if later.
    public var achievedRate: Double
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
    /// Tokens of all whole answers.
    public var outputTokens: Int
    /// The share of right answers among the whole ones whose right answer is known.
    @OrNull public var accuracy: Double?
    /// How many answers that share stands on.
    public var judged: Int
    /// What the server said it did to the prompts.
    @OrNull public var speculativePrefill: PrefillSummary?
    /// Why the run ended.
    public var ending: RunResult.Ending

    /// All failures.
    public var failedTotal: Int { failed.values.reduce(0, +) }

    /// Counts and sorts the records of a run.
    public init(_ result: RunResult, mode: String, schedule: ArrivalSchedule) {
        let measured = result.records.filter { $0.outcome != .interrupted }
        let whole = measured.filter { $0.outcome == .completed }
        let misses = measured.count - whole.count
        self.mode = mode
        offeredRate = schedule.rate
        let span = schedule.span.seconds
        scheduledRate = span > 0 ? LatencySummary.rounded(Double(schedule.offsets.count) / span) : nil
        let last = max(span, whole.map(\.end.seconds).max() ?? 0)
        achievedRate = last > 0 ? LatencySummary.rounded(Double(whole.count) / last) : 0
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
        ttftMs = LatencySummary(Self.timesToFirstToken(result))
        tpotMs = LatencySummary(LatencyDistribution(samples: whole.compactMap(\.timePerOutputToken), misses: misses))
        e2eMs = LatencySummary(LatencyDistribution(samples: whole.map(\.endToEnd), misses: misses))
        lateSends = result.records.count { $0.lateness > Self.lateThreshold }
        sendLatenessMs = LatencySummary(LatencyDistribution(samples: result.records.map(\.lateness)))
        outputTokens = whole.reduce(0) { $0 + $1.tokens }
        let judgements = whole.compactMap(\.isCorrect)
        judged = judgements.count
        let right = Double(judgements.count { $0 })
        accuracy = judgements.isEmpty ? nil : LatencySummary.rounded(right / Double(judgements.count))
        speculativePrefill = PrefillSummary(whole.compactMap(\.report))
        ending = result.ending
    }

    /// Times to first token of a run's requests; one without a whole answer is a miss.
    public static func timesToFirstToken(_ result: RunResult) -> LatencyDistribution {
        let measured = result.records.filter { $0.outcome != .interrupted }
        let samples = measured.filter { $0.outcome == .completed }.compactMap(\.timeToFirstToken)
        return LatencyDistribution(samples: samples, misses: measured.count - samples.count)
    }
}
