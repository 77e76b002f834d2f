// What is asked of who guesses tokens, and what comes of it.

package import Transformer

/// What a drafter is to do. It works orders off one after the other.
package enum DraftOrder: Sendable {
    /// Follow a request: read its prompt, `tokens` at `positions`, and the answer so far, which begins at `promptCount` and
    /// will have at most `room` tokens.
    case begin(
        UInt64, tokens: [Int32], positions: [Int32], promptCount: Int, answer: [Int32], room: Int,
        sampling: SamplingParameters)
    /// Read on, and guess at most so many tokens.
    case guess(UInt64, answer: [Int32], count: Int)
    /// The request has ended.
    case forget(UInt64)

    var request: UInt64 {
        switch self {
        case .begin(let id, _, _, _, _, _, _), .guess(let id, _, _), .forget(let id): id
        }
    }
}

/// What became of an order.
package enum DraftResult: Sendable {
    /// All was read, and this is guessed: nothing where a request is only to be followed.
    case guessed([Int32])
    /// Prompts are to be scored first; said of guesses only. What was told is to be told again.
    case busy
    /// It can't follow the request.
    case failed(String)
}

/// Who guesses: not on the thread of who asks.
package protocol DraftSource: AnyObject, Sendable {
    /// Takes an order; every one but `forget` is answered once, from any thread.
    func take(_ order: DraftOrder, completion: @escaping @Sendable (DraftResult) -> Void)
}
