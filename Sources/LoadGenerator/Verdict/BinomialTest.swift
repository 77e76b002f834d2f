// What a number of misses among a number of requests proves about all requests to come.

import Foundation

/// The early-stopping test of MLPerf LoadGen (`loadgen/early_stopping.cc`): an exact binomial test on the misses of a run.
///
/// Each request is taken for a draw that misses its bound with an unknown probability; a percentile promise says that
/// this probability is below `1 - percentile`. The draws of one run are not independent where a queue stands between
/// them, so a verdict also wants more than one run (fresh seeds).
public enum BinomialTest {
    /// The probability of at most `misses` among `count` independent draws.
    ///
    /// - Parameter probability: of a miss in one draw, above 0 and below 1.
    public static func cumulative(_ misses: Int, of count: Int, probability: Double) -> Double {
        guard misses >= 0 else { return 0 }
        guard misses < count else { return 1 }
        let odds = probability / (1 - probability)
        // Both tails fall geometrically away from the mean: sum the one that is short.
        if Double(misses) <= Double(count) * probability {
            var term = density(misses, of: count, probability: probability)
            var sum = term
            var index = misses
            while index > 0, term > sum * 1e-17 {
                term *= Double(index) / (Double(count - index + 1) * odds)
                sum += term
                index -= 1
            }
            return min(sum, 1)
        }
        var index = misses + 1
        var term = density(index, of: count, probability: probability)
        var sum = term
        while index < count, term > sum * 1e-17 {
            term *= Double(count - index) * odds / Double(index + 1)
            sum += term
            index += 1
        }
        return max(0, 1 - sum)
    }

    private static func density(_ misses: Int, of count: Int, probability: Double) -> Double {
        let (few, all) = (Double(misses), Double(count))
        let ways = lgamma(all + 1) - lgamma(few + 1) - lgamma(all - few + 1)
        return exp(ways + few * log(probability) + (all - few) * log1p(-probability))
    }

    /// How sure one can be, 0...1, that the percentile keeps its bound after `misses` of `count` requests broke it.
    ///
    /// It is one minus the chance of so few misses on the very edge of the promise.
    public static func confidence(misses: Int, of count: Int, _ percentile: Percentile) -> Double {
        guard count > 0 else { return 0 }
        return 1 - cumulative(misses, of: count, probability: percentile.missShare)
    }

    /// How sure one can be, 0...1, that the percentile breaks its bound after `misses` of `count` requests broke it.
    ///
    /// It is the chance of fewer misses on the very edge of the promise: 5 misses of a p99 among 50 requests leave 0.02 %.
    public static func confidenceOfBreach(misses: Int, of count: Int, _ percentile: Percentile) -> Double {
        cumulative(misses - 1, of: count, probability: percentile.missShare)
    }

    /// The most misses among `count` requests that still prove the promise; nil where even none would not.
    public static func allowedMisses(of count: Int, _ percentile: Percentile, confidence: Double) -> Int? {
        guard proves(misses: 0, of: count, percentile, confidence: confidence) else { return nil }
        // The answer is below the mean: bisect there.
        var (low, high) = (0, max(1, Int(Double(count) * percentile.missShare) + 1))
        while high - low > 1 {
            let middle = (low + high) / 2
            if proves(misses: middle, of: count, percentile, confidence: confidence) {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }

    /// Whether so few misses prove that the percentile keeps its bound.
    public static func proves(misses: Int, of count: Int, _ percentile: Percentile, confidence: Double) -> Bool {
        self.confidence(misses: misses, of: count, percentile) >= confidence
    }

    /// The fewest requests that prove the promise with this many misses among them: 459 for a p99 without a miss at 99 %.
    public static func samplesNeeded(misses: Int, _ percentile: Percentile, confidence: Double) -> Int {
        var (low, high) = (misses, max(1, misses * 2))
        while !proves(misses: misses, of: high, percentile, confidence: confidence) {
            (low, high) = (high, high * 2)
            // A share of one in a million at the highest confidence is far below this.
            if high > 1 << 40 { return high }
        }
        while high - low > 1 {
            let middle = (low + high) / 2
            if proves(misses: misses, of: middle, percentile, confidence: confidence) {
                high = middle
            } else {
                low = middle
            }
        }
        return high
    }
}
