// When each request is due: decided before the first one is sent.

import Foundation

/// How the gaps between arrivals are distributed.
public enum ArrivalProcess: String, Sendable, Codable, CaseIterable {
    /// Independent exponential gaps: many users who do not know of each other.
    case poisson
    /// Equal gaps.
    case constant

    /// Reads the name of a process.
    ///
    /// - Throws: a usage error that lists the names.
    public init(parsing text: String) throws(LoadGeneratorError) {
        guard let process = Self(rawValue: text) else {
            let names = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw LoadGeneratorError(.usage, "'\(text)'", "not a kind of arrivals: write one of \(names)")
        }
        self = process
    }
}

/// The absolute times, counted from the start of the measured window, at which requests are due.
///
/// It is a pure function of process, rate, length and seed, and nothing that happens during the run moves it:
/// a request that is sent late is still measured from here. Gaps are never rescaled to fit a window, because
/// that would not be a Poisson process any more.
public struct ArrivalSchedule: Sendable, Equatable {
    /// More arrivals than this are refused: the schedule is held in memory.
    public static let maximumCount = 10_000_000
    /// The greatest rate that makes sense to ask of one generator, in requests per second.
    public static let maximumRate = 1_000_000.0

    /// The kind of arrivals.
    public let process: ArrivalProcess
    /// The rate asked for, in requests per second.
    public let rate: Double
    /// The seed of the gaps; a constant schedule does not depend on it.
    public let seed: UInt64
    /// The length of the window the arrivals lie in.
    public let span: Duration
    /// Due times from the window's start, ascending.
    public let offsets: [Duration]

    /// All arrivals of a window, 0 <= offset < duration.
    ///
    /// A Poisson window holds a random number of arrivals, `rate * duration` on average, possibly none.
    /// - Throws: a usage error for a rate that is not finite and positive, a duration that is not positive, or more than
    ///   ``maximumCount`` expected arrivals.
    public init(
        _ process: ArrivalProcess, rate: Double, duration: Duration, seed: UInt64
    ) throws(LoadGeneratorError) {
        try Self.check(rate: rate, expected: rate * duration.seconds)
        guard duration > .zero else {
            throw LoadGeneratorError(.usage, "duration", "\(duration) is not more than 0 s")
        }
        var arrivals = Arrivals(process, rate: rate, seed: seed)
        var offsets: [Duration] = []
        var next = arrivals.next()
        while next < duration, offsets.count < Self.maximumCount {
            offsets.append(next)
            next = arrivals.next()
        }
        self.init(process: process, rate: rate, seed: seed, span: duration, offsets: offsets)
    }

    /// A given number of arrivals in a window of `count / rate`.
    ///
    /// Runs that are compared with each other need equally many samples, which a window of fixed length does not promise.
    /// The Poisson times are those of a Poisson process known to have had `count` arrivals in the window: independent,
    /// uniform, sorted. One seed gives the same arrivals at every rate, only denser.
    /// - Throws: a usage error for a rate that is not finite and positive, or a count outside 1...``maximumCount``.
    public init(_ process: ArrivalProcess, rate: Double, count: Int, seed: UInt64) throws(LoadGeneratorError) {
        try Self.check(rate: rate, expected: Double(count))
        guard count > 0 else {
            throw LoadGeneratorError(.usage, "request count", "\(count) is not at least 1")
        }
        let span = Double(count) / rate
        var offsets: [Duration]
        switch process {
        case .constant:
            var arrivals = Arrivals(process, rate: rate, seed: seed)
            offsets = (0..<count).map { _ in arrivals.next() }
        case .poisson:
            var generator = SplitMix64(seed: seed)
            offsets = (0..<count).map { _ in .nanoseconds(Int64((generator.unit() * span * 1e9).rounded())) }.sorted()
        }
        self.init(
            process: process, rate: rate, seed: seed, span: .nanoseconds(Int64((span * 1e9).rounded())),
            offsets: offsets)
    }

    private init(process: ArrivalProcess, rate: Double, seed: UInt64, span: Duration, offsets: [Duration]) {
        self.process = process
        self.rate = rate
        self.seed = seed
        self.span = span
        self.offsets = offsets
    }

    private static func check(rate: Double, expected: Double) throws(LoadGeneratorError) {
        guard rate.isFinite, rate > 0, rate <= maximumRate else {
            throw LoadGeneratorError(
                .usage, "rate", "\(rate) is not a number of requests per second above 0 and up to \(Int(maximumRate))")
        }
        guard expected <= Double(maximumCount), expected / rate < 1e9 else {
            throw LoadGeneratorError(
                .usage, "rate", "makes more than \(maximumCount) requests, or a run of decades: change the duration")
        }
    }
}

/// The endless sequence of due times of one process.
private struct Arrivals {
    private let process: ArrivalProcess
    private let rate: Double
    private var generator: SplitMix64
    /// Seconds since the window's start: the sum of the gaps so far, or the index of the next constant arrival.
    private var elapsed = 0.0
    private var index = 0

    init(_ process: ArrivalProcess, rate: Double, seed: UInt64) {
        self.process = process
        self.rate = rate
        generator = SplitMix64(seed: seed)
    }

    mutating func next() -> Duration {
        switch process {
        case .constant:
            // A product, not a running sum: no rounding error piles up over a long run.
            defer { index += 1 }
            return .nanoseconds(Int64((Double(index) / rate * 1e9).rounded()))
        case .poisson:
            elapsed += -log(generator.unit()) / rate
            return .nanoseconds(Int64(min(elapsed * 1e9, 9e18).rounded()))
        }
    }
}
