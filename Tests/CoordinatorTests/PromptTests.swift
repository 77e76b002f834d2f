import Checkpoint
import Compute
import Coordinator
import Foundation
import Speculation
import Testing
import Tokenizer
import Transformer
import Wire

@Suite("Prompts in a pipeline", .timeLimit(.minutes(3)))
struct PromptTests {
    private let greedy = SamplingParameters(temperature: 0)
    private let dense = SpeculationParameters(enabled: false)

    @Test func keepingEverythingGivesTheDenseTokens() async throws {
        let pipeline = try TestPipeline(
            model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: 2)
        try await withPipeline(pipeline) { pipeline in
            let prompt = pipeline.coordinator.tokenizer.encode(
                String(TestPipeline.story.prefix(1500)) + " The end, and then:")
            let plain = try await pipeline.answer(
                GenerationRequest(prompt: prompt, maxTokens: 24, sampling: greedy, speculation: dense))
            let all = try await pipeline.answer(
                GenerationRequest(
                    prompt: prompt, maxTokens: 24, sampling: greedy,
                    speculation: SpeculationParameters(keepRate: 1, threshold: 0)))
            #expect(all.tokens == plain.tokens)
            #expect(all.report?.keptTokens == prompt.count)
            let pruned = try await pipeline.answer(
                GenerationRequest(
                    prompt: prompt, maxTokens: 8, sampling: greedy,
                    speculation: SpeculationParameters(keepRate: 0.2, tail: 16, threshold: 0)))
            let report = try #require(pruned.report)
            #expect(report.keptTokens < prompt.count && report.speculation != nil && report.fallback == nil)
            #expect(report.keptSpans.reduce(0) { $0 + $1.count } == report.keptTokens)
            let short = try await pipeline.answer(
                GenerationRequest(prompt: Array(prompt.prefix(20)), maxTokens: 2, sampling: greedy))
            #expect(short.report?.fallback?.contains("threshold") == true)
        }
    }

    /// The logarithm of each prompt token's probability, from all logits of one pass in one piece.
    private func reference(_ prompt: [Int32], model: String) throws -> [Double] {
        let checkpoint = try Checkpoint(path: TestPipeline.path(model))
        let stage = try Stage(
            checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: .f32,
            pool: ThreadPool(threads: 1, name: "reference"))
        let hidden = try stage.embed(prompt)
        let cache = stage.makeCache(capacity: prompt.count)
        try stage.forward(hidden, segments: [Segment(cache: cache, positions: prompt.indices.map(Int32.init))])
        let logits = try stage.logits(hidden, rows: Array(0..<prompt.count))
        return logits.withUnsafeBufferPointer { all in
            prompt.indices.dropLast().map { index in
                let row = all[index * logits.columns..<(index + 1) * logits.columns].map(Double.init)
                let most = row.max() ?? 0
                let sum = row.reduce(0) { $0 + exp($1 - most) }
                return row[Int(prompt[index + 1])] - most - log(sum)
            }
        }
    }

    @Test(arguments: [(1, 512), (2, 7), (3, 64)])
    func everyPromptTokenHasItsLogProbability(stages: Int, rows: Int) async throws {
        let pipeline = try TestPipeline(
            model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: stages, rows: rows, precision: .f32)
        try await withPipeline(pipeline) { pipeline in
            let prompt = Array(pipeline.coordinator.tokenizer.encode(TestPipeline.story).prefix(300))
            let expected = try reference(prompt, model: "needle-main-2m")
            for maxTokens in [0, 3] {
                let answer = try await pipeline.answer(
                    GenerationRequest(
                        prompt: prompt, maxTokens: maxTokens, sampling: greedy, promptLogProbabilities: 2,
                        ignoreEOS: true, speculation: SpeculationParameters(keepRate: 0.2, threshold: 0)))
                #expect(answer.tokens.count == maxTokens)
                #expect(answer.scored.map(\.token) == Array(prompt.dropFirst()))
                for (token, value) in zip(answer.scored, expected) {
                    #expect(abs(Double(token.logProbability) - value) < 1e-3)
                    #expect(token.top.count == 2)
                    #expect(token.top[0].logProbability >= max(token.top[1].logProbability, token.logProbability))
                }
                // Such a prompt is read whole, and says so.
                #expect(answer.report?.keptTokens == prompt.count)
                #expect(answer.report?.fallback?.contains("log-probabilities") == true)
            }
            // Strangers beside it are pruned, and told nothing of it.
            async let scored = pipeline.answer(
                GenerationRequest(prompt: prompt, maxTokens: 1, sampling: greedy, promptLogProbabilities: 0))
            async let plain = pipeline.answer(
                GenerationRequest(
                    prompt: prompt, maxTokens: 8, sampling: greedy,
                    speculation: SpeculationParameters(keepRate: 0.2, threshold: 0)))
            #expect(try await scored.scored.count == prompt.count - 1)
            #expect(try await plain.scored.isEmpty)
            #expect(try await plain.report?.fallback == nil)
        }
    }

    /// Workers that score, and hidden rows in half the bytes: the same tokens are kept as by the coordinator's own.
    @Test(arguments: [0, 2], [WireType.f32, .bf16])
    func speculatorWorkersKeepTheSame(speculators: Int, wireType: WireType) async throws {
        let pipeline = try TestPipeline(
            model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: 2, speculators: speculators,
            precision: .f32, wireType: wireType)
        let expected = try await keptSpans.value
        try await withPipeline(pipeline) { pipeline in
            for _ in 0..<3 {
                let answer = try await pipeline.answer(Self.pruned(pipeline))
                #expect(answer.tokens.count == 4)
                // Before a speculator worker is there a prompt waits for it, two seconds at the most.
                #expect(answer.report?.fallback == nil)
                #expect(answer.report?.keptSpans == expected)
            }
        }
    }

    /// A speculator worker reads a long prompt as sparsely as the coordinator's own speculator would.
    @Test func speculatorWorkersReadAsSparselyAsTheyAreTold() async throws {
        // Token by token, so that small differences show.
        let ways = [(SpeculatorAttention.exact, 0.3), (.sparse, 0.3), (.sparse, 0.8)].map { attention, mostKeys in
            SpeculationParameters(chunk: 1, stride: 1, pool: 1, attention: attention, mostKeys: mostKeys)
        }
        func kept(speculators: Int) async throws -> [[Range<Int>]] {
            let pipeline = try TestPipeline(
                model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: 1, speculators: speculators)
            return try await withPipeline(pipeline) { pipeline in
                var spans: [[Range<Int>]] = []
                for way in ways {
                    let answer = try await pipeline.answer(
                        GenerationRequest(
                            prompt: (0..<1900).map { Int32($0 * $0 / 7 % 90 + 2) }, maxTokens: 1,
                            sampling: SamplingParameters(temperature: 0), ignoreEOS: true, speculation: way))
                    #expect(answer.report?.fallback == nil)
                    spans.append(answer.report?.keptSpans ?? [])
                }
                return spans
            }
        }
        let expected = try await kept(speculators: 0)
        #expect(Set(expected).count == ways.count)
        #expect(try await kept(speculators: 1) == expected)
    }

    private static func pruned(_ pipeline: TestPipeline) -> GenerationRequest {
        GenerationRequest(
            prompt: Array(pipeline.coordinator.tokenizer.encode(TestPipeline.story).prefix(300)), maxTokens: 4,
            sampling: SamplingParameters(temperature: 0), ignoreEOS: true,
            speculation: SpeculationParameters(keepRate: 0.2, tail: 16, threshold: 0))
    }

    /// What one process alone keeps.
    private var keptSpans: Task<[Range<Int>], any Error> {
        Task {
            let pipeline = try TestPipeline(
                model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: 1, precision: .f32)
            return try await withPipeline(pipeline) { pipeline in
                try await pipeline.answer(Self.pruned(pipeline)).report?.keptSpans ?? []
            }
        }
    }
}
