import Compute
import Coordinator
import Speculation
import Testing
import Tokenizer
import Transformer

/// Guesses change when tokens come, never which.
@Suite("Speculative decoding", .timeLimit(.minutes(5)))
struct SpeculativeDecodingTests {
    private let dense = SpeculationParameters(enabled: false)

    /// Those whose rows are the same in any company: see DecodedRowsTests.
    private static let precisions: [Precision] =
        [.avx512, .avx512vnni].contains(CPULevel.inUse) ? [.f32] : [.f32, .bf16]

    private func request(
        _ pipeline: TestPipeline, _ text: String, maxTokens: Int, sampling: SamplingParameters
    ) throws -> GenerationRequest {
        let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
        return GenerationRequest(
            prompt: [bos] + pipeline.coordinator.tokenizer.encode(text), maxTokens: maxTokens, sampling: sampling,
            ignoreEOS: true, speculation: dense)
    }

    private static let samplings = [
        SamplingParameters(temperature: 0),
        SamplingParameters(temperature: 0.9, topP: 0.95, seed: 11, topLogProbabilities: 2),
    ]

    @Test(arguments: [("stories260K", "stories260K"), ("needle-main-2m", "needle-speculator-0.4m")], Self.precisions)
    func answersAreThoseOfPlainDecoding(pair: (main: String, speculator: String), precision: Precision) async throws {
        let plain = try TestPipeline(
            model: pair.main, speculator: pair.speculator, stages: 2, transport: "memory", precision: precision)
        let guessing = try TestPipeline(
            model: pair.main, speculator: pair.speculator, stages: 2, transport: "memory", precision: precision,
            drafts: 5)
        try await withPipeline(plain) { plain in
            try await withPipeline(guessing) { guessing in
                for sampling in Self.samplings {
                    let expected = try await plain.answer(
                        request(plain, "One day", maxTokens: 150, sampling: sampling))
                    let answer = try await guessing.answer(
                        request(guessing, "One day", maxTokens: 150, sampling: sampling))
                    #expect(answer.tokens == expected.tokens)
                }
                let metrics = guessing.coordinator.metrics()
                #expect(metrics.acceptedDrafts + metrics.rejectedDrafts > 0)
                #expect(metrics.generatedTokens == 300)
                // A model agrees with itself, in bf16 but for the rows that a drafter reads together.
                if pair.main == pair.speculator {
                    #expect(metrics.acceptedDrafts > 20 * metrics.rejectedDrafts)
                    #expect(metrics.rejectedDrafts == 0 || precision != .f32)
                }
                #expect(plain.coordinator.metrics().acceptedDrafts == 0)
            }
        }
    }

    /// Many at once, of which some leave: each gets its own tokens, and nothing is left.
    @Test func manyAtOnce() async throws {
        let pipeline = try TestPipeline(
            model: "stories260K", speculator: "stories260K", stages: 2, precision: .f32, drafts: 4)
        try await withPipeline(pipeline) { pipeline in
            let texts = ["One day", "Lily", "The dog", "A boy", "Tom", "There was", "In the park", "Her mom"]
            var expected: [[Int32]] = []
            for text in texts {
                let lone = try request(pipeline, text, maxTokens: 120, sampling: SamplingParameters(temperature: 0))
                expected.append(try await pipeline.answer(lone).tokens)
            }
            try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
                for (index, text) in texts.enumerated() {
                    let request = try request(
                        pipeline, text, maxTokens: 120, sampling: SamplingParameters(temperature: 0))
                    group.addTask { (index, try await pipeline.answer(request).tokens) }
                    group.addTask {
                        // Leaves in the middle.
                        var count = 0
                        for try await event in try pipeline.coordinator.submit(request) {
                            if case .token = event { count += 1 }
                            if count == 30 { break }
                        }
                        return (-1, [])
                    }
                }
                for try await (index, tokens) in group where index >= 0 { #expect(tokens == expected[index]) }
            }
            #expect(pipeline.coordinator.metrics().acceptedDrafts > 0)
        }
    }

    /// What was guessed when a worker left is lost with it; the answer is not.
    @Test func aReplayGoesOnWithGuesses() async throws {
        let pipeline = try TestPipeline(
            model: "needle-main-2m", speculator: "needle-main-2m", stages: 2, spares: 1, precision: .f32, drafts: 4)
        try await withPipeline(pipeline) { pipeline in
            let request = try request(
                pipeline, "One", maxTokens: 1500, sampling: SamplingParameters(temperature: 0))
            let undisturbed = try await pipeline.answer(request)
            let lost = try #require(pipeline.coordinator.metrics().stages.map(\.worker).last)
            var tokens: [Int32] = []
            var replays = 0
            for try await event in try pipeline.coordinator.submit(request) {
                if case .replayed(let count) = event { replays = count }
                guard case .token(let token) = event else { continue }
                tokens.append(token.token)
                if tokens.count == 60 { pipeline.stop(lost) }
            }
            #expect(tokens == undisturbed.tokens && replays == 1)
        }
    }

    /// The eighth token of answers with guesses and of others without, over different seeds: one distribution.
    @Test func theDistributionIsThatOfPlainDecoding() async throws {
        let count = 400
        var counts: [[Double]] = []
        for drafts in [0, 3] {
            let pipeline = try TestPipeline(
                model: "stories260K", speculator: "stories260K", stages: 1, maxRequests: 500, transport: "memory",
                precision: .f32, drafts: drafts)
            var bins = [Double](repeating: 0, count: 16)
            try await withPipeline(pipeline) { pipeline in
                for seed in 0..<count {
                    let sampling = SamplingParameters(temperature: 1, seed: UInt64(seed + drafts * 1_000_000))
                    let answer = try await pipeline.answer(
                        request(pipeline, "One day", maxTokens: 12, sampling: sampling))
                    bins[Int(answer.tokens[7]) % bins.count] += 1
                }
                // Else this would compare plain decoding with itself.
                let accepted = pipeline.coordinator.metrics().acceptedDrafts
                #expect(drafts == 0 || accepted > count)
            }
            counts.append(bins)
        }
        let statistic = zip(counts[0], counts[1]).reduce(0.0) { sum, pair in
            let all = pair.0 + pair.1
            return all > 0 ? sum + (pair.0 - pair.1) * (pair.0 - pair.1) / all : sum
        }
        // Chi-square with 15 degrees of freedom: one in a thousand is over this.
        #expect(statistic < 37.7)
    }

    @Test func needsASpeculatorOfItsOwn() async {
        #expect(throws: CoordinatorError.self) {
            try TestPipeline(model: "stories260K", stages: 1, transport: "memory", drafts: 2)
        }
        #expect(throws: CoordinatorError.self) {
            try TestPipeline(
                model: "stories260K", speculator: "stories260K", stages: 1, speculators: 1, transport: "memory",
                drafts: 2)
        }
    }
}
