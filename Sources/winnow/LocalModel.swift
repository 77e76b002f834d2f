import Checkpoint
import Compute
import Coordinator
import Speculation
import Tokenizer
import Transformer

/// Main model, speculator and tokenizer in this process, without sockets: what a pipeline of any depth must agree with.
final class LocalModel {
    /// What one generation tells its caller as it goes.
    struct Progress {
        /// Once, before the first token.
        var onPrompt: (SpeculationReport) -> Void
        /// Each token, in order.
        var onToken: (SampledToken) -> Void
        /// Asked before each forward pass.
        var isCancelled: () -> Bool
    }

    let tokenizer: Tokenizer
    let configuration: ModelConfiguration
    /// What is worth a word about the models' files.
    let notes: [String]
    private let stage: Stage
    private let speculator: Speculator?
    private let speculatorContext: Int?
    private static let prefillRows = 512

    /// - Throws: `CheckpointError`, `TokenizerError` or `CoordinatorError` for a pair that does not belong together.
    ///
    /// - Parameters:
    ///   - cache: where packed weights are kept.
    ///   - progress: told how much of the main model's weights is loaded, 0 to 1.
    init(
        model: String, speculator: String?, threads: Int, cpus: [Int]?, precision: Precision, cache: WeightsCache?,
        progress: (Double) -> Void
    ) throws {
        let checkpoint = try Checkpoint(path: model)
        configuration = checkpoint.configuration
        tokenizer = try Tokenizer(modelPath: model)
        try TokenizerMatch.check(tokenizer, configuration: configuration, directory: model)
        let pool = ThreadPool(threads: threads, cpus: cpus, name: "compute")
        stage = try Stage(
            checkpoint: checkpoint, layers: configuration.allLayers, precision: precision, cache: cache,
            pool: pool, progress: progress)
        guard let speculator else {
            notes = try Self.notes(checkpoint, model, precision)
            self.speculator = nil
            speculatorContext = nil
            return
        }
        let small = try Checkpoint(path: speculator)
        notes = try Self.notes(checkpoint, model, precision) + Self.notes(small, speculator, precision)
        try TokenizerMatch.check(
            pair: tokenizer, model, with: try Tokenizer(modelPath: speculator), speculator,
            configuration: small.configuration)
        self.speculator = Speculator(
            stage: try Stage(
                checkpoint: small, layers: small.configuration.allLayers, precision: precision,
                cache: cache, pool: pool),
            eosTokens: tokenizer.endTokens(of: small.configuration))
        speculatorContext = small.configuration.contextLength
    }

    private static func notes(_ checkpoint: Checkpoint, _ path: String, _ precision: Precision) throws -> [String] {
        (checkpoint.notes + (try Stage.notes(on: checkpoint, precision: precision))).map { "\(path): \($0)" }
    }

    /// Generates until the model ends, `maxTokens` are there, or the caller cancels.
    ///
    /// - Throws: `SpeculationError` or `StageError`; the request must fit the context.
    func generate(_ request: GenerationRequest, _ progress: Progress) throws -> FinishReason {
        let clock = ContinuousClock()
        let count = request.prompt.count
        var selection = Selection.all(promptCount: count)
        var time: Duration?
        var fallback: String?
        switch PrefillChoice(request, speculatorContext: speculatorContext) {
        case .dense(let reason): fallback = reason
        case .speculate:
            if let speculator {
                let start = clock.now
                let importance = try speculator.importance(
                    of: request.prompt, parameters: request.speculation, isCancelled: progress.isCancelled)
                selection = Selector.select(
                    importance: importance, parameters: request.speculation, protected: request.protected)
                time = start.duration(to: clock.now)
            }
        }
        progress.onPrompt(
            SpeculationReport(
                promptTokens: count, keptTokens: selection.keptCount, keepRate: selection.keepRate, speculation: time,
                keptSpans: selection.spans, fallback: fallback))

        let cache = stage.makeCache(capacity: selection.keptCount + request.maxTokens - 1)
        let kept = selection.kept
        var tokens = kept.map { request.prompt[Int($0)] }
        var positions = kept
        let ends = Set(request.ignoreEOS ? [] : tokenizer.endTokens(of: configuration))
        for step in 0..<request.maxTokens {
            var sampled: SampledToken?
            for first in stride(from: 0, to: tokens.count, by: Self.prefillRows) {
                if progress.isCancelled() { throw RequestError(.cancelled, "interrupted") }
                let rows = first..<min(tokens.count, first + Self.prefillRows)
                let hidden = try stage.embed(Array(tokens[rows]))
                let isLast = rows.upperBound == tokens.count
                try stage.forward(
                    hidden, segments: [Segment(cache: cache, positions: Array(positions[rows]))],
                    outputs: isLast ? [rows.count - 1] : [])
                guard isLast else { continue }
                let logits = try stage.logits(hidden, rows: [rows.count - 1])
                sampled = try Sampler.sample(logits, row: 0, parameters: request.sampling, step: step)
            }
            guard let sampled else { break }
            if ends.contains(sampled.token) { return .stop }
            progress.onToken(sampled)
            tokens = [sampled.token]
            positions = [Int32(count + step)]
        }
        return .length
    }
}
