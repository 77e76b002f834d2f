// The small model guesses what the main model will say next.

internal import Checkpoint
internal import Compute
public import Transformer

/// What a drafter has read of one request.
public final class Draft: @unchecked Sendable {  // used by one thread at a time, like its drafter's stage
    fileprivate let cache: KVCache
    fileprivate let prompt: [Int32]
    fileprivate let positions: [Int32]
    fileprivate let promptCount: Int
    fileprivate let sampling: SamplingParameters
    /// Tokens of the answer.
    fileprivate var answer: [Int32] = []
    /// Guesses of what follows it; the cache has rows of all but the last.
    fileprivate var guesses: [Int32] = []

    fileprivate init(
        cache: KVCache, prompt: [Int32], positions: [Int32], promptCount: Int, sampling: SamplingParameters
    ) {
        self.cache = cache
        self.prompt = prompt
        self.positions = positions
        self.promptCount = promptCount
        self.sampling = sampling
    }
}

/// Guesses the next tokens of answers with a small model (speculative decoding, arXiv 2211.17192).
///
/// A guess is what the request's own sampling would draw, at the same step, from the small model's logits. Who verifies it
/// draws from the main model's logits and compares: the answer is the one that the main model gives alone, token by token,
/// and the more alike the two models are, the more guesses are right.
public final class Drafter: @unchecked Sendable {  // one thread at a time, as its stage
    private let stage: Stage
    private let prefillRows: Int

    /// - Parameters:
    ///   - stage: all layers of the small model.
    ///   - prefillRows: rows in a block of prefill, at least 1; a cancellation is seen between two blocks.
    public init(stage: Stage, prefillRows: Int = 256) {
        self.stage = stage
        self.prefillRows = max(1, prefillRows)
    }

    /// Begins to follow a request; reads nothing yet.
    ///
    /// - Parameters:
    ///   - prompt: the tokens that the main model reads, at least one, and `positions` where they stand.
    ///   - promptCount: the position of the answer's first token.
    ///   - room: the most tokens the answer can have.
    ///   - sampling: how its tokens are drawn.
    /// - Throws: if the small model's context is too short, or there is no memory.
    public func begin(
        prompt: [Int32], positions: [Int32], promptCount: Int, room: Int, sampling: SamplingParameters
    ) throws(StageError) -> Draft {
        let context = stage.configuration.contextLength
        guard !prompt.isEmpty, prompt.count == positions.count, room >= 0, promptCount <= context,
            room <= context - promptCount
        else {
            throw StageError(
                code: .invalidPosition, operation: "draft",
                problem:
                    "an answer of \(room) tokens from position \(promptCount) on does not fit a context of \(context)")
        }
        var sampling = sampling
        sampling.topLogProbabilities = nil
        do {
            return Draft(
                cache: try stage.reserveCache(capacity: prompt.count + room), prompt: prompt, positions: positions,
                promptCount: promptCount, sampling: sampling)
        } catch {
            throw StageError(code: .noMemory, operation: "draft", problem: "\(error)")
        }
    }

    /// Reads on, and guesses what follows.
    ///
    /// - Parameters:
    ///   - answer: the tokens that followed those told before.
    ///   - count: the most guesses wanted; there are fewer where the answer's room ends.
    ///   - isCancelled: asked between two blocks; what was read stays read.
    /// - Returns: nil if it was cancelled; then the same answer is to be told again.
    /// - Throws: ``StageError``: the answer leaves the room it was begun with, or a token the vocabulary, or there is no memory.
    public func extend(
        _ draft: Draft, by answer: [Int32], guessing count: Int, isCancelled: () -> Bool = { false }
    ) throws(StageError) -> [Int32]? {
        let known = draft.prompt.count + draft.answer.count
        let right = zip(draft.guesses, answer).prefix { $0 == $1 }.count
        let all = draft.answer + answer
        let end = draft.prompt.count + all.count
        // The last row is read anew if it has been: its logits are wanted.
        draft.cache.truncate(to: min(known + right, end - 1))
        draft.guesses = []
        guard end <= draft.cache.capacity else {
            throw StageError(code: .cacheFull, operation: "draft", problem: "the answer is longer than it was to be")
        }
        var last: (hidden: Matrix, row: Int)?
        while draft.cache.count < end {
            if isCancelled() {
                // Rows of an answer that is not known yet are not to be taken for guesses.
                draft.cache.truncate(to: known)
                return nil
            }
            let range = draft.cache.count..<min(end, draft.cache.count + prefillRows)
            last = (try read(range, of: draft, answer: all), range.count - 1)
        }
        draft.answer = all
        let most = min(count, draft.cache.capacity - end)
        while draft.guesses.count < most, let state = last {
            let logits = try stage.logits(state.hidden, rows: [state.row])
            let step = all.count + draft.guesses.count
            draft.guesses.append(try Sampler.sample(logits, row: 0, parameters: draft.sampling, step: step).token)
            guard draft.guesses.count < most else { break }
            let row = draft.cache.count
            last = (try read(row..<row + 1, of: draft, answer: all + draft.guesses), 0)
        }
        return draft.guesses
    }

    /// Passes rows forward: of the prompt, and behind it of `answer`. Returns what the last layer left.
    private func read(_ rows: Range<Int>, of draft: Draft, answer: [Int32]) throws(StageError) -> Matrix {
        let first = draft.prompt.count
        let hidden = try stage.embed(rows.map { $0 < first ? draft.prompt[$0] : answer[$0 - first] })
        let positions = rows.map {
            $0 < first ? draft.positions[$0] : Int32(draft.promptCount + $0 - first)
        }
        try stage.forward(
            hidden, segments: [Segment(cache: draft.cache, positions: positions)], outputs: [rows.count - 1])
        return hidden
    }
}
