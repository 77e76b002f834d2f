// Percentiles and what servers say of prompts, as they go into reports.

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

/// The ends of a confidence interval, in milliseconds; `null` is an end the run can't bound.
public struct IntervalSummary: Codable, Sendable, Equatable {
    /// The lower end.
    public var low: Double
    /// The upper end.
    @OrNull public var high: Double?

    init?(_ interval: QuantileInterval?) {
        guard let interval else { return nil }
        low = LatencySummary.rounded(interval.low.milliseconds)
        high = LatencySummary.milliseconds(interval.high)
    }
}

/// Percentiles in milliseconds. `null` is a percentile that lies among the failed requests, or has no request.
public struct LatencySummary: Codable, Sendable, Equatable {
    /// The median.
    @OrNull public var p50: Double?
    /// 90 % of the requests took no longer.
    @OrNull public var p90: Double?
    /// 95 % of the requests took no longer.
    @OrNull public var p95: Double?
    /// 99 % of the requests took no longer.
    @OrNull public var p99: Double?
    /// None took longer; `null` once a single request failed.
    @OrNull public var max: Double?
    /// The longest of those that did not fail.
    @OrNull public var maxMeasured: Double?
    /// The mean of those that did not fail.
    @OrNull public var mean: Double?
    /// The 99 % confidence interval of the median; absent for short runs.
    public var p50Interval: IntervalSummary?
    /// The 99 % confidence interval of the p99.
    public var p99Interval: IntervalSummary?
    /// Requests behind the percentiles, failed ones included.
    public var count: Int

    /// Takes the percentiles of latencies in schedule order; nil is a miss.
    public init(_ series: [Duration?]) {
        let distribution = LatencyDistribution(samples: series.compactMap(\.self), misses: series.count { $0 == nil })
        p50 = Self.milliseconds(distribution.quantile(.p50))
        p90 = Self.milliseconds(distribution.quantile(.p90))
        p95 = Self.milliseconds(distribution.quantile(.p95))
        p99 = Self.milliseconds(distribution.quantile(.p99))
        max = Self.milliseconds(distribution.quantile(.maximum))
        maxMeasured = Self.milliseconds(distribution.maximumMeasured)
        mean = Self.milliseconds(distribution.meanMeasured)
        p50Interval = IntervalSummary(QuantileInterval(.p50, of: series))
        p99Interval = IntervalSummary(QuantileInterval(.p99, of: series))
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

    static func median<Value: Comparable>(_ values: [Value]) -> Value? {
        values.isEmpty ? nil : values.sorted()[(values.count - 1) / 2]
    }
}
