// One answer while it is generated: the coordinator's events turned into text.

import Coordinator

/// Follows a generation to its end.
struct Answer {
    /// A token's text as far as it may be sent, or the end of the answer with the rest of its text.
    enum Step {
        case token(AnswerText.Piece)
        case end(AnswerText.Piece, reason: String)
    }

    private let generation: Generation
    private var events: Generation.Iterator
    private var text: AnswerText
    private(set) var report: SpeculationReport?
    /// Tokens generated so far.
    private(set) var tokenCount = 0
    private var isStopped = false

    init(_ generation: Generation, text: AnswerText) {
        self.generation = generation
        self.text = text
        events = generation.makeAsyncIterator()
    }

    /// Waits for the next token or the end. Not to be called after the end.
    mutating func next() async throws(RequestError) -> Step {
        if isStopped { return .end(AnswerText.Piece(), reason: "stop") }
        while let event = try await events.next() {
            switch event {
            case .prompt(let report):
                self.report = report
            case .token(let token):
                tokenCount += 1
                let piece = text.append(token)
                if text.isStopped {
                    isStopped = true
                    generation.cancel()
                }
                return .token(piece)
            case .finished(let reason):
                let rest = text.finish()
                return .end(rest, reason: text.isStopped ? "stop" : reason.rawValue)
            }
        }
        throw RequestError(.cancelled, "The request was cancelled before its answer was complete.")
    }
}
