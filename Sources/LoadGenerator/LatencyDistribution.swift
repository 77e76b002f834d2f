// Percentiles in which a failure is a miss.

/// Latencies of one run, sorted, with the requests that have none.
///
/// A failed request counts as one that took for ever: it lies above every measured latency. Leaving failures out
/// would make a server that sheds load look fast. Quantiles are exact (nearest rank on all samples, no buckets).
public struct LatencyDistribution: Sendable, Equatable {
    private let sorted: [Duration]
    /// Requests that count as slower than any sample.
    public let misses: Int

    /// Sorts the samples once.
    public init(samples: [Duration], misses: Int = 0) {
        sorted = samples.sorted()
        self.misses = misses
    }

    /// Requests in the distribution, misses included.
    public var count: Int { sorted.count + misses }

    /// The smallest value that at least this share of the requests do not exceed.
    ///
    /// - Parameter perThousand: the share, 1...1000: 500 is the median, 1000 the maximum.
    /// - Returns: nil when the quantile lies among the misses, or there are no requests.
    public func quantile(perThousand: Int) -> Duration? {
        guard count > 0 else { return nil }
        let rank = Self.rank(perThousand: perThousand, of: count)
        return rank <= sorted.count ? sorted[rank - 1] : nil
    }

    /// The greatest measured latency; misses have none.
    public var maximumMeasured: Duration? { sorted.last }

    /// How many of `count` requests may lie above a bound while the quantile still keeps it.
    ///
    /// For a p99 it is 0 below 100 requests, then 1, and 2 from 200 on.
    public static func allowedMisses(perThousand: Int, of count: Int) -> Int {
        count - rank(perThousand: perThousand, of: count)
    }

    /// The nearest rank, 1...count, in whole numbers: 0.99 * n in floating point is sometimes a hair over.
    private static func rank(perThousand: Int, of count: Int) -> Int {
        min(max((perThousand * count + 999) / 1000, 1), count)
    }
}
