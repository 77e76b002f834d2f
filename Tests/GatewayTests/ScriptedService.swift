// A coordinator whose every move a test decides, so that the gateway's protocol can be seen from outside.

import Coordinator
import Foundation
import Speculation
import Synchronization
import Tokenizer
import Transformer

/// Stands in for a cluster at the boundary the gateway is written against.
final class ScriptedService: GenerationService {
    typealias Script = @Sendable (Submission) throws(RequestError) -> Void

    /// One request, and the hand that answers it.
    struct Submission: Sendable {
        let request: GenerationRequest
        let tokenizer: Tokenizer
        fileprivate let sink: Generation.Sink

        /// Says what was done to the prompt; by default everything was kept.
        func prompt(kept spans: [Range<Int>]? = nil, fallback: String? = nil) {
            let count = request.prompt.count
            let spans = spans ?? [0..<count]
            let kept = spans.map(\.count).reduce(0, +)
            let report = SpeculationReport(
                promptTokens: count, keptTokens: kept, keepRate: Double(kept) / Double(count),
                speculation: fallback == nil ? .milliseconds(12) : nil, keptSpans: spans, fallback: fallback)
            sink.yield(.prompt(report))
        }

        /// Samples the tokens of a text.
        func say(_ text: String) {
            for token in tokenizer.encode(text, addSpecialTokens: false) { say(token: token) }
        }

        func say(token: Int32, logProbability: Float = -0.5, top: [TokenLogProbability] = []) {
            sink.yield(.token(SampledToken(token: token, logProbability: logProbability, top: top)))
        }

        /// Samples the token that ends the answer.
        func end(token: Int32, logProbability: Float) {
            sink.yield(.endToken(SampledToken(token: token, logProbability: logProbability)))
        }

        func finish(_ reason: FinishReason = .length) {
            sink.yield(.finished(reason))
            sink.finish()
        }

        /// Scores prompt tokens: all but the first, unless told which.
        func score(_ range: Range<Int>? = nil, logProbability: Float = -0.25, top: [TokenLogProbability] = []) {
            let tokens = request.prompt[range ?? 1..<request.prompt.count]
            sink.yield(
                .promptTokens(tokens.map { SampledToken(token: $0, logProbability: logProbability, top: top) }))
        }

        func fail(_ error: RequestError) { sink.fail(error) }
    }

    let modelName = "scripted"
    let modelFingerprint = "00ff"
    let contextLength: Int
    let tokenizer: Tokenizer
    let hasSpeculator = true
    let defaultSpeculation = SpeculationParameters()
    /// Every request submitted.
    let submissions: AsyncStream<Submission>
    /// The number of each request cancelled.
    let cancellations: AsyncStream<UInt64>
    /// The number of each request that its consumer ended as complete.
    let conclusions: AsyncStream<UInt64>

    private let script: Script
    private let state: Mutex<(count: UInt64, readiness: Readiness)>
    private let measured = Mutex(ServiceMetrics())
    private let shown = Mutex(FleetStatus())
    private let submitted: AsyncStream<Submission>.Continuation
    private let cancelled: AsyncStream<UInt64>.Continuation
    private let concluded: AsyncStream<UInt64>.Continuation

    /// By default every request waits for the test to answer it.
    init(
        contextLength: Int = 2048, modelDirectory: String = ScriptedService.modelDirectory,
        script: @escaping Script = { _ in }
    ) throws {
        self.contextLength = contextLength
        self.script = script
        tokenizer = try Tokenizer(directory: modelDirectory)
        state = Mutex((count: 0, readiness: .ready))
        (submissions, submitted) = AsyncStream.makeStream()
        (cancellations, cancelled) = AsyncStream.makeStream()
        (conclusions, concluded) = AsyncStream.makeStream()
    }

    static var modelDirectory: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "cluster/models/needle-main-2m").path
    }

    func readiness() -> Readiness { state.withLock { $0.readiness } }

    func set(_ readiness: Readiness) { state.withLock { $0.readiness = readiness } }

    func metrics() -> ServiceMetrics { measured.withLock { $0 } }

    func set(_ metrics: ServiceMetrics) { measured.withLock { $0 = metrics } }

    func status() -> FleetStatus { shown.withLock { $0 } }

    func set(_ status: FleetStatus) { shown.withLock { $0 = status } }

    func submit(_ request: GenerationRequest) throws(RequestError) -> Generation {
        let id = state.withLock { state in
            state.count += 1
            return state.count
        }
        let cancelled = cancelled
        let concluded = concluded
        let relay = Relay()
        let (generation, sink) = Generation.make(
            id: id,
            onCancel: {
                cancelled.yield(id)
                relay.sink.withLock { $0 }?.fail(RequestError(.cancelled, "cancelled"))
            },
            onConclude: {
                concluded.yield(id)
                relay.sink.withLock { $0 }?.finish()
            })
        relay.sink.withLock { $0 = sink }
        let submission = Submission(request: request, tokenizer: tokenizer, sink: sink)
        try script(submission)
        submitted.yield(submission)
        return generation
    }

    /// Ends a cancelled request the way a coordinator does.
    private final class Relay: Sendable {
        let sink = Mutex<Generation.Sink?>(nil)
    }
}

extension AsyncStream where Element: Sendable {
    /// The next element, waiting for it.
    func first() async -> Element? {
        for await element in self { return element }
        return nil
    }
}
