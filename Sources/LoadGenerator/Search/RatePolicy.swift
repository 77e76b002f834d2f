// Which rates to try, one after the other: what all ways of going about it have in common.

/// Why a run is made.
public enum RunPurpose: String, Sendable, Codable {
    /// The one run that was asked for.
    case run
    /// A rung of a ladder.
    case rung
    /// Between which rates the maximum lies.
    case bracket
    /// Where between them.
    case bisect
    /// Whether it is true.
    case confirm
}

/// A run to make.
public struct RateStep: Sendable, Equatable {
    /// Requests per second.
    public let rate: Double
    /// The seed of its arrivals.
    public let seed: UInt64
    /// Why it is made.
    public let purpose: RunPurpose

    /// Makes a step.
    public init(rate: Double, seed: UInt64, purpose: RunPurpose) {
        self.rate = rate
        self.seed = seed
        self.purpose = purpose
    }
}

/// What a run at a rate said, as far as a policy needs to know.
public enum StepOutcome: Sendable, Equatable {
    /// Every promise holds as measured, and the run proves it.
    case proved
    /// Every promise holds as measured.
    case holds
    /// A promise is broken.
    case broken
    /// The generator was the bottleneck: the server was not measured.
    case invalid
    /// Somebody ended the run.
    case ended

    /// Reads a judgement.
    public init(_ judgement: Judgement) {
        self =
            switch judgement.verdict {
            case .valid: .proved
            case .measured: .holds
            case .inconclusive: judgement.isPassing ? .holds : .broken
            case .missed: .broken
            case .invalid: .invalid
            case .interrupted: .ended
            }
    }
}

/// What a run counted about one promise.
public struct Evidence: Sendable, Equatable {
    /// For how many requests it must hold.
    public var percentile: Percentile
    /// Requests it applies to.
    public var samples: Int
    /// Those that broke it.
    public var misses: Int

    /// Makes evidence.
    public init(_ percentile: Percentile, samples: Int, misses: Int) {
        self.percentile = percentile
        self.samples = samples
        self.misses = misses
    }

    /// Reads a promise's result.
    init(_ result: ObjectiveResult) {
        self.init(result.objective.percentile, samples: result.samples, misses: result.misses)
    }
}

/// What a policy found, at any time.
public struct RateFinding: Sendable, Equatable {
    /// The highest rate that is proved to keep every promise; nil while none is.
    public var highest: Double?
    /// The highest rate that kept every promise as measured, proved or not.
    public var passed: Double?
    /// The lowest rate above it that does not.
    public var lowestBroken: Double?
    /// VALID when `highest` is proved, and found by a search that went to its end.
    public var verdict: Verdict
    /// Why the verdict is not better, or what `highest` is worth.
    public var reasons: [String]
    /// The runs all of this stands on, by their place among those recorded: those that proved `highest`, or else those that
    /// tell most. Together they say how sure it is.
    public var deciding: [Int]

    /// Makes a finding.
    ///
    /// - Parameter passed: nil takes `highest`.
    public init(
        highest: Double? = nil, passed: Double? = nil, lowestBroken: Double? = nil, verdict: Verdict,
        reasons: [String] = [], deciding: [Int] = []
    ) {
        self.highest = highest
        self.passed = passed ?? highest
        self.lowestBroken = lowestBroken
        self.verdict = verdict
        self.reasons = reasons
        self.deciding = deciding
    }

    /// What is known when the time given is over. What is proved stays proved, but more may have been found.
    mutating func endInTime() {
        guard verdict == .interrupted else { return }
        verdict = highest == nil ? .inconclusive : .valid
        reasons = [
            highest == nil
                ? "the time given ended it before a rate was proved"
                : "the time given ended it: the server may sustain more"
        ]
    }
}

/// Decides about rates; a pure value.
public protocol RatePolicy: Sendable {
    /// The next run to make; nil when there is nothing more to find.
    var next: RateStep? { get }
    /// The rates of the runs that are probably still to come, ``next`` among them: what an estimate of time stands on.
    var ahead: [RateStep] { get }
    /// What is known.
    var finding: RateFinding { get }
    /// Takes what ``next`` said, and what it counted about each promise.
    mutating func record(_ outcome: StepOutcome, _ evidence: [Evidence])
    /// How many of `count` requests of ``next`` may break a promise before the run is of no more use; nil leaves it to the
    /// measured percentile.
    func allowedMisses(_ objective: Int, _ percentile: Percentile, of count: Int) -> Int?
}

/// No run at all: it is known before that no rate can keep the promises.
public struct NoRate: RatePolicy, Equatable {
    private let reason: String

    /// - Parameter reason: why none can.
    public init(reason: String) {
        self.reason = reason
    }

    /// Nothing is to be run.
    public var next: RateStep? { nil }
    /// Nothing is to be run.
    public var ahead: [RateStep] { [] }
    /// No rate.
    public var finding: RateFinding { RateFinding(verdict: .missed, reasons: [reason]) }
    /// Nothing is recorded.
    public mutating func record(_ outcome: StepOutcome, _ evidence: [Evidence]) {}
}

extension RatePolicy {
    /// Most policies ask for nothing but the measured percentile.
    public func allowedMisses(_ objective: Int, _ percentile: Percentile, of count: Int) -> Int? { nil }
}
