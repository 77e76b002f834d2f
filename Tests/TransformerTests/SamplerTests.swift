// Drawing tokens: greedy, filters, shares, replay, and logits nobody should see.

import Foundation
import Testing
import Transformer

@Suite struct SamplerTests {
    /// A token, or what shows in every expectation that there was none.
    private func sample(_ logits: [Float], _ parameters: SamplingParameters, step: Int = 0) -> SampledToken {
        do {
            return try logits.withUnsafeBufferPointer { try Sampler.sample($0, parameters: parameters, step: step) }
        } catch {
            Issue.record(error)
            return SampledToken(token: -1, logProbability: .nan)
        }
    }

    /// How often each token comes in `count` steps.
    private func shares(_ logits: [Float], _ parameters: SamplingParameters, count: Int = 20_000) -> [Double] {
        var counts = [Double](repeating: 0, count: logits.count)
        for step in 0..<count { counts[Int(sample(logits, parameters, step: step).token)] += 1 }
        return counts.map { $0 / Double(count) }
    }

    /// Logarithms, so that these are the probabilities.
    private let logits: [Float] = [0.05, 0.4, 0.1, 0.3, 0.15].map { log($0) + 3 }

    @Test func greedyTakesTheLargestAndTheLowestIdAmongEquals() {
        let greedy = SamplingParameters(temperature: 0)
        #expect(sample(logits, greedy).token == 1)
        #expect(sample([1, 5, 2, 5, 5], greedy).token == 1)
        #expect(sample([0, 0, 0], greedy).token == 0)
        #expect(sample([-3], greedy).token == 0)
    }

    @Test func sharesAreTheProbabilities() {
        for (share, expected) in zip(shares(logits, SamplingParameters()), [0.05, 0.4, 0.1, 0.3, 0.15]) {
            // Five standard deviations of 20,000 draws at most.
            #expect(abs(share - expected) < 0.018)
        }
        let hot = shares([0, log(4)], SamplingParameters(temperature: 2))
        #expect(abs(hot[1] - 2.0 / 3) < 0.018)
        let cold = shares([0, log(4)], SamplingParameters(temperature: 0.5))
        #expect(abs(cold[1] - 16.0 / 17) < 0.018)
    }

    @Test func filtersLeaveTheRightTokens() {
        func support(_ parameters: SamplingParameters) -> Set<Int> {
            Set(shares(logits, parameters, count: 2000).enumerated().filter { $0.element > 0 }.map(\.offset))
        }
        #expect(support(SamplingParameters(topK: 1)) == [1])
        #expect(support(SamplingParameters(topK: 3)) == [1, 3, 4])
        #expect(support(SamplingParameters(topK: 99)) == [0, 1, 2, 3, 4])
        #expect(support(SamplingParameters(topP: 0.01)) == [1])
        #expect(support(SamplingParameters(topP: 0)) == [1])
        #expect(support(SamplingParameters(topP: 0.5)) == [1, 3])
        #expect(support(SamplingParameters(topP: 0.8)) == [1, 3, 4])
        #expect(support(SamplingParameters(minP: 0.3)) == [1, 3, 4])
        #expect(support(SamplingParameters(minP: 1)) == [1])
        // Of the two that top-k leaves, the first has 4/7 of the share.
        #expect(support(SamplingParameters(topK: 2, topP: 0.5)) == [1])
        let kept = shares(logits, SamplingParameters(topK: 2))
        #expect(abs(kept[1] - 4.0 / 7) < 0.018)
    }

    @Test func aKnownTokenIsScoredAsIfItHadBeenDrawn() throws {
        try logits.withUnsafeBufferPointer { row in
            let greedy = SamplingParameters(temperature: 0, topLogProbabilities: 3)
            let drawn = try Sampler.sample(row, parameters: greedy, step: 0)
            #expect(try Sampler.score(row, token: drawn.token, top: 3) == drawn)
            var sum = 0.0
            for token in row.indices {
                let scored = try Sampler.score(row, token: Int32(token), top: 0)
                #expect(scored.token == Int32(token) && scored.top.isEmpty)
                sum += exp(Double(scored.logProbability))
            }
            #expect(abs(sum - 1) < 1e-5)
        }
    }

    @Test func seedAndStepDecide() {
        let flat = [Float](repeating: 0, count: 1000)
        func run(_ seed: UInt64) -> [Int32] {
            (0..<50).map { sample(flat, SamplingParameters(seed: seed), step: $0).token }
        }
        #expect(run(1) == run(1))
        #expect(run(1) != run(2))
        #expect(Set(run(1)).count > 40)
        let last = sample(flat, SamplingParameters(seed: 1), step: 49).token
        #expect(last == run(1)[49])
    }

    @Test func logProbabilitiesAreTheModelsOwn() {
        let parameters = SamplingParameters(temperature: 0.1, topK: 1, topLogProbabilities: 3)
        let sampled = sample(logits, parameters)
        #expect(abs(sampled.logProbability - log(0.4)) < 1e-5)
        #expect(sampled.top.map(\.token) == [1, 3, 4])
        for (entry, expected) in zip(sampled.top, [0.4, 0.3, 0.15]) {
            #expect(abs(entry.logProbability - Float(log(expected))) < 1e-5)
        }
        #expect(sample(logits, SamplingParameters(topLogProbabilities: 20)).top.count == 5)
        #expect(sample(logits, SamplingParameters(topLogProbabilities: 0)).top.isEmpty)
        #expect(sample(logits, SamplingParameters()).top.isEmpty)
    }

    @Test(arguments: [
        SamplingParameters(temperature: 0), SamplingParameters(), SamplingParameters(topK: 2),
        SamplingParameters(topP: 0.9), SamplingParameters(minP: 0.1), SamplingParameters(temperature: 1e-30),
    ])
    func logitsThatAreNotFiniteAreNeverSampled(parameters: SamplingParameters) {
        for bad in [Float.nan, .infinity, -.infinity] {
            for row in [[bad], [bad, 1, 2], [0, bad, 5], [1, 2, bad], [bad, bad, bad]] {
                let error = #expect(throws: StageError.self) {
                    try row.withUnsafeBufferPointer { try Sampler.sample($0, parameters: parameters, step: 0) }
                }
                #expect(error?.code == .notFinite)
            }
        }
        // The largest differences that finite logits can have.
        let wide = sample([-.greatestFiniteMagnitude, .greatestFiniteMagnitude, 0], parameters)
        #expect(wide.token == 1 && wide.logProbability == 0 && wide.top.allSatisfy { $0.logProbability.isFinite })
    }

    @Test func aLargeVocabularyKeepsItsNucleus() {
        // One token of weight 1 and 100,000 of 1e-6 each: the nucleus of 0.9 is the one.
        var large = [Float](repeating: log(1e-6), count: 100_001)
        large[77_777] = 0
        for step in 0..<20 {
            #expect(sample(large, SamplingParameters(topP: 0.9), step: step).token == 77_777)
            #expect(sample(large, SamplingParameters(topK: 1), step: step).token == 77_777)
        }
    }

    @Test(arguments: [
        (SamplingParameters(temperature: -0.1), "temperature"), (SamplingParameters(temperature: .nan), "temperature"),
        (SamplingParameters(temperature: 2.1), "temperature"),
        (SamplingParameters(temperature: .infinity), "temperature"),
        (SamplingParameters(topK: -1), "top_k"), (SamplingParameters(topP: -0.1), "top_p"),
        (SamplingParameters(topP: 1.1), "top_p"), (SamplingParameters(topP: .nan), "top_p"),
        (SamplingParameters(minP: -0.1), "min_p"), (SamplingParameters(minP: 1.5), "min_p"),
        (SamplingParameters(topLogProbabilities: 21), "top_logprobs"),
        (SamplingParameters(topLogProbabilities: -1), "top_logprobs"),
    ])
    func valuesOutsideTheirRangeAreNamed(parameters: SamplingParameters, field: String) throws {
        let error = #expect(throws: SamplingError.self) { try parameters.validate() }
        #expect(error?.field == field)
        try SamplingParameters(temperature: 2, topK: 5, topP: 1, minP: 1, topLogProbabilities: 20).validate()
    }
}
