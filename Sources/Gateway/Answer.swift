// One answer while it is generated: the coordinator's events turned into text.

import Coordinator

/// Follows a generation to its end.
struct Answer {
    /// What happened next.
    enum Step: Sendable {
        /// The prompt was scored and pruned, or not.
        case prompt(SpeculationReport)
        /// Its pipeline was lost, and another one goes on with it: so many times by now.
        case replayed(Int)
        /// The prompt, to be repeated.
        case echo(AnswerText.Piece)
        /// A token's text as far as it may be sent.
        case token(AnswerText.Piece)
        /// The end of the answer with the rest of its text.
        case end(AnswerText.Piece, reason: String)
    }

    private let generation: Generation
    private var events: Generation.Iterator
    private var text: AnswerText
    /// Until it has been told.
    private var echo: EchoedPrompt?
    private var isPromptRead = false

    init(_ generation: Generation, text: AnswerText, echo: EchoedPrompt?) {
        self.generation = generation
        self.text = text
        self.echo = echo
        events = generation.makeAsyncIterator()
    }

    /// Waits for the next step. Not to be called after the end.
    mutating func next() async throws(RequestError) -> Step {
        if isPromptRead, let piece = echo?.piece, echo?.isComplete == true {
            echo = nil
            return .echo(piece)
        }
        if text.isStopped { return .end(AnswerText.Piece(), reason: "stop") }
        while let event = try await events.next() {
            switch event {
            case .prompt(let report):
                isPromptRead = true
                return .prompt(report)
            case .promptTokens(let tokens):
                echo?.score(tokens)
                if echo?.isComplete == true { return try await next() }
            case .token(let token):
                let piece = text.append(token)
                // A stop string makes the answer complete, whatever the model would say next.
                if text.isStopped { generation.conclude() }
                return .token(piece)
            case .endToken(let token): text.end(token)
            case .replayed(let count): return .replayed(count)
            case .finished(let reason):
                let rest = text.finish()
                return .end(rest, reason: text.isStopped ? "stop" : reason.rawValue)
            }
        }
        throw RequestError(.cancelled, "The request was cancelled before its answer was complete.")
    }
}
