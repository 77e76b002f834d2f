// The search for the highest rate that keeps every promise.

import Foundation

/// Brackets the maximal rate, bisects the bracket, then confirms with fresh seeds (DESIGN section 7).
///
/// Runs on the way pass when every promise holds as measured; the result must be proved, by the confirmations taken
/// together: one unlucky stretch of arrivals is part of what is promised, and so is every lucky one. Where they fail, the
/// search steps down, a little further each time. Where they succeed, the rate above is tried once more at full length: an
/// unlucky run on the way must not lower the result.
public struct MaximalRateSearch: RatePolicy, Equatable {
    /// What is asked of a search.
    public struct Settings: Sendable, Equatable {
        /// The first rate to try, requests per second.
        public var start: Double
        /// The highest rate to try.
        public var ceiling: Double
        /// The bracket is narrow enough when its ends differ by less than this share.
        public var precision: Double
        /// Runs with fresh seeds that, taken together, must prove the result.
        public var confirmations: Int
        /// How sure the proof must be, 0...1.
        public var confidence: Double
        /// The seed all others are drawn from.
        public var seed: UInt64
        /// Runs after which the search gives up.
        public var maximumRuns: Int

        /// Makes settings.
        public init(
            start: Double, ceiling: Double = ArrivalSchedule.maximumRate, precision: Double = 0.05,
            confirmations: Int = 2, confidence: Double = 0.99, seed: UInt64 = 1, maximumRuns: Int = 40
        ) {
            self.start = start
            self.ceiling = ceiling
            self.precision = precision
            self.confirmations = confirmations
            self.confidence = confidence
            self.seed = seed
            self.maximumRuns = maximumRuns
        }
    }

    private enum Phase: Equatable {
        case bracket
        case bisect
        case confirm
        case recheck
        case over
    }

    /// A rate this far below the first that still breaks a promise ends the search: the server can't keep it at all.
    private static let deepest = 1.0 / 4096
    /// Runs in which the generator was late before that is taken for its limit: a busy moment is not.
    private static let maximumInvalidRuns = 3
    /// Steps down after failed confirmations.
    private static let maximumStepsDown = 6
    /// Steps up after a rate that was taken for too high had passed.
    private static let maximumStepsUp = 6

    private let settings: Settings
    private var phase = Phase.bracket
    private var rate: Double
    private var low: Double?
    private var high: Double?
    private var isHighInvalid = false
    private var runs = 0
    private var invalidRuns = 0
    /// Confirmations of the present rate, and what they counted together.
    private var confirmed = 0
    private var pooled: [Evidence] = []
    /// The highest rate whose confirmations proved it: what a failed step up comes back to.
    private var proved: Double?
    private var stepsDown = 0
    private var stepsUp = 0
    private var reasons: [String] = []
    private var end = Verdict.interrupted
    private var seeds: SplitMix64
    private var seed: UInt64

    /// Starts a search.
    public init(_ settings: Settings) {
        self.settings = settings
        rate = min(settings.start, settings.ceiling)
        seeds = SplitMix64(seed: settings.seed)
        seed = settings.seed
    }

    /// The next run.
    public var next: RateStep? {
        switch phase {
        case .bracket: RateStep(rate: rate, seed: seed, purpose: .bracket)
        case .bisect: RateStep(rate: rate, seed: seed, purpose: .bisect)
        case .confirm, .recheck: RateStep(rate: rate, seed: seed, purpose: .confirm)
        case .over: nil
        }
    }

    /// The runs that are probably to come.
    public var ahead: [RateStep] {
        guard let next else { return [] }
        let bottom = low ?? rate / 2
        let top = high ?? rate * 2
        let isFound = phase == .confirm || phase == .recheck
        let remaining = isFound ? 0 : bisections(from: bottom, to: top)
        let found = isFound ? rate : (bottom * top).squareRoot()
        // The confirmations, and one run at the rate above.
        let missing = phase == .recheck ? 0 : max(0, settings.confirmations - confirmed + (phase == .confirm ? 0 : 1))
        return [next] + Array(repeating: RateStep(rate: found, seed: 0, purpose: .bisect), count: remaining)
            + Array(repeating: RateStep(rate: found, seed: 0, purpose: .confirm), count: missing)
    }

    private func bisections(from low: Double, to high: Double) -> Int {
        guard high > low, low > 0 else { return 0 }
        return max(0, Int(log2(log(high / low) / log1p(settings.precision)).rounded(.up)))
    }

    /// What is known.
    public var finding: RateFinding {
        let broken = isHighInvalid ? nil : high
        guard phase == .over else {
            return RateFinding(
                highest: low, lowestBroken: broken, verdict: .interrupted,
                reasons: [
                    "the search was ended after \(runs) runs; \(low == nil ? "no rate" : "the rate") passed unconfirmed"
                ])
        }
        return RateFinding(highest: low, lowestBroken: broken, verdict: end, reasons: reasons)
    }

    /// Takes what the run said.
    public mutating func record(_ outcome: StepOutcome, _ evidence: [Evidence] = []) {
        guard phase != .over else { return }
        runs += 1
        if outcome == .ended { return }
        // Every run but a repetition on the way has arrivals of its own.
        seed = seeds.next() >> 1
        invalidRuns = outcome == .invalid ? invalidRuns + 1 : 0
        if invalidRuns > 0, invalidRuns < Self.maximumInvalidRuns, runs < settings.maximumRuns { return }
        invalidRuns = 0
        switch phase {
        case .bracket: bracket(outcome)
        case .bisect: bisect(outcome)
        case .confirm: confirm(outcome, evidence)
        case .recheck: recheck(outcome, evidence)
        case .over: break
        }
        if phase != .over, runs >= settings.maximumRuns {
            finish(.inconclusive, "no proof after \(runs) runs: the server is not steady enough for this promise")
        }
    }

    private mutating func bracket(_ outcome: StepOutcome) {
        take(outcome)
        if let low, low >= settings.ceiling { return startConfirming(at: low) }
        if low != nil, high != nil { return narrow() }
        rate = low == nil ? rate / 2 : min(rate * 2, settings.ceiling)
        guard rate >= settings.start * Self.deepest else {
            return isHighInvalid
                ? finish(.invalid, "the load generator was the bottleneck at every rate")
                : finish(.missed, "no rate keeps the promises: already \(RateText.perSecond(high ?? rate)) breaks them")
        }
    }

    private mutating func bisect(_ outcome: StepOutcome) {
        take(outcome)
        narrow()
    }

    private mutating func take(_ outcome: StepOutcome) {
        switch outcome {
        case .proved, .holds: low = rate
        case .broken: (high, isHighInvalid) = (rate, false)
        case .invalid: (high, isHighInvalid) = (rate, true)
        case .ended: break
        }
    }

    private mutating func narrow() {
        guard let low, let high else { return }
        if high / low > 1 + settings.precision {
            phase = .bisect
            rate = (low * high).squareRoot()
        } else {
            startConfirming(at: low)
        }
    }

    private mutating func startConfirming(at found: Double) {
        phase = .confirm
        rate = found
        confirmed = 0
        pooled = []
    }

    /// A confirmation is of use until all of them together can no longer prove a promise.
    public func allowedMisses(_ objective: Int, _ percentile: Percentile, of count: Int) -> Int? {
        guard phase == .confirm || phase == .recheck else { return nil }
        let known = phase == .confirm && pooled.indices.contains(objective) ? pooled[objective] : nil
        let runs = phase == .confirm ? settings.confirmations - confirmed : 1
        let all = (known?.samples ?? 0) + count * runs
        let allowed =
            BinomialTest.allowedMisses(of: all, percentile, confidence: settings.confidence)
            ?? LatencyDistribution.allowedMisses(percentile, of: all)
        return max(0, allowed - (known?.misses ?? 0))
    }

    private mutating func pool(_ evidence: [Evidence]) {
        confirmed += 1
        guard pooled.count == evidence.count else {
            pooled = evidence
            return
        }
        for index in evidence.indices {
            pooled[index].samples += evidence[index].samples
            pooled[index].misses += evidence[index].misses
        }
    }

    /// What all confirmations of the present rate say together.
    private var together: StepOutcome {
        if pooled.allSatisfy({
            BinomialTest.proves(misses: $0.misses, of: $0.samples, $0.percentile, confidence: settings.confidence)
        }) {
            return .proved
        }
        let holds = pooled.allSatisfy {
            $0.samples > 0 && $0.misses <= LatencyDistribution.allowedMisses($0.percentile, of: $0.samples)
        }
        return holds ? .holds : .broken
    }

    private mutating func confirm(_ outcome: StepOutcome, _ evidence: [Evidence]) {
        if outcome == .invalid { return stepDown(isInvalid: true) }
        // What a run could not know before it was cut short.
        let isHopeless = evidence.enumerated().contains { index, one in
            one.misses > allowedMisses(index, one.percentile, of: one.samples) ?? .max
        }
        pool(evidence)
        guard confirmed >= settings.confirmations || isHopeless else { return }
        switch together {
        case .proved:
            (low, proved) = (rate, rate)
            if isHighInvalid {
                finish(
                    .invalid,
                    "the server keeps its promises at \(RateText.perSecond(rate)); the load generator can't send more, so this is no maximum"
                )
            } else if let high, stepsDown == 0, high > rate {
                phase = .recheck
                rate = high
            } else {
                finish(
                    .valid,
                    high == nil ? "this is the highest rate that was to be tried: the server may sustain more" : nil)
            }
        case .holds where canNeverProve:
            low = rate
            finish(
                .inconclusive,
                "the promises hold at this rate, but \(pooled.first?.samples ?? 0) requests are too few to prove it")
        default: stepDown(isInvalid: false)
        }
    }

    /// Whether so few requests would prove nothing even without a miss.
    private var canNeverProve: Bool {
        pooled.contains {
            BinomialTest.allowedMisses(of: $0.samples, $0.percentile, confidence: settings.confidence) == nil
        }
    }

    private mutating func stepDown(isInvalid: Bool) {
        (high, isHighInvalid) = (rate, isInvalid)
        low = proved
        guard proved == nil else { return finish(.valid, nil) }
        stepsDown += 1
        guard stepsDown <= Self.maximumStepsDown else {
            return finish(.inconclusive, "no rate was confirmed after \(stepsDown) steps down")
        }
        startConfirming(at: rate / pow(1 + settings.precision, Double((stepsDown + 1) / 2)))
    }

    private mutating func recheck(_ outcome: StepOutcome, _ evidence: [Evidence]) {
        guard outcome == .proved, stepsUp < Self.maximumStepsUp else {
            if outcome == .invalid { isHighInvalid = true }
            return finish(.valid, outcome == .holds ? "the next rate up was neither proved nor refuted" : nil)
        }
        stepsUp += 1
        high = min(rate * (1 + settings.precision), settings.ceiling)
        startConfirming(at: rate)
        pool(evidence)
        guard settings.confirmations == 1 else { return }
        (low, proved) = (rate, rate)
        recheckAbove()
    }

    private mutating func recheckAbove() {
        guard let high, high > rate else { return finish(.valid, nil) }
        phase = .recheck
        rate = high
    }

    private mutating func finish(_ verdict: Verdict, _ reason: String?) {
        phase = .over
        end = verdict
        if let reason { reasons.append(reason) }
    }
}
