import Checkpoint
import Compute
import Coordinator
import Foundation
import Logging
import Speculation
import Testing
import Tokenizer
import Transformer
import Wire
import Worker

/// A coordinator and workers in this process, over real sockets.
private final class TestPipeline: Sendable {
    let coordinator: Coordinator
    let workers: [Worker]
    private let tasks: [Task<Void, any Error>]
    private let ups: AsyncStream<[String]>

    static let models = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models")

    static func path(_ model: String) -> String { models.appending(path: model).path }

    init(
        model: String, speculator: String? = nil, stages: Int, layers: [Range<Int>?] = [], rows: Int = 512,
        kvRows: Int = 20_000, maxRequests: Int = 256, spares: Int = 0, transport: String = "tcp",
        precision: Precision = .automatic
    ) throws {
        let context = try ZeroMQContext()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        func endpoint() throws -> Endpoint {
            transport == "tcp"
                ? try Endpoint("tcp://127.0.0.1:*")
                : try Endpoint("ipc://\(FileManager.default.temporaryDirectory.path)/winnow-\(UUID().uuidString)")
        }
        let (ups, continuation) = AsyncStream<[String]>.makeStream()
        self.ups = ups
        let coordinator = try Coordinator(
            configuration: CoordinatorConfiguration(
                modelDirectory: Self.path(model), speculatorDirectory: speculator.map(Self.path),
                listen: try endpoint(), stageCount: stages, microBatchRows: rows, kvRows: kvRows,
                maxRequests: maxRequests),
            context: context, logger: logger
        ) { continuation.yield($0) }
        self.coordinator = coordinator
        workers = try (0..<stages + spares).map { index in
            try Worker(
                configuration: WorkerConfiguration(
                    modelDirectory: Self.path(model), coordinator: coordinator.endpoint, listen: try endpoint(),
                    layers: layers.indices.contains(index) ? layers[index] : nil, precision: precision,
                    name: "w\(index)"),
                context: context, logger: logger)
        }
        tasks =
            [Task { await coordinator.run() }]
            + workers.map { worker in Task { try await worker.run() } }
    }

    /// The names of the stages, once they stand.
    func up() async throws -> [String] {
        for await names in ups { return names }
        throw CancellationError()
    }

    func stop() async {
        for worker in workers { worker.stop() }
        coordinator.stop()
        for task in tasks { _ = await task.result }
    }

    /// Runs a request to its end.
    func answer(
        _ request: GenerationRequest
    ) async throws -> (report: SpeculationReport?, tokens: [Int32], scored: [SampledToken]) {
        var report: SpeculationReport?
        var scored: [SampledToken] = []
        var tokens: [Int32] = []
        for try await event in try coordinator.submit(request) {
            switch event {
            case .prompt(let made): report = made
            case .promptTokens(let tokens): scored += tokens
            case .token(let token): tokens.append(token.token)
            case .endToken, .finished: break
            }
        }
        return (report, tokens, scored)
    }
}

private func withPipeline<R>(
    _ pipeline: TestPipeline, _ body: (TestPipeline) async throws -> R
) async throws -> R {
    do {
        _ = try await pipeline.up()
        let result = try await body(pipeline)
        await pipeline.stop()
        return result
    } catch {
        await pipeline.stop()
        throw error
    }
}

@Suite("Pipeline", .timeLimit(.minutes(3)))
struct PipelineTests {
    private let greedy = SamplingParameters(temperature: 0)
    private let dense = SpeculationParameters(enabled: false)

    private static let story: String =
        (try? String(
            contentsOf: TestPipeline.models.deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Tests/TransformerTests/Fixtures/stories260K-greedy.txt"), encoding: .utf8)) ?? ""

    @Test(
        arguments: [
            (1, 512, "tcp"), (2, 512, "ipc"), (3, 7, "tcp"), (5, 512, "tcp"), (5, 1, "ipc"),
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
            #expect(!text.isEmpty && Self.story.hasPrefix(text.trimmingCharacters(in: .whitespaces)))
        }
    }

    @Test func keepingEverythingGivesTheDenseTokens() async throws {
        let pipeline = try TestPipeline(
            model: "needle-main-2m", speculator: "needle-speculator-0.4m", stages: 2)
        try await withPipeline(pipeline) { pipeline in
            let prompt = pipeline.coordinator.tokenizer.encode(String(Self.story.prefix(1500)) + " The end, and then:")
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
            checkpoint: checkpoint, layers: 0..<checkpoint.configuration.layerCount, precision: .f32,
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
            let prompt = Array(pipeline.coordinator.tokenizer.encode(Self.story).prefix(300))
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

    @Test func aStoppedWorkerEndsItsRequestsAndASpareTakesOver() async throws {
        // An answer that takes far longer than it takes to stop a worker.
        let pipeline = try TestPipeline(model: "needle-main-2m", stages: 2, spares: 1)
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let request = GenerationRequest(
                prompt: [bos], maxTokens: 2000, sampling: greedy, ignoreEOS: true, speculation: dense)
            let generation = try pipeline.coordinator.submit(request)
            // Workers say hello in any order, so any of the three may be the spare.
            let names = pipeline.coordinator.metrics().stages.map(\.worker)
            let lost = try #require(names.first)
            let spare = try #require(["w0", "w1", "w2"].first { !names.contains($0) })
            var seen = 0
            do {
                for try await event in generation {
                    guard case .token = event else { continue }
                    seen += 1
                    if seen == 3 { pipeline.workers[Int(lost.dropFirst()) ?? 0].stop() }
                }
                Issue.record("the request outlived its worker")
                return
            } catch let error as RequestError {
                #expect(error.code == .workerLost)
            }
            #expect(try await pipeline.up().contains(spare))
            let again = try await pipeline.answer(
                GenerationRequest(prompt: [bos], maxTokens: 20, sampling: greedy, speculation: dense))
            #expect(again.tokens.count == 20)

            let metrics = pipeline.coordinator.metrics()
            #expect(metrics.requests == [.failed: 1, .finished: 1])
            #expect(metrics.generatedTokens >= seen + 20)
            // Whoever was replaced keeps the sums of its work, and holds nothing any more.
            #expect(metrics.stages.allSatisfy { $0.busy > .zero && $0.rows >= $0.microBatches })
            #expect(metrics.stages.first { $0.worker == lost }?.holding == nil)
            let standing = metrics.stages.filter { $0.holding != nil }
            #expect(standing.map(\.stage) == [0, 1])
            #expect(Set(standing.map(\.worker)) == Set(names + [spare]).subtracting([lost]))
            #expect(standing.allSatisfy { $0.holding?.threads == 1 && $0.holding?.kvRowsBudget == 20_000 })
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

    @Test func chosenLayersAreKept() async throws {
        let pipeline = try TestPipeline(
            model: "stories260K", stages: 3, layers: [3..<5, nil, 0..<1])
        try await withPipeline(pipeline) { pipeline in
            let bos = try #require(pipeline.coordinator.tokenizer.bosToken)
            let answer = try await pipeline.answer(
                GenerationRequest(prompt: [bos], maxTokens: 30, sampling: greedy, speculation: dense))
            #expect(answer.tokens.count == 30)
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
                modelDirectory: TestPipeline.path("needle-main-2m"), coordinator: coordinator.endpoint,
                listen: try Endpoint("tcp://127.0.0.1:*")),
            context: context, logger: logger)
        do {
            try await worker.run()
            Issue.record("served another model")
        } catch {
            guard case .refused(let reason) = error else {
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
