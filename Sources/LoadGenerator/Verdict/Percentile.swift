// A percentile, and percentiles in which a failure is a miss.

/// A percentile, exact to four places: p50, p99, p99.9.
public struct Percentile: Sendable, Equatable, Hashable {
    /// The share below it, in millionths: 990 000 for p99.
    public let millionths: Int

    /// The median.
    public static let p50 = Percentile(unchecked: 500_000)
    /// 90 of 100 requests are no slower.
    public static let p90 = Percentile(unchecked: 900_000)
    /// 95 of 100 requests are no slower.
    public static let p95 = Percentile(unchecked: 950_000)
    /// 99 of 100 requests are no slower.
    public static let p99 = Percentile(unchecked: 990_000)
    /// No request is slower.
    public static let maximum = Percentile(unchecked: 1_000_000)

    private init(unchecked millionths: Int) {
        self.millionths = millionths
    }

    /// Reads `p99`, `p99.9` or `99`.
    ///
    /// - Throws: a usage error for text that is not a percentile of at least 1 and under 100.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let digits = text.hasPrefix("p") ? text.dropFirst() : Substring(text)
        guard let value = Double(digits), value >= 1, value < 100 else {
            throw LoadGeneratorError(.usage, "'\(text)'", "not a percentile: write p50, p99 or p99.9")
        }
        let millionths = Int((value * 10_000).rounded())
        guard millionths < 1_000_000 else {
            throw LoadGeneratorError(.usage, "'\(text)'", "a percentile has four places at most: write p99.9")
        }
        self.millionths = millionths
    }

    /// The share of requests that may be slower, 0...1.
    public var missShare: Double { Double(1_000_000 - millionths) / 1e6 }

    /// As people write it: `p99`, `p99.9`.
    public var name: String {
        let value = Double(millionths) / 10_000
        return value == value.rounded() ? "p\(Int(value))" : "p\(value)"
    }

    /// The nearest rank among `count` sorted values, 1...count, in whole numbers: 0.99 * n in floating point is
    /// sometimes a hair over.
    func rank(of count: Int) -> Int {
        let (whole, rest) = count.quotientAndRemainder(dividingBy: 1_000_000)
        return min(max(whole * millionths + (rest * millionths + 999_999) / 1_000_000, 1), max(count, 1))
    }
}

/// Latencies of one run, sorted, with the requests that have none.
///
/// A failed request counts as one that took for ever: it lies above every measured latency. Leaving failures out
/// would make a server that sheds load look fast. Quantiles are exact (nearest rank on all samples, no buckets).
public struct LatencyDistribution: Sendable, Equatable {
    /// The measured latencies, ascending.
    public let sorted: [Duration]
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
    /// - Returns: nil when the quantile lies among the misses, or there are no requests.
    public func quantile(_ percentile: Percentile) -> Duration? {
        guard count > 0 else { return nil }
        let rank = percentile.rank(of: count)
        return rank <= sorted.count ? sorted[rank - 1] : nil
    }

    /// The greatest measured latency; misses have none.
    public var maximumMeasured: Duration? { sorted.last }

    /// The mean of the measured latencies; nil when there is none.
    public var meanMeasured: Duration? {
        sorted.isEmpty ? nil : sorted.reduce(.zero, +) / sorted.count
    }

    /// How many of `count` requests may lie above a bound while the quantile still keeps it.
    ///
    /// For a p99 it is 0 below 100 requests, then 1, and 2 from 200 on.
    public static func allowedMisses(_ percentile: Percentile, of count: Int) -> Int {
        count - percentile.rank(of: count)
    }
}
