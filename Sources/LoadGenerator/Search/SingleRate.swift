// The policy of a call that names one load.

/// One run at one rate.
public struct SingleRate: RatePolicy, Equatable {
    private let step: RateStep
    private var outcome: StepOutcome?

    /// - Parameter rate: requests per second; of a trace or a closed loop, what it comes to.
    public init(rate: Double, seed: UInt64) {
        step = RateStep(rate: rate, seed: seed, purpose: .run)
    }

    /// The run, until it has been made.
    public var next: RateStep? { outcome == nil ? step : nil }
    /// The run, until it has been made.
    public var ahead: [RateStep] { next.map { [$0] } ?? [] }

    /// One run finds no maximum.
    public var finding: RateFinding {
        let verdict: Verdict =
            switch outcome {
            case .proved: .valid
            case .holds: .inconclusive
            case .broken: .missed
            case .invalid: .invalid
            case .ended, nil: .interrupted
            }
        return RateFinding(verdict: verdict, deciding: outcome == nil ? [] : [0])
    }

    /// Takes what the run said.
    public mutating func record(_ outcome: StepOutcome, _ evidence: [Evidence] = []) { self.outcome = outcome }
}
