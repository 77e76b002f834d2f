// What a run measured.

/// The records of one run, and how it ended.
public struct RunResult: Sendable, Equatable {
    /// Why a run ended.
    public enum Ending: String, Sendable, Codable {
        /// Every request of the schedule was sent and waited for.
        case complete
        /// Its stop rule said that more requests could change nothing.
        case lost
        /// Its deadline came first.
        case deadline
        /// Its user ended it.
        case interrupted
    }

    /// One record per request that was due before the run ended, in schedule order.
    public let records: [RequestRecord]
    /// Why it ended.
    public let ending: Ending
    /// Requests in the schedule; in a closed loop, those that were sent.
    public let planned: Int
    /// The length of the window the arrivals lie in, as far as it was used.
    public let span: Duration

    /// Makes a result.
    public init(records: [RequestRecord], ending: Ending, planned: Int, span: Duration) {
        self.records = records
        self.ending = ending
        self.planned = planned
        self.span = span
    }

    /// The records that count: those that were open when the user ended the run are neither answers nor misses.
    public var measured: [RequestRecord] { records.filter { $0.outcome != .interrupted } }

    /// The latencies of the requests; one without a whole answer is a miss. A TPOT wants two tokens.
    public func distribution(of metric: LatencyMetric) -> LatencyDistribution {
        let measured = measured
        let whole = measured.filter { $0.outcome == .completed }
        let samples = whole.compactMap { $0.latency(metric) }
        let withoutOne = metric == .tpot ? 0 : whole.count - samples.count
        return LatencyDistribution(samples: samples, misses: measured.count - whole.count + withoutOne)
    }

    /// The latencies in schedule order; nil is a miss. Requests the metric does not apply to are left out.
    public func series(of metric: LatencyMetric) -> [Duration?] {
        measured.compactMap { record in
            guard record.outcome == .completed else { return .some(nil) }
            guard let latency = record.latency(metric) else { return metric == .tpot ? nil : .some(nil) }
            return .some(latency)
        }
    }
}

extension RequestRecord {
    /// The latency of this kind; nil where there is none.
    func latency(_ metric: LatencyMetric) -> Duration? {
        switch metric {
        case .ttft: timeToFirstToken
        case .tpot: timePerOutputToken
        case .e2e: endToEnd
        }
    }
}
