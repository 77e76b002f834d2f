// How long prompts and answers are: one number, or a distribution to draw from.

import Foundation

/// A distribution of lengths in tokens, each 1...``Trace/maximumTokens``.
///
/// What is drawn is rounded to a whole number, and then moved to the nearer end of that range if it lies outside.
public enum LengthDistribution: Sendable, Equatable, CustomStringConvertible {
    /// Always the same.
    case fixed(Int)
    /// Every length of a range, equally often.
    case uniform(ClosedRange<Int>)
    /// A bell around the mean.
    case normal(mean: Double, standardDeviation: Double)
    /// A bell on a logarithmic scale, of natural logarithms: many short, a few very long.
    case lognormal(median: Double, sigma: Double)
    /// An exponential fall.
    case exponential(mean: Double)

    /// Reads `512`, `uniform:100-900`, `normal:1024,128`, `lognormal:1024,0.6` or `exponential:500`.
    ///
    /// - Throws: a usage error that says how to write it.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            guard let length = Int(text) else {
                throw Self.mistake(
                    text,
                    "not a length: write a number of tokens such as 512, or uniform:100-900, normal:1024,128, "
                        + "lognormal:1024,0.6 or exponential:500")
            }
            self = .fixed(try Self.check(length, text))
            return
        }
        switch parts[0] {
        case "uniform":
            let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count == 2, let low = ends[0], let high = ends[1], low <= high else {
                throw Self.mistake(text, "must be a smaller and a greater number of tokens: uniform:100-900")
            }
            self = .uniform(try Self.check(low, text)...Self.check(high, text))
        case "normal":
            let (mean, deviation) = try Self.pair(parts[1], text, "a mean and a standard deviation: normal:1024,128")
            guard deviation >= 0, deviation <= Double(Trace.maximumTokens) else {
                throw Self.mistake(text, "a standard deviation must be 0 to \(Trace.maximumTokens) tokens")
            }
            self = .normal(mean: try Self.check(mean, text), standardDeviation: deviation)
        case "lognormal":
            let (median, sigma) = try Self.pair(parts[1], text, "a median and a sigma: lognormal:1024,0.6")
            guard sigma >= 0, sigma <= 10 else {
                throw Self.mistake(text, "a sigma must be 0 to 10, in units of the logarithm")
            }
            self = .lognormal(median: try Self.check(median, text), sigma: sigma)
        case "exponential":
            guard let mean = Double(parts[1]) else {
                throw Self.mistake(text, "must be a mean number of tokens: exponential:500")
            }
            self = .exponential(mean: try Self.check(mean, text))
        default:
            throw Self.mistake(text, "no such distribution: write uniform, normal, lognormal or exponential")
        }
    }

    private static func mistake(_ text: String, _ problem: String) -> LoadGeneratorError {
        LoadGeneratorError(.usage, "'\(text)'", problem)
    }

    private static func pair(
        _ part: Substring, _ text: String, _ expected: String
    ) throws(LoadGeneratorError) -> (Double, Double) {
        let numbers = part.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard numbers.count == 2, let first = numbers[0], let second = numbers[1] else {
            throw mistake(text, "must be " + expected)
        }
        return (first, second)
    }

    /// A NaN fails every comparison.
    private static func check<Number: Comparable & Numeric>(
        _ number: Number, _ text: String
    ) throws(LoadGeneratorError) -> Number {
        guard number >= 1, let limit = Number(exactly: Trace.maximumTokens), number <= limit else {
            throw mistake(text, "\(number) tokens is not 1 to \(Trace.maximumTokens)")
        }
        return number
    }

    /// The text that ``init(parsing:)`` reads.
    public var description: String {
        switch self {
        case .fixed(let length): "\(length)"
        case .uniform(let range): "uniform:\(range.lowerBound)-\(range.upperBound)"
        case .normal(let mean, let deviation): "normal:\(mean),\(deviation)"
        case .lognormal(let median, let sigma): "lognormal:\(median),\(sigma)"
        case .exponential(let mean): "exponential:\(mean)"
        }
    }

    /// Draws a length.
    ///
    /// - Returns: 1...``Trace/maximumTokens`` tokens.
    public func sample(_ generator: inout SplitMix64) -> Int {
        switch self {
        case .fixed(let length): Self.bounded(Double(length))
        case .uniform(let range):
            // 1 - unit() is in 0..<1.
            Self.bounded(
                Double(range.lowerBound)
                    + ((Double(range.upperBound) - Double(range.lowerBound) + 1) * (1 - generator.unit())).rounded(
                        .down))
        case .normal(let mean, let deviation): Self.bounded(mean + deviation * Self.standardNormal(&generator))
        case .lognormal(let median, let sigma): Self.bounded(median * exp(sigma * Self.standardNormal(&generator)))
        case .exponential(let mean): Self.bounded(-mean * log(generator.unit()))
        }
    }

    /// Box and Muller, "A note on the generation of random normal deviates", 1958.
    private static func standardNormal(_ generator: inout SplitMix64) -> Double {
        let radius = (-2 * log(generator.unit())).squareRoot()
        return radius * cos(2 * .pi * generator.unit())
    }

    private static func bounded(_ length: Double) -> Int {
        guard length >= 1 else { return 1 }
        return Int(min(length.rounded(), Double(Trace.maximumTokens)))
    }
}
