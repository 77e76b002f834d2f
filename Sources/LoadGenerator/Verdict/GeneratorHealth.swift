// Whether a run was sent as it was planned.

/// Whether the load generator kept up with its own schedule.
public struct GeneratorHealth: Sendable, Equatable {
    /// A request sent later than this after its time counts as a late send.
    public static let lateThreshold = Duration.milliseconds(5)
    /// The part of the median latency that lateness may be before the generator, not the server, is being measured.
    static let lateShare = 0.05

    /// How late the 99th of 100 requests was sent.
    public let lateness: Duration
    /// A sentence that blames the generator; nil while it kept up.
    public let bottleneck: String?

    /// Looks at a run.
    ///
    /// Latencies count from the scheduled time, so lateness can only make a server look slower: it disqualifies a run
    /// when it is a visible part of the latency. Beyond the generator's reach the whole latency is lateness.
    public init(_ result: RunResult, maximumLateness: Duration? = nil) {
        lateness = LatencyDistribution(samples: result.records.map(\.lateness)).quantile(.p99) ?? .zero
        let unsent = result.records.count { record in
            if case .failed(.unsent, _) = record.outcome { true } else { false }
        }
        let latency = result.distribution(of: .e2e)
        let median = latency.quantile(.p50) ?? latency.maximumMeasured ?? .zero
        let limit = maximumLateness ?? max(Self.lateThreshold, median * Self.lateShare)
        // A single one is chance, however few there are.
        let late = result.records.count { $0.lateness > limit }
        if unsent > 0 {
            bottleneck =
                "the load generator was the bottleneck: \(unsent) requests were not sent, because as many as it can hold were open"
        } else if late > max(1, result.records.count / 100) {
            bottleneck =
                "the load generator was the bottleneck: \(late) of \(result.records.count) requests were sent over \(limit.shortText) late, 1 in 100 over \(lateness.shortText)"
        } else {
            bottleneck = nil
        }
    }
}
