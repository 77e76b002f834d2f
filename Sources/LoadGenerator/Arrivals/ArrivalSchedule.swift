// When each request is due: decided before the first one is sent.

import Foundation

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
    /// The seed of the gaps; constant and recorded schedules do not depend on it.
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
        try process.check()
        try Self.check(rate: rate, expected: rate * duration.seconds)
        guard duration > .zero else {
            throw LoadGeneratorError(.usage, "duration", "\(duration) is not more than 0 s")
        }
        var arrivals = Arrivals(process, rate: rate, span: duration.seconds, seed: seed)
        var offsets: [Duration] = []
        while let next = arrivals.next(), next < duration, offsets.count < Self.maximumCount { offsets.append(next) }
        self.init(process: process, rate: rate, seed: seed, span: duration, offsets: offsets)
    }

    /// A given number of arrivals in a window of `count / rate`.
    ///
    /// Runs that are compared with each other need equally many samples, which a window of fixed length does not promise.
    /// The Poisson times are those of a Poisson process known to have had `count` arrivals in the window: independent,
    /// uniform, sorted. One seed gives the same arrivals at every rate, only denser. Gamma gaps are taken as they fall:
    /// their window ends with the last of them.
    /// - Throws: a usage error for a rate that is not finite and positive, or a count outside 1...``maximumCount``.
    public init(_ process: ArrivalProcess, rate: Double, count: Int, seed: UInt64) throws(LoadGeneratorError) {
        try process.check()
        try Self.check(rate: rate, expected: Double(count))
        guard count > 0 else {
            throw LoadGeneratorError(.usage, "request count", "\(count) is not at least 1")
        }
        var span = Double(count) / rate
        var offsets: [Duration] = []
        switch process {
        case .constant, .gamma, .trace:
            var arrivals = Arrivals(process, rate: rate, span: span, seed: seed)
            while offsets.count < count, let next = arrivals.next() { offsets.append(next) }
            span = max(span, offsets.last?.seconds ?? 0)
        case .poisson, .ramp:
            var generator = SplitMix64(seed: seed)
            let ramp = Ramp(process, span: span)
            offsets = (0..<count).map { _ in
                Self.instant(ramp.time(ofShare: generator.unit()))
            }.sorted()
        }
        self.init(
            process: process, rate: rate, seed: seed, span: Self.instant(span), offsets: offsets)
    }

    /// Recorded times.
    ///
    /// - Parameters:
    ///   - name: of the trace, for reports.
    ///   - offsets: ascending, from 0.
    /// - Throws: a usage error for none, or too many.
    public init(trace name: String, offsets: [Duration]) throws(LoadGeneratorError) {
        guard let last = offsets.last, offsets.count <= Self.maximumCount else {
            throw LoadGeneratorError(.usage, "trace", "\(offsets.count) requests: it takes 1 to \(Self.maximumCount)")
        }
        // The window is as long as if one more gap followed the last arrival.
        let span = offsets.count > 1 ? last + last / (offsets.count - 1) : .seconds(1)
        let length = max(span, .milliseconds(1))
        self.init(
            process: .trace(name), rate: Double(offsets.count) / length.seconds, seed: 0, span: length, offsets: offsets
        )
    }

    private init(process: ArrivalProcess, rate: Double, seed: UInt64, span: Duration, offsets: [Duration]) {
        self.process = process
        self.rate = rate
        self.seed = seed
        self.span = span
        self.offsets = offsets
    }

    /// 16 hexadecimal digits that tell this schedule from others: FNV-1a (64 bits) over the due times in nanoseconds.
    public var digest: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for offset in offsets {
            var rest = UInt64(bitPattern: offset.wholeNanoseconds)
            for _ in 0..<8 {
                hash = (hash ^ (rest & 0xff)) &* 0x0000_0100_0000_01b3
                rest >>= 8
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Seconds as a time in whole nanoseconds, at most some 285 years: a gap may be longer than can be counted.
    fileprivate static func instant(_ seconds: Double) -> Duration {
        .nanoseconds(Int64(min(seconds * 1e9, 9e18).rounded()))
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
    private let ramp: Ramp
    private var generator: SplitMix64
    /// The sum of the gaps so far, in mean gaps, or the index of the next constant arrival.
    private var elapsed = 0.0
    private var index = 0

    init(_ process: ArrivalProcess, rate: Double, span: Double, seed: UInt64) {
        self.process = process
        self.rate = rate
        ramp = Ramp(process, span: span)
        generator = SplitMix64(seed: seed)
    }

    /// Nil when a ramp's window is over.
    mutating func next() -> Duration? {
        switch process {
        case .constant, .trace:
            // A product, not a running sum: no rounding error piles up over a long run.
            defer { index += 1 }
            return ArrivalSchedule.instant(Double(index) / rate)
        case .poisson:
            elapsed += -log(generator.unit())
        case .gamma(let shape):
            elapsed += generator.gamma(shape: shape) / shape
        case .ramp:
            elapsed += -log(generator.unit())
            let share = elapsed / (rate * ramp.span)
            guard share < 1 else { return nil }
            return ArrivalSchedule.instant(ramp.time(ofShare: share))
        }
        return ArrivalSchedule.instant(elapsed / rate)
    }
}
