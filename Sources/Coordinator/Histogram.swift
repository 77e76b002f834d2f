// How often a measured value was how large.

/// Counts of values in fixed buckets, and their sum: what Prometheus calls a histogram.
public struct Histogram: Sendable, Equatable {
    /// Upper bounds of the buckets, rising; a value belongs to the first whose bound it does not exceed, or to none.
    public let bounds: [Double]
    /// Values in each bucket alone.
    private var counts: [Int]
    /// All values, those above the last bound included.
    public private(set) var count = 0
    public private(set) var sum = 0.0

    private init(bounds: [Double]) {
        self.bounds = bounds
        counts = bounds.map { _ in 0 }
    }

    /// For times in seconds, from a millisecond to ten minutes.
    public static let seconds = Histogram(bounds: [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600,
    ])
    /// For shares of a whole, 0...1; finer below, where keep rates lie.
    public static let shares = Histogram(bounds: [0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])

    /// Values up to each bound, as Prometheus adds them up.
    public var cumulative: [Int] {
        var total = 0
        return counts.map { count in
            total += count
            return total
        }
    }

    /// Adds a value; one below 0 counts as 0, what is no number is ignored.
    public mutating func record(_ value: Double) {
        guard value.isFinite else { return }
        let value = max(0, value)
        count += 1
        sum += value
        if let bucket = bounds.firstIndex(where: { value <= $0 }) { counts[bucket] += 1 }
    }

    /// Adds a time, in seconds.
    public mutating func record(_ time: Duration) { record(time / .seconds(1)) }
}
