// The latency promise (SLO) a run is held to.

/// What is promised.
public enum LatencyMetric: String, Sendable, Codable, CaseIterable, CodingKeyRepresentable {
    /// Time to first token, from the scheduled time.
    case ttft
    /// Time per output token after the first.
    case tpot
    /// End-to-end latency, from the scheduled time.
    case e2e

    /// As reports print it.
    public var name: String { rawValue.uppercased() }
}

/// One promise as it is asked for: `ttft:p99:2s`, or `ttft:p99:3x` of what a request takes without load.
public struct ServiceLevel: Sendable, Equatable {
    /// A bound.
    public enum Bound: Sendable, Equatable {
        /// A time.
        case time(Duration)
        /// A multiple of the median of the first mode without load.
        case timesUnloaded(Double)
    }

    /// What is promised.
    public let metric: LatencyMetric
    /// For how many of the requests.
    public let percentile: Percentile
    /// How fast.
    public let bound: Bound

    /// Reads `METRIC:PERCENTILE:BOUND`.
    ///
    /// - Throws: a usage error that says which part is wrong.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let place = "SLO '\(text)'"
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3 else {
            throw LoadGeneratorError(.usage, place, "write METRIC:PERCENTILE:BOUND, such as ttft:p99:2s")
        }
        guard let metric = LatencyMetric(rawValue: parts[0].lowercased()) else {
            throw LoadGeneratorError(.usage, place, "'\(parts[0])' is none of ttft, tpot and e2e")
        }
        self.metric = metric
        do {
            percentile = try Percentile(parsing: parts[1])
            bound = try Self.bound(parts[2])
        } catch {
            throw LoadGeneratorError(.usage, place, "\(error.place) is \(error.problem)")
        }
    }

    private static func bound(_ text: String) throws(LoadGeneratorError) -> Bound {
        if text.hasSuffix("x") {
            guard let factor = Double(text.dropLast()), factor > 0, factor <= 1e6 else {
                throw LoadGeneratorError(.usage, "'\(text)'", "not a multiple above 0 such as 3x")
            }
            return .timesUnloaded(factor)
        }
        let time = try Duration(parsing: text)
        guard time > .zero else { throw LoadGeneratorError(.usage, "'\(text)'", "not more than 0") }
        return .time(time)
    }

    /// As it is written on the command line.
    public var text: String {
        switch bound {
        case .time(let time): "\(metric.rawValue):\(percentile.name):\(RateText.number(time.milliseconds))ms"
        case .timesUnloaded(let factor): "\(metric.rawValue):\(percentile.name):\(RateText.number(factor))x"
        }
    }

    /// Whether the bound is a multiple of what a request takes without load.
    public var isRelative: Bool {
        if case .timesUnloaded = bound { true } else { false }
    }

    /// The promise in times.
    ///
    /// - Parameter unloaded: the metric's median without load; used by relative bounds.
    /// - Returns: nil for a relative bound without a measurement.
    public func objective(unloaded: Duration?) -> Objective? {
        switch bound {
        case .time(let time): Objective(metric: metric, percentile: percentile, bound: time)
        case .timesUnloaded(let factor):
            unloaded.map { Objective(metric: metric, percentile: percentile, bound: $0 * factor) }
        }
    }
}

/// One promise in times.
public struct Objective: Sendable, Equatable {
    /// What is promised.
    public let metric: LatencyMetric
    /// For how many of the requests.
    public let percentile: Percentile
    /// No slower than this.
    public let bound: Duration

    /// Makes a promise.
    public init(metric: LatencyMetric, percentile: Percentile, bound: Duration) {
        self.metric = metric
        self.percentile = percentile
        self.bound = bound
    }

    /// As reports print it: `TTFT p99 <= 2 s`.
    public var name: String { "\(metric.name) \(percentile.name) <= \(bound.shortText)" }

    /// Whether a request keeps the bound; nil where the metric does not apply to it (a TPOT of a single token).
    ///
    /// A request without a whole answer keeps nothing.
    public func isKept(by record: RequestRecord) -> Bool? {
        guard record.outcome == .completed else { return false }
        switch metric {
        case .ttft: return record.timeToFirstToken.map { $0 <= bound } ?? false
        case .tpot: return record.timePerOutputToken.map { $0 <= bound }
        case .e2e: return record.endToEnd <= bound
        }
    }

    /// Whether a request that was given up had already waited longer than the bound.
    func isBroken(by record: RequestRecord) -> Bool {
        switch metric {
        case .ttft: (record.firstToken ?? record.end) - record.scheduled > bound
        case .tpot: false
        case .e2e: record.endToEnd > bound
        }
    }
}
