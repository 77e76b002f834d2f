// Rates from low to high until a promise breaks: quick, and the paper's way.

/// The ascending rates of a ladder.
public struct LadderRates: Sendable, Equatable {
    /// The most rungs a ladder may have.
    public static let maximumRungs = 64

    /// From a quarter of what a server gives to one request after the other to four times that: enough to see where it is
    /// at rest, queues, and fails.
    static let wide = LadderRates(checked: [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4], isRelative: true)

    /// Ascending: requests per second, or multiples of what a mode gives to one request after the other.
    public let steps: [Double]
    /// Whether they are multiples. Modes of very different speed can then climb side by side.
    public let isRelative: Bool

    private init(checked steps: [Double], isRelative: Bool) {
        self.steps = steps
        self.isRelative = isRelative
    }

    /// Takes ascending rates.
    ///
    /// - Throws: a usage error for none, too many, one that is not finite and positive, or an order that does not ascend.
    public init(_ steps: [Double], isRelative: Bool = false) throws(LoadGeneratorError) {
        guard !steps.isEmpty, steps.count <= Self.maximumRungs else {
            throw LoadGeneratorError(.usage, "ladder", "\(steps.count) rates: it takes 1 to \(Self.maximumRungs)")
        }
        if let bad = steps.first(where: { !$0.isFinite || $0 <= 0 || $0 > ArrivalSchedule.maximumRate }) {
            throw LoadGeneratorError(.usage, "ladder", "\(bad) is not a rate above 0 requests per second")
        }
        guard zip(steps, steps.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw LoadGeneratorError(.usage, "ladder", "the rates must ascend: \(steps)")
        }
        self.init(checked: steps, isRelative: isRelative)
    }

    /// Reads `0.5,1,2,4`, or `START:FACTOR:STEPS` such as `0.5:2:4` for the same; `0.5x,1x` and `0.5x:2:2` are multiples.
    ///
    /// - Throws: a usage error for text that is neither.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 3 {
            guard let start = Self.step(parts[0]), let factor = Double(parts[1]), let count = Int(parts[2]),
                factor > 1, count > 0, count <= Self.maximumRungs
            else {
                throw LoadGeneratorError(
                    .usage, "ladder '\(text)'", "START:FACTOR:STEPS needs a factor above 1 and 1 to 64 steps")
            }
            var steps: [Double] = []
            for _ in 0..<count { steps.append((steps.last.map { $0 * factor }) ?? start.value) }
            try self.init(steps, isRelative: start.isRelative)
            return
        }
        var steps: [(value: Double, isRelative: Bool)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let step = Self.step(part.drop { $0 == " " }) else {
                throw LoadGeneratorError(
                    .usage, "ladder '\(text)'", "'\(part)' is not a number: write 0.5,1,2,4 or START:FACTOR:STEPS")
            }
            steps.append(step)
        }
        let isRelative = steps.first?.isRelative ?? false
        guard steps.allSatisfy({ $0.isRelative == isRelative }) else {
            throw LoadGeneratorError(
                .usage, "ladder '\(text)'", "mixes rates with multiples: write an x behind all of them or none")
        }
        try self.init(steps.map(\.value), isRelative: isRelative)
    }

    private static func step(_ text: Substring) -> (value: Double, isRelative: Bool)? {
        let isRelative = text.hasSuffix("x")
        return Double(isRelative ? text.dropLast() : text).map { ($0, isRelative) }
    }

    /// The rates of a mode.
    ///
    /// - Parameter sequential: above 0; requests per second that it gives to one request after the other.
    func rates(sequential: Double) -> [Double] {
        isRelative ? steps.map { min($0 * max(sequential, 1e-6), ArrivalSchedule.maximumRate) } : steps
    }
}

/// Climbs a ladder to its first rate that breaks a promise.
///
/// It is quick and says so: each rate is tried once. The paper's policy is this climb with its own rule of what passes
/// (``PaperRule``).
public struct LadderClimb: RatePolicy, Equatable {
    private let rates: [Double]
    private let seed: UInt64
    private var step = 0
    /// Runs so far, and the one that says most: the highest that passed, or the lowest that did not.
    private var runs = 0
    private var deciding: Int?
    private var highest: Double?
    private var isProved = true
    private var lowestBroken: Double?
    private var isInvalid = false
    private var isEnded = false

    /// Starts at the lowest rate; every rung has the same seed.
    ///
    /// - Parameter sequential: above 0; requests per second that the mode gives to one request after the other.
    public init(_ ladder: LadderRates, sequential: Double = 1, seed: UInt64) {
        rates = ladder.rates(sequential: sequential)
        self.seed = seed
    }

    /// The next rung.
    public var next: RateStep? { ahead.first }

    /// All rungs above.
    public var ahead: [RateStep] {
        guard lowestBroken == nil, !isInvalid, !isEnded else { return [] }
        return rates[step...].map { RateStep(rate: $0, seed: seed, purpose: .rung) }
    }

    /// What is known.
    public var finding: RateFinding {
        var finding = RateFinding(
            highest: isProved ? highest : nil, passed: highest, lowestBroken: lowestBroken, verdict: .inconclusive,
            deciding: deciding.map { [$0] } ?? [])
        if isInvalid {
            finding.verdict = .invalid
            finding.reasons = ["the load generator could not send more"]
        } else if lowestBroken == nil, isEnded || step < rates.count {
            finding.verdict = .interrupted
            finding.reasons = ["the climb was ended"]
        } else if highest == nil {
            finding.verdict = .missed
            finding.reasons = ["no rate of the ladder keeps the promises"]
        } else {
            finding.verdict = isProved ? .valid : .inconclusive
            if lowestBroken == nil { finding.reasons.append("the ladder's top passed: the server may sustain more") }
            if !isProved { finding.reasons.append("a quick estimate: the rungs are too short to prove it") }
        }
        return finding
    }

    /// Takes what the rung said.
    public mutating func record(_ outcome: StepOutcome, _ evidence: [Evidence] = []) {
        guard step < rates.count else { return }
        defer { runs += 1 }
        switch outcome {
        case .proved, .holds:
            deciding = runs
            highest = rates[step]
            isProved = outcome == .proved
            step += 1
        case .broken:
            lowestBroken = rates[step]
            deciding = deciding ?? runs
        case .invalid: isInvalid = true
        case .ended: isEnded = true
        }
    }
}
