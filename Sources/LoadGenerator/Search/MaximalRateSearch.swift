// The search for the highest rate that keeps every promise.

import Foundation

/// Brackets the maximal rate, bisects the bracket, then confirms with fresh seeds (DESIGN section 7).
///
/// Runs on the way pass when every promise holds as measured; the result must be proved, by the confirmations taken
/// together: one unlucky stretch of arrivals is part of what is promised, and so is every lucky one. Where they fail, the
/// search steps down, a little further each time. Where they succeed, the rate above is tried once more at full length: an
/// unlucky run on the way must not lower the result.
public struct MaximalRateSearch: RatePolicy, Equatable {
    private enum Phase: Equatable {
        case bracket
        case bisect
        case confirm
        case recheck
        case over
    }

    private struct Proof: Equatable {
        var rate: Double
        var runs: [Int]
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
    /// The confirmations themselves, by their number among all runs.
    private var confirming: [Int] = []
    /// The highest rate whose confirmations proved it: what a failed step up comes back to.
    private var proved: Proof?
    /// The lowest rate that broke a promise as measured; ``high`` may only lack a proof, or be still to be tried.
    private var broken: Double?
    /// The last runs at ``low`` and ``high``.
    private var lowRun: Int?
    private var highRun: Int?
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
        RateFinding(
            highest: proved?.rate, passed: low, lowestBroken: broken,
            verdict: phase == .over ? end : .interrupted,
            reasons: phase == .over ? reasons : ["the search was ended after \(runs) runs"], deciding: deciding)
    }

    /// The runs that proved the result; before that the confirmations so far, or the run that tells most.
    private var deciding: [Int] {
        if let proved { return proved.runs }
        if !confirming.isEmpty { return confirming }
        return [lowRun ?? (isHighInvalid ? nil : highRun)].compactMap(\.self)
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
        case .proved, .holds: (low, lowRun) = (rate, runs - 1)
        case .broken:
            (high, isHighInvalid, highRun) = (rate, false, runs - 1)
            noteBroken()
        case .invalid: (high, isHighInvalid) = (rate, true)
        case .ended: break
        }
    }

    private mutating func noteBroken() { broken = min(broken ?? rate, rate) }

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
        confirming = []
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
        confirming.append(runs - 1)
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
            (low, proved) = (rate, Proof(rate: rate, runs: confirming))
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
        case .broken:
            noteBroken()
            stepDown(isInvalid: false)
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
        low = proved?.rate
        guard proved == nil else { return finish(.valid, nil) }
        stepsDown += 1
        guard stepsDown <= Self.maximumStepsDown else {
            return finish(.inconclusive, "no rate was confirmed after \(stepsDown) steps down")
        }
        startConfirming(at: rate / pow(1 + settings.precision, Double((stepsDown + 1) / 2)))
    }

    private mutating func recheck(_ outcome: StepOutcome, _ evidence: [Evidence]) {
        guard outcome == .proved, stepsUp < Self.maximumStepsUp else {
            if outcome == .broken { noteBroken() }
            if outcome == .proved { broken = nil }
            return finish(.valid, outcome == .holds ? "the next rate up was neither proved nor refuted" : nil)
        }
        stepsUp += 1
        broken = nil
        high = min(rate * (1 + settings.precision), settings.ceiling)
        startConfirming(at: rate)
        pool(evidence)
        guard settings.confirmations == 1 else { return }
        (low, proved) = (rate, Proof(rate: rate, runs: confirming))
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
