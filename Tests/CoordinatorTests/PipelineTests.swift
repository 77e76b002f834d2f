import Coordinator
import Foundation
import Layers
import Logging
import Speculation
import Testing
import Tokenizer
import Transformer
import WinnowWorker
import Wire

@Suite("Pipeline", .timeLimit(.minutes(3)))
struct PipelineTests {
    private let greedy = SamplingParameters(temperature: 0)
    private let dense = SpeculationParameters(enabled: false)

    @Test(
        arguments: [
            (1, 512, "tcp"), (2, 512, "ipc"), (3, 7, "tcp"), (5, 512, "memory"), (5, 1, "ipc"),
        ])
    func anyDepthTellsTheStory(stages: Int, rows: Int, transport: String) async throws {
        let pipeline = try TestPipeline(model: "stories260K", stages: stages, rows: rows, transport: transport)
        try await withPipeline(pipeline) { pipeline in
            let tokenizer = pipeline.coordinator.tokenizer
            let bos = try #require(tokenizer.bosToken)
            let answer = try await pipeline.answer(
                GenerationRequest(prompt: [bos], maxTokens: 200, sampling: greedy, speculation: dense))
            #expect(answer.tokens.count == 200)
            let text = tokenizer.decode(answer.tokens)
            #expect(!text.isEmpty && TestPipeline.story.hasPrefix(text.trimmingCharacters(in: .whitespaces)))
        }
    }

    @Test func aConcludedRequestIsAFinishedOneAndGivesItsRowsBack() async throws {
        let pipeline = try TestPipeline(model: "stories260K", stages: 2, kvRows: 400)
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let request = GenerationRequest(
                prompt: [bos], maxTokens: 400, sampling: greedy, ignoreEOS: true, speculation: dense)
            for _ in 0..<3 {
                let generation = try pipeline.coordinator.submit(request)
                var end: FinishReason?
                for try await event in generation {
                    if case .token = event { generation.conclude() }
                    if case .finished(let reason) = event { end = reason }
                }
                #expect(end == .stop)
            }
            #expect(pipeline.coordinator.metrics().requests == [.finished: 3])
            // Room for one at a time: it must be free again.
            #expect(try await pipeline.answer(request).tokens.count == 400)
            #expect(pipeline.coordinator.metrics().requests == [.finished: 4])
        }
    }

    @Test func strangersInOneMicroBatchDoNotDisturbEachOther() async throws {
        let pipeline = try TestPipeline(model: "stories260K", stages: 3, rows: 16, kvRows: 300)
        try await withPipeline(pipeline) { pipeline in
            let tokenizer = pipeline.coordinator.tokenizer
            let starts = ["Once upon a time", "Lily", "The big dog was", "He said", "One day, a"]
            let requests = (0..<20).map { index in
                GenerationRequest(
                    prompt: tokenizer.encode(starts[index % starts.count]), maxTokens: 5 + index * 3,
                    sampling: index % 2 == 0
                        ? greedy : SamplingParameters(temperature: 0.8, topP: 0.9, seed: UInt64(index)),
                    speculation: dense)
            }
            var alone: [[Int32]] = []
            for request in requests { alone.append(try await pipeline.answer(request).tokens) }
            let together = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
                for (index, request) in requests.enumerated() {
                    group.addTask { (index, try await pipeline.answer(request).tokens) }
                }
                return try await group.reduce(into: [Int: [Int32]]()) { $0[$1.0] = $1.1 }
            }
            for (index, tokens) in alone.enumerated() { #expect(together[index] == tokens) }
        }
    }

    @Test func cancelledRequestsGiveTheirRowsBack() async throws {
        // Room for one request at a time: a leak would stop the next one for good.
        let pipeline = try TestPipeline(model: "stories260K", stages: 2, kvRows: 400)
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let request = GenerationRequest(
                prompt: [bos], maxTokens: 400, sampling: greedy, ignoreEOS: true, speculation: dense)
            for _ in 0..<10 {
                let generation = try pipeline.coordinator.submit(request)
                for try await event in generation {
                    if case .token = event { break }
                }
                generation.cancel()
            }
            #expect(try await pipeline.answer(request).tokens.count == 400)
        }
    }

    @Test func badRequestsAreRefusedByName() async throws {
        let pipeline = try TestPipeline(model: "stories260K", stages: 1, kvRows: 100, maxRequests: 2)
        try await withPipeline(pipeline) { pipeline in
            func refused(_ request: GenerationRequest) -> RequestError? {
                do throws(RequestError) {
                    try pipeline.coordinator.submit(request).cancel()
                    return nil
                } catch { return error }
            }
            func check(_ request: GenerationRequest, _ code: RequestError.Code, _ field: String?) {
                let error = refused(request)
                #expect(error?.code == code)
                #expect(error?.field == field)
            }
            check(GenerationRequest(prompt: [], maxTokens: 1), .invalidRequest, "prompt")
            check(GenerationRequest(prompt: [1], maxTokens: -1), .invalidRequest, "max_tokens")
            check(
                GenerationRequest(prompt: [1], maxTokens: 1, promptLogProbabilities: 21), .invalidRequest,
                "prompt_logprobs")
            check(GenerationRequest(prompt: [1], maxTokens: .max), .promptTooLong, "max_tokens")
            check(GenerationRequest(prompt: .init(repeating: 1, count: 512), maxTokens: 1), .promptTooLong, "prompt")
            check(GenerationRequest(prompt: [1, 512], maxTokens: 1), .invalidRequest, "prompt")
            check(GenerationRequest(prompt: [-1], maxTokens: 1), .invalidRequest, "prompt")
            check(GenerationRequest(prompt: [1], protected: [0..<2], maxTokens: 1), .invalidRequest, "keep_spans")
            check(
                GenerationRequest(prompt: [1], maxTokens: 1, sampling: .init(temperature: .nan)), .invalidRequest,
                "temperature")
            check(
                GenerationRequest(prompt: [1], maxTokens: 1, speculation: .init(keepRate: .nan)), .invalidRequest,
                "speculative_prefill.keep_rate")
            // More KV rows than the workers hold: known only once the prompt is pruned.
            do {
                _ = try await pipeline.answer(
                    GenerationRequest(prompt: [1], maxTokens: 101, speculation: dense))
                Issue.record("took a request that can never run")
            } catch let error as RequestError {
                #expect(error.code == .promptTooLong)
            }
            let long = GenerationRequest(prompt: [1], maxTokens: 100, ignoreEOS: true, speculation: dense)
            let first = try pipeline.coordinator.submit(long)
            let second = try pipeline.coordinator.submit(long)
            let error = refused(long)
            #expect(error?.code == .overloaded && error?.retryAfter != nil)
            first.cancel()
            second.cancel()
        }
    }

    /// Whole layers, and cuts within them.
    @Test(arguments: [["3-4", nil, "0"], ["3f-4", "0-1a", nil], [nil, "4f", nil], ["0-1f50", "1f50-3f7", "3f7-4"]])
    func chosenLayersAreKept(layers: [String?]) async throws {
        let pipeline = try TestPipeline(
            model: "stories260K", stages: 3, layers: layers.map { $0.flatMap { LayerSpan($0, below: 5) } }, rows: 16)
        try await withPipeline(pipeline) { pipeline in
            let tokenizer = pipeline.coordinator.tokenizer
            let bos = try #require(tokenizer.bosToken)
            let answer = try await pipeline.answer(
                GenerationRequest(prompt: [bos], maxTokens: 60, sampling: greedy, speculation: dense))
            let text = tokenizer.decode(answer.tokens)
            #expect(answer.tokens.count == 60)
            #expect(TestPipeline.story.hasPrefix(text.trimmingCharacters(in: .whitespaces)))
        }
    }

    @Test func aWorkerOfAnotherModelIsRefused() async throws {
        let context = try ZeroMQContext()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let coordinator = try Coordinator(
            configuration: CoordinatorConfiguration(
                modelDirectory: TestPipeline.path("stories260K"), listen: try Endpoint("tcp://127.0.0.1:*")),
            context: context, logger: logger)
        let running = Task { await coordinator.run() }
        let worker = try Worker(
            configuration: WorkerConfiguration(
                model: TestPipeline.path("needle-main-2m"), coordinator: coordinator.endpoint.description),
            logger: logger)
        do {
            try await worker.run()
            Issue.record("served another model")
        } catch {
            guard case .refused(let reason) = error as? WorkerError else {
                Issue.record("wrong error: \(error)")
                return
            }
            #expect(reason.contains("needle-main-2m") && reason.contains("fingerprint"))
        }
        #expect(coordinator.readiness() != .ready)
        coordinator.stop()
        await running.value
    }
}
