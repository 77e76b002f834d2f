import Compute
import Coordinator
import Speculation
import Testing
import Tokenizer
import Transformer

/// Real workers that come and go under a request. Tokens that were decoded one by one are replayed together, and computed
/// as decoded ones all the same, so that bf16 goes on as it would have.
@Suite("Replay", .timeLimit(.minutes(3)))
struct ReplayTests {
    /// Those whose rows are the same in any company: see DecodedRowsTests.
    private static let precisions: [Precision] =
        [.avx512, .avx512vnni].contains(CPULevel.inUse) ? [.f32] : [.f32, .bf16]
    private let greedy = SamplingParameters(temperature: 0)
    private let dense = SpeculationParameters(enabled: false)

    /// Where two answers part, not all of them.
    private func expectSame(_ tokens: [Int32], _ expected: [Int32]) {
        #expect(tokens.count == expected.count)
        let difference = zip(tokens, expected).enumerated().first { $1.0 != $1.1 }?.offset
        #expect(difference == nil, "they part at token \(difference ?? 0)")
    }

    @Test(arguments: ["tcp", "memory"], Self.precisions)
    func aRequestWhoseWorkerLeavesGoesOnOnTheSpare(transport: String, precision: Precision) async throws {
        // An answer that takes far longer than it takes to stop a worker.
        let pipeline = try TestPipeline(
            model: "needle-main-2m", stages: 2, spares: 1, transport: transport, precision: precision)
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let request = GenerationRequest(
                prompt: [bos], maxTokens: 2000, sampling: greedy, ignoreEOS: true, speculation: dense)
            let undisturbed = try await pipeline.answer(request)
            #expect(undisturbed.replays == 0)
            let names = pipeline.coordinator.metrics().stages.map(\.worker)
            let lost = try #require(names.first)
            let spare = try #require(["w0", "w1", "w2"].first { !names.contains($0) })
            var tokens: [Int32] = []
            var replays: [Int] = []
            for try await event in try pipeline.coordinator.submit(request) {
                if case .replayed(let count) = event { replays.append(count) }
                guard case .token(let token) = event else { continue }
                tokens.append(token.token)
                if tokens.count == 3 { pipeline.stop(lost) }
            }
            expectSame(tokens, undisturbed.tokens)
            #expect(replays == [1])
            #expect(try await pipeline.up().contains(spare))

            let metrics = pipeline.coordinator.metrics()
            #expect(metrics.requests == [.finished: 2] && metrics.replays == 1 && metrics.faults == ["left": 1])
            #expect(metrics.generatedTokens == 4000)
            // Whoever was replaced keeps the sums of its work, and holds nothing any more.
            #expect(metrics.stages.allSatisfy { $0.busy > .zero && $0.rows >= $0.microBatches })
            #expect(metrics.stages.first { $0.worker == lost }?.holding == nil)
            let standing = metrics.stages.filter { $0.holding != nil }
            #expect(standing.map(\.stage) == [0, 1])
            #expect(Set(standing.map(\.worker)) == Set(names + [spare]).subtracting([lost]))
            #expect(standing.allSatisfy { $0.holding?.threads == 1 && $0.holding?.kvRowsBudget == 20_000 })
        }
    }

    /// Nobody is there to take its place: the request waits for a worker that comes.
    @Test func aRequestWaitsForAWorkerThatComesBack() async throws {
        // An answer that takes far longer than it takes to stop a worker.
        let pipeline = try TestPipeline(model: "needle-main-2m", stages: 2, precision: .f32)
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let request = GenerationRequest(
                prompt: [bos], maxTokens: 2000, sampling: SamplingParameters(temperature: 0.8, topP: 0.9, seed: 7),
                ignoreEOS: true, speculation: dense)
            let undisturbed = try await pipeline.answer(request)
            var tokens: [Int32] = []
            var replays = 0
            for try await event in try pipeline.coordinator.submit(request) {
                if case .replayed(let count) = event { replays = count }
                guard case .token(let token) = event else { continue }
                tokens.append(token.token)
                guard tokens.count == 3 else { continue }
                pipeline.stop("w1")
                try pipeline.start("w1", precision: .f32)
            }
            expectSame(tokens, undisturbed.tokens)
            #expect(replays == 1)
        }
    }
}
