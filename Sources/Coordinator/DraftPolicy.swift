// How many tokens the speculator guesses ahead of a pipeline: learned from what guessing brought.

/// How often guesses are right, the newest weighing most.
package struct DraftAgreement: Sendable, Equatable {
    private var right = 0.0
    private var tried = 0.0
    private static let memory = 0.9

    package init() {}

    /// Of so many guesses, so many were right; the first wrong one ends the row.
    package mutating func verified(proposed: Int, accepted: Int) {
        right = right * Self.memory + Double(accepted)
        tried = tried * Self.memory + Double(min(proposed, accepted + 1))
    }

    /// The probability that a guess is right where those before it were, 0...1; while little is known, near `prior`.
    package func rate(prior: Double) -> Double { (right + 2 * prior) / (tried + 2) }
}

/// Decides how many guesses go down a pipeline with a token.
///
/// With n guesses, each right with probability a where those before it were, a round of the pipeline brings
/// 1 + a + ... + a^n tokens (arXiv 2211.17192, section 3.1). How long a round takes, the guessing included, is measured, for
/// each n and by the number of requests that decode at once. The n is chosen that brings most tokens a second, 0 among them;
/// now and then the second best is tried, the less often the longer it has not paid.
package struct DraftPolicy: Sendable {
    /// Seconds of a round, the newest weighing most.
    private struct Mean: Sendable {
        private(set) var value = 0.0
        private(set) var count = 0

        mutating func add(_ sample: Double) {
            // One that waited for something else says little of the rest.
            let sample = count > 2 ? min(sample, 1.5 * value) : sample
            count += 1
            value += (sample - value) / Double(min(count, 16))
        }
    }

    private struct Load: Sendable {
        var rounds: [Mean]
        var untilTrial = DraftPolicy.firstTrial
        var patience = DraftPolicy.firstTrial
        /// Trials so far.
        var trials = 0
    }

    private static let firstTrial = 32
    private static let longestTrial = 512
    /// Agreement that is expected where nothing is known.
    private static let hope = 0.7

    /// Numbers of guesses that are told apart, ascending from 0.
    package let counts: [Int]
    /// The number that is taken whatever it brings.
    private let fixed: Int?
    /// By the binary logarithm of the requests that decode at once.
    private var loads: [Load]
    /// Over all requests.
    private var agreement = DraftAgreement()

    /// - Parameters:
    ///   - most: guesses of one token, at least 1.
    ///   - isFixed: always as many, whatever that brings and however long it takes.
    package init(most: Int, isFixed: Bool = false) {
        fixed = isFixed ? max(1, most) : nil
        var counts = [0]
        var count = 1
        while count < most {
            counts.append(count)
            count *= 2
        }
        self.counts = counts + [max(1, most)]
        loads = Array(repeating: Load(rounds: self.counts.map { _ in Mean() }), count: 8)
    }

    private func bucket(_ decoding: Int) -> Int {
        min(loads.count - 1, Int.bitWidth - 1 - max(1, decoding).leadingZeroBitCount)
    }

    /// A round took so long, with so many guesses asked for, while so many requests decoded.
    package mutating func took(_ time: Duration, count: Int, decoding: Int) {
        guard let index = counts.firstIndex(of: count) else { return }
        loads[bucket(decoding)].rounds[index].add(max(0, time / .seconds(1)))
    }

    package mutating func verified(proposed: Int, accepted: Int) {
        agreement.verified(proposed: proposed, accepted: accepted)
    }

    /// Whether guesses are likely to pay for a request of which nothing is known.
    package func pays(decoding: Int) -> Bool {
        fixed != nil || best(loads[bucket(decoding)], rate: agreement.rate(prior: Self.hope)) > 0
    }

    /// How many guesses to ask for.
    package mutating func choose(decoding: Int, agreement own: DraftAgreement) -> Int {
        if let fixed { return fixed }
        let place = bucket(decoding)
        let rate = own.rate(prior: agreement.rate(prior: Self.hope))
        let best = best(loads[place], rate: rate)
        // Plain rounds come first: what guessing brings is held against them.
        guard loads[place].rounds[0].count > 1 else { return 0 }
        loads[place].untilTrial -= 1
        guard loads[place].untilTrial <= 0 else {
            if best > 0 { loads[place].patience = Self.firstTrial }
            return counts[best]
        }
        loads[place].patience = best > 0 ? Self.firstTrial : min(2 * loads[place].patience, Self.longestTrial)
        loads[place].untilTrial = loads[place].patience
        loads[place].trials += 1
        // Where guessing does not pay, the cheapest way to see whether it would. Else none, one step less and one more in turns.
        let others = best == 0 ? [1] : [0, best - 1, min(best + 1, counts.count - 1)]
        return counts[others[loads[place].trials % others.count]]
    }

    /// Where among ``counts`` most tokens a second are to be had.
    private func best(_ load: Load, rate: Double) -> Int {
        var best = 0
        var most = 0.0
        for (index, round) in load.rounds.enumerated() {
            // What was never tried is hoped to take as long as the step below it.
            let known = round.count > 0 ? round : load.rounds[max(0, index - 1)]
            guard known.count > 0 else { break }
            let seconds = max(known.value, 1e-9)
            let tokens = (0...counts[index]).reduce(0.0) { sum, _ in 1 + rate * sum }
            // Guessing must pay by more than what measuring is off.
            let speed = tokens / seconds * (index == 0 ? 1.03 : 1)
            if speed > most { (best, most) = (index, speed) }
        }
        return best
    }
}
