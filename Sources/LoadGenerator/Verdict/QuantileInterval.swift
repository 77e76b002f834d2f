// How far a percentile of a run can be trusted.

/// A confidence interval of a percentile that does not take requests for independent of each other.
///
/// A queue makes neighbours alike, so an interval for independent samples would be far too narrow. The run is cut into
/// batches in order of time; how much the share of requests below the percentile differs from batch to batch says how much
/// it may differ from run to run. That share, up and down, gives the ends of the interval among the sorted latencies
/// (the indirect batch-means method; Law, "Simulation Modeling and Analysis", chapter 9).
public struct QuantileInterval: Sendable, Equatable {
    /// Batches a run is cut into.
    public static let batches = 20
    /// The confidence of the interval, 0...1.
    public static let confidence = 0.99
    /// Student's t for 19 degrees of freedom and the normal deviate, both two-sided at ``confidence``.
    private static let (student, normal) = (2.861, 2.576)

    /// The lower end.
    public let low: Duration
    /// The upper end; nil when the run can't bound it.
    public let high: Duration?

    /// The interval of a percentile.
    ///
    /// - Parameter series: latencies in schedule order; nil is a miss.
    /// - Returns: nil for fewer than two requests a batch, or a percentile among the misses.
    public init?(_ percentile: Percentile, of series: [Duration?]) {
        let samples = LatencyDistribution(samples: series.compactMap(\.self), misses: series.count { $0 == nil })
        guard series.count >= 2 * Self.batches, let value = samples.quantile(percentile) else { return nil }
        let count = series.count
        let shares = (0..<Self.batches).map { batch in
            let range = (batch * count / Self.batches)..<((batch + 1) * count / Self.batches)
            return Double(series[range].count { $0.map { $0 <= value } ?? false }) / Double(range.count)
        }
        let mean = shares.reduce(0, +) / Double(shares.count)
        let variance = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(shares.count - 1)
        let share = 1 - percentile.missShare
        let batched = Self.student * (variance / Double(shares.count)).squareRoot()
        let independent = Self.normal * (share * (1 - share) / Double(count)).squareRoot()
        let margin = max(batched, independent)
        let lowest = Int((Double(count) * max(0, share - margin)).rounded(.down))
        let highest = Int((Double(count) * (share + margin)).rounded(.up))
        low = samples.sorted[min(max(lowest, 0), samples.sorted.count - 1)]
        high = highest < samples.sorted.count ? samples.sorted[highest] : nil
    }

    /// Whether a value lies in it.
    public func contains(_ value: Duration) -> Bool {
        value >= low && (high.map { value <= $0 } ?? true)
    }
}
