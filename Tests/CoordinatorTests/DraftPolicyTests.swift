import Coordinator
import Testing

@Suite("Draft policy")
struct DraftPolicyTests {
    /// A pipeline whose rounds take `plain` seconds and `guess` more for each guess, and guesses that are right with
    /// probability `agreement`: tokens a second over `rounds` rounds, as a share of what decoding without guesses brings.
    private func gain(
        agreement: Double, plain: Double = 0.02, guess: Double, most: Int = 8, rounds: Int = 4000, seed: UInt64 = 7
    ) -> Double {
        var random = Seeded(state: seed)
        var policy = DraftPolicy(most: most)
        var own = DraftAgreement()
        var (tokens, seconds, noises) = (0.0, 0.0, 0.0)
        for _ in 0..<rounds {
            let count = policy.choose(decoding: 1, agreement: own)
            // A tenth of noise, and now and then a round that waits for something else.
            let noise =
                Double.random(in: 0.9...1.1, using: &random) * (Int.random(in: 0..<50, using: &random) == 0 ? 4 : 1)
            let time = (plain + guess * Double(count)) * noise
            policy.took(.seconds(time), count: count, decoding: 1)
            var accepted = 0
            while accepted < count, Double.random(in: 0..<1, using: &random) < agreement { accepted += 1 }
            if count > 0 {
                own.verified(proposed: count, accepted: accepted)
                policy.verified(proposed: count, accepted: accepted)
            }
            tokens += Double(1 + accepted)
            seconds += time
            noises += noise
        }
        return tokens / seconds * plain * noises / Double(rounds)
    }

    /// What the best fixed number of guesses would bring.
    private func best(agreement: Double, plain: Double = 0.02, guess: Double, most: Int = 8) -> Double {
        DraftPolicy(most: most).counts.map { count in
            let tokens = (0...count).reduce(0.0) { sum, _ in 1 + agreement * sum }
            return tokens * plain / (plain + guess * Double(count))
        }.max() ?? 1
    }

    @Test(arguments: [0.3, 0.6, 0.8, 0.95, 1], [0.0005, 0.002, 0.01]) func findsWhatPays(
        agreement: Double, guess: Double
    ) {
        let best = best(agreement: agreement, guess: guess)
        #expect(gain(agreement: agreement, guess: guess) > 0.92 * best)
    }

    /// Where guesses can't pay, looking for it costs less than three in a hundred tokens.
    @Test(arguments: [0, 0.1, 0.5], [0.02, 0.1]) func whatDoesNotPayCostsLittle(agreement: Double, guess: Double) {
        let gains = (0..<5).map { gain(agreement: agreement, guess: guess, seed: $0) }
        #expect(gains.reduce(0, +) / 5 > 0.97)
    }

    @Test func isHeldAgainstPlainRoundsFirst() {
        var policy = DraftPolicy(most: 4)
        #expect(policy.counts == [0, 1, 2, 4])
        for _ in 0..<2 {
            #expect(policy.choose(decoding: 1, agreement: DraftAgreement()) == 0)
            policy.took(.milliseconds(20), count: 0, decoding: 1)
        }
        #expect(policy.choose(decoding: 1, agreement: DraftAgreement()) > 0)
        // Another load is another matter.
        #expect(policy.choose(decoding: 5, agreement: DraftAgreement()) == 0)
    }

    @Test func aFixedNumberIsAlwaysTaken() {
        var policy = DraftPolicy(most: 3, isFixed: true)
        for _ in 0..<100 {
            #expect(policy.pays(decoding: 1) && policy.choose(decoding: 1, agreement: DraftAgreement()) == 3)
            policy.took(.seconds(1), count: 3, decoding: 1)
            policy.verified(proposed: 3, accepted: 0)
        }
    }

    @Test func agreementForgets() {
        var agreement = DraftAgreement()
        #expect(agreement.rate(prior: 0.7) == 0.7)
        for _ in 0..<50 { agreement.verified(proposed: 4, accepted: 0) }
        #expect(agreement.rate(prior: 0.7) < 0.2)
        for _ in 0..<50 { agreement.verified(proposed: 4, accepted: 4) }
        #expect(agreement.rate(prior: 0.7) > 0.95)
    }
}
