// The small model reads the prompt and looks ahead.

internal import Checkpoint
public import Compute
public import Transformer

/// Scores the tokens of a prompt by the attention that the speculator's next tokens pay to them.
///
/// The whole prompt is prefilled in blocks of rows. The queries of its last token, and of the tokens decoded greedily
/// after it, score the prompt: see ``ImportanceAccumulator``. When the speculator decodes an EOS the look-ahead ends: the
/// step that decoded it counts, the EOS token's own queries do not, as in the paper's published code.
public final class Speculator: @unchecked Sendable {  // one thread at a time, as its stage; it has no state of its own
    private let stage: Stage
    private let prefillRows: Int
    private let eosTokens: Set<Int32>
    private let sparsity: BlockSparsity
    /// Rows at a prompt's end that look at all keys, at least: with 128 fewer of the same tokens are kept, with 512 no more.
    private static let exactRows = 256

    /// Scores with a model.
    ///
    /// - Parameters:
    ///   - stage: all layers of the speculator.
    ///   - prefillRows: rows in a block of prefill, at least 1; a cancellation is seen between two blocks.
    ///   - eosTokens: tokens that end the look-ahead; nil for those of the model's configuration.
    ///   - sparsity: what ``SpeculatorAttention/sparse`` means; where its exact rows begin follows from the prompt, and the
    ///     most keys from the parameters.
    public init(
        stage: Stage, prefillRows: Int = 512, eosTokens: [Int32]? = nil, sparsity: BlockSparsity = BlockSparsity()
    ) {
        self.stage = stage
        self.sparsity = sparsity
        self.prefillRows = max(1, prefillRows)
        self.eosTokens = Set(eosTokens ?? stage.configuration.eosTokens)
    }

    /// The importance of every token of `prompt`, `[prompt.count]`, each in 0...1.
    ///
    /// Near the end of the context there are fewer steps than `parameters.lookAhead`: those whose positions exist.
    ///
    /// - Parameters:
    ///   - prompt: at least one token, at most the speculator's context length.
    ///   - parameters: `lookAhead`, `pool`, `attention` and `mostKeys` are used.
    ///   - isCancelled: asked between two forward passes.
    public func importance(
        of prompt: [Int32], parameters: SpeculationParameters, isCancelled: () -> Bool = { false }
    ) throws(SpeculationError) -> [Float] {
        try parameters.validate()
        let configuration = stage.configuration
        guard !prompt.isEmpty else { throw .invalidPrompt(problem: "the prompt is empty") }
        guard prompt.count <= configuration.contextLength else {
            throw .invalidPrompt(
                problem: "the prompt has \(prompt.count) tokens, but the speculator's context ends at"
                    + " \(configuration.contextLength)")
        }
        let steps = min(parameters.lookAhead, configuration.contextLength - prompt.count + 1)
        let group = configuration.headCount / configuration.kvHeadCount
        let accumulator = ImportanceAccumulator(
            promptCount: prompt.count, pool: parameters.pool, group: group, headDim: configuration.headDim)
        let sparsity = parameters.attention == .sparse ? sparsity(of: parameters, promptCount: prompt.count) : nil
        let cache: KVCache
        do throws(MemoryError) {
            cache = try stage.reserveCache(capacity: prompt.count + steps - 1, isSparse: sparsity != nil)
        } catch {
            throw .stage(StageError(code: .noMemory, operation: "importance", problem: "\(error)"))
        }

        /// Passes `tokens` forward; `scoring` adds the queries of the last one. Returns what the last layer left.
        func forward(_ tokens: [Int32], at position: Int, scoring: Bool) throws(SpeculationError) -> Matrix {
            if isCancelled() { throw .cancelled }
            let observer = { (layer: Int, queries: UnsafeBufferPointer<Float>) in
                for kvHead in 0..<configuration.kvHeadCount {
                    let start = kvHead * group * configuration.headDim
                    let shared = UnsafeBufferPointer(rebasing: queries[start..<start + group * configuration.headDim])
                    cache.withKeys(layer: layer, kvHead: kvHead) { accumulator.add(queries: shared, keys: $0) }
                }
            }
            let positions = (position..<position + tokens.count).map { Int32($0) }
            do {
                let hidden = try stage.embed(tokens)
                try stage.forward(
                    hidden, segments: [Segment(cache: cache, positions: positions, sparsity: sparsity)],
                    outputs: scoring ? [tokens.count - 1] : [], observer: scoring ? observer : nil)
                if scoring { accumulator.endStep() }
                return hidden
            } catch {
                throw .stage(error)
            }
        }

        var last: (hidden: Matrix, row: Int)?
        let step = sparsity == nil ? prefillRows : prefillRows.roundedUp(to: BlockSparsity.queryRows)
        for first in stride(from: 0, to: prompt.count, by: step) {
            let end = min(prompt.count, first + step)
            let hidden = try forward(Array(prompt[first..<end]), at: first, scoring: end == prompt.count)
            last = (hidden, end - first - 1)
        }
        for step in 1..<steps {
            guard let state = last else { break }
            let token = try greedyToken(after: state.hidden, row: state.row)
            if eosTokens.contains(token) { break }
            last = (try forward([token], at: prompt.count + step - 1, scoring: true), 0)
        }
        let importance = accumulator.importance
        guard importance.allSatisfy(\.isFinite) else { throw .notFinite }
        return importance
    }

    /// What the rows of a prompt look at when it is read sparsely: those at its end, where the question is, at all keys.
    private func sparsity(of parameters: SpeculationParameters, promptCount: Int) -> BlockSparsity {
        let block = BlockSparsity.queryRows
        var sparsity = sparsity
        sparsity.mostKeys = Float(parameters.mostKeys)
        sparsity.exactFrom = max(0, promptCount - Self.exactRows) / block * block
        return sparsity
    }

    private func greedyToken(after hidden: Matrix, row: Int) throws(SpeculationError) -> Int32 {
        do {
            let greedy = SamplingParameters(temperature: 0)
            return try Sampler.sample(try stage.logits(hidden, rows: [row]), row: 0, parameters: greedy, step: 0).token
        } catch {
            throw .stage(error)
        }
    }
}

extension Int {
    /// The least multiple of `step` that is not below it; both are at least 1.
    fileprivate func roundedUp(to step: Int) -> Int { (self + step - 1) / step * step }
}
