// How far the ratio of two percentiles can be trusted.

/// Percentiles of a series drawn again and again, in blocks of neighbours (Künsch 1989): a queue makes neighbours alike, so
/// single requests drawn by chance would make an interval far too narrow.
struct BlockBootstrap {
    /// A ratio with its interval; nil is an end that the series can't bound.
    struct Ratio: Equatable {
        var value: Double
        var low: Double?
        var high: Double?
    }

    /// Fewer values than this have no interval.
    private static let leastCount = 40
    /// Values that are drawn for one interval, and the resamplings that are made at least and at most.
    private static let effort = 20_000_000
    private static let resamplings = 200...1000

    private let series: [Double?]
    /// The places of the values, the smallest first, misses last.
    private let order: [Int]
    /// As many values as a block has: the square root of their number.
    private let length: Int

    /// - Parameter series: in the order of time; nil is a miss, which is greater than any value.
    init(_ series: [Double?]) {
        self.series = series
        order = series.indices.sorted { (series[$0] ?? .infinity, $0) < (series[$1] ?? .infinity, $1) }
        length = max(1, Int(Double(series.count).squareRoot()))
    }

    /// The ratios of percentiles of two series, each from all of its values; nil where one lies among the misses.
    static func ratios(
        _ series: [Double?], _ base: [Double?], _ percentiles: [Percentile], confidence: Double, seed: UInt64
    ) -> [Ratio?] {
        let (one, two) = (BlockBootstrap(series), BlockBootstrap(base))
        let values = zip(one.quantiles(percentiles), two.quantiles(percentiles)).map { above, below -> Double? in
            above.isFinite && below.isFinite && below > 0 ? above / below : nil
        }
        guard series.count >= leastCount, base.count >= leastCount else {
            return values.map { $0.map { Ratio(value: $0) } }
        }
        let count = min(
            max(effort / max(series.count, base.count), resamplings.lowerBound), resamplings.upperBound)
        var generator = SplitMix64(seed: seed)
        var drawn = Array(repeating: [Double](), count: percentiles.count)
        for _ in 0..<count {
            let above = one.resampled(percentiles, &generator)
            let below = two.resampled(percentiles, &generator)
            for index in percentiles.indices {
                drawn[index].append(ratio(above[index], below[index], at: values[index] ?? 1))
            }
        }
        let tail = Int(Double(count) * (1 - confidence) / 2)
        return zip(values, drawn).map { value, drawn in
            guard let value else { return nil }
            let sorted = drawn.sorted()
            let high = sorted[count - 1 - tail]
            return Ratio(value: value, low: sorted[tail], high: high.isFinite ? high : nil)
        }
    }

    /// Of two that are misses nothing is known, so the measured ratio stands for theirs.
    private static func ratio(_ above: Double, _ below: Double, at value: Double) -> Double {
        below.isInfinite ? (above.isInfinite ? value : 0) : above / max(below, 1e-9)
    }

    /// The percentiles of the series itself; infinity is a miss.
    private func quantiles(_ percentiles: [Percentile]) -> [Double] {
        percentiles.map { percentile in
            order.isEmpty ? .infinity : series[order[percentile.rank(of: order.count) - 1]] ?? .infinity
        }
    }

    /// The percentiles of as many values, in blocks that each begin at a place drawn by chance.
    private func resampled(_ percentiles: [Percentile], _ generator: inout SplitMix64) -> [Double] {
        let count = series.count
        // How often each value is drawn: first the changes from one to the next, then their sums.
        var times = Array(repeating: 0, count: count + 1)
        var left = count
        while left > 0 {
            let start = Int(generator.next() % UInt64(count - length + 1))
            times[start] += 1
            times[start + min(length, left)] -= 1
            left -= length
        }
        for index in 1..<count { times[index] += times[index - 1] }
        let wanted = percentiles.enumerated().map { ($0.offset, $0.element.rank(of: count)) }.sorted { $0.1 < $1.1 }
        var quantiles = Array(repeating: Double.infinity, count: percentiles.count)
        var (next, rank) = (0, 0)
        for place in order {
            rank += times[place]
            while next < wanted.count, wanted[next].1 <= rank {
                quantiles[wanted[next].0] = series[place] ?? .infinity
                next += 1
            }
            if next == wanted.count { break }
        }
        return quantiles
    }
}
