// Which rates to try, which to try next, and what a run at one of them says. No clock, no network.

/// What a run on one rung of the ladder says.
public enum RungVerdict: String, Sendable, Codable {
    /// No request failed and the TTFT bound holds at p99.
    case pass
    /// The p99 TTFT breaks the bound.
    case slow
    /// A request failed.
    case failures
    /// The run was ended before it could say.
    case incomplete

    /// Judges a run. A failure is a miss that no quantile forgives here: a ladder asks for the last clean rate.
    public init(_ result: RunResult, bound: Duration) {
        let ttft = RunSummary.timesToFirstToken(result)
        let isSlow = ttft.quantile(perThousand: 990).map { $0 > bound } ?? true
        let hasFailures = result.records.contains { record in
            guard case .failed(let kind, _) = record.outcome else { return false }
            return kind != .unfinished
        }
        switch result.ending {
        case .interrupted, .deadline: self = .incomplete
        case .complete, .lost: self = hasFailures ? .failures : isSlow ? .slow : .pass
        }
    }
}

/// The ascending rates of a ladder.
public struct LadderRates: Sendable, Equatable {
    /// The most rungs a ladder may have.
    public static let maximumRungs = 64

    /// Requests per second, ascending.
    public let rates: [Double]

    /// Takes ascending rates.
    ///
    /// - Throws: a usage error for none, too many, one that is not finite and positive, or an order that does not ascend.
    public init(_ rates: [Double]) throws(LoadGeneratorError) {
        guard !rates.isEmpty, rates.count <= Self.maximumRungs else {
            throw LoadGeneratorError(.usage, "ladder", "\(rates.count) rates: it takes 1 to \(Self.maximumRungs)")
        }
        if let bad = rates.first(where: { !$0.isFinite || $0 <= 0 || $0 > ArrivalSchedule.maximumRate }) {
            throw LoadGeneratorError(.usage, "ladder", "\(bad) is not a rate above 0 requests per second")
        }
        guard zip(rates, rates.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw LoadGeneratorError(.usage, "ladder", "the rates must ascend: \(rates)")
        }
        self.rates = rates
    }

    /// Reads `0.5,1,2,4`, or `START:FACTOR:STEPS` such as `0.5:2:4` for the same.
    ///
    /// - Throws: a usage error for text that is neither.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 3 {
            guard let start = Double(parts[0]), let factor = Double(parts[1]), let steps = Int(parts[2]),
                factor > 1, steps > 0, steps <= Self.maximumRungs
            else {
                throw LoadGeneratorError(
                    .usage, "ladder '\(text)'", "START:FACTOR:STEPS needs a factor above 1 and 1 to 64 steps")
            }
            var rates: [Double] = []
            for _ in 0..<steps { rates.append((rates.last.map { $0 * factor }) ?? start) }
            try self.init(rates)
            return
        }
        var rates: [Double] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let rate = Double(part.trimmingPrefix { $0 == " " }) else {
                throw LoadGeneratorError(
                    .usage, "ladder '\(text)'", "'\(part)' is not a number: write 0.5,1,2,4 or START:FACTOR:STEPS")
            }
            rates.append(rate)
        }
        try self.init(rates)
    }
}

/// The climb of several modes up the same ladder, rate by rate, so that each mode is measured next to the others.
///
/// A mode leaves at its first rung that does not pass.
public struct LadderClimb: Sendable, Equatable {
    /// A run to make.
    public struct Rung: Sendable, Equatable {
        /// The index of the mode.
        public let mode: Int
        /// The rate, requests per second.
        public let rate: Double
    }

    private let rates: [Double]
    private var step = 0
    private var pending: [Int]
    private var climbing: [Int] = []
    /// The highest rate each mode passed, by mode index.
    public private(set) var highestPassing: [Double?]

    /// Starts `modes` modes at the lowest rate.
    public init(_ ladder: LadderRates, modes: Int) {
        rates = ladder.rates
        pending = Array(0..<modes)
        highestPassing = Array(repeating: nil, count: modes)
    }

    /// The next run, or nil when no mode climbs any further.
    public var next: Rung? {
        guard step < rates.count, let mode = pending.first else { return nil }
        return Rung(mode: mode, rate: rates[step])
    }

    /// Takes the verdict on ``next``.
    public mutating func record(_ verdict: RungVerdict) {
        guard let rung = next else { return }
        pending.removeFirst()
        if verdict == .pass {
            highestPassing[rung.mode] = rung.rate
            climbing.append(rung.mode)
        }
        if pending.isEmpty {
            step += 1
            pending = climbing
            climbing = []
        }
    }
}
