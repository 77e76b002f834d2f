// One answer on its way to one client, from the first token to the end of its connection's interest.

import Coordinator
import Hummingbird
import NIOCore
import Synchronization

/// Writes an answer, whole or as a stream, and logs how it ended.
struct AnswerSession {
    private let writer: AnswerWriter
    private let tenure: Tenure
    private var answer: Answer
    private var log: RequestLog

    init(writer: AnswerWriter, tenure: Tenure, log: RequestLog) {
        self.writer = writer
        self.tenure = tenure
        self.log = log
        let text = AnswerText(
            tokenizer: writer.tokenizer, stop: writer.call.stop, isContinuation: writer.call.endpoint == .completions)
        answer = Answer(tenure.generation, text: text)
        self.log.note(.id, writer.id)
        self.log.note(.stream, writer.call.stream)
    }

    /// Waits for the first token (or an end without one): until then a failure can still choose the status.
    mutating func first() async throws(APIError) -> Answer.Step {
        let step = try await next()
        log.noteFirstToken()
        return step
    }

    /// Generates to the end and returns the body.
    mutating func whole() async throws -> ByteBuffer {
        var step = try await first()
        var all = AnswerText.Piece()
        while case .token(let piece) = step {
            all.text += piece.text
            all.tokens += piece.tokens
            step = try await next()
        }
        guard case .end(let rest, let reason) = step else { return ByteBuffer() }
        all.text += rest.text
        all.tokens += rest.tokens
        finish(reason)
        return try writer.whole(all, reason: reason, end)
    }

    /// Writes every event as it comes; each goes out at once.
    mutating func stream(from first: Answer.Step, to body: inout any ResponseBodyWriter) async throws {
        var step = first
        var isFirst = true
        do {
            while case .token(let piece) = step {
                try await body.write(writer.event(piece, isFirst: isFirst))
                isFirst = false
                step = try await next()
            }
            if case .end(let rest, let reason) = step {
                try await body.write(writer.ending(rest, isFirst: isFirst, reason: reason, end))
                finish(reason)
            }
        } catch let error as APIError {
            fail(error)
            try await body.write(AnswerWriter.event(error))
        } catch {
            tenure.generation.cancel()
            noteEnd()
            log.end(RequestLog.clientClosed)
            throw error
        }
    }

    /// Logs a failure.
    mutating func fail(_ error: APIError) {
        noteEnd()
        log.end(tenure.clientLeft ? RequestLog.clientClosed : error.status, error: error)
    }

    private mutating func next() async throws(APIError) -> Answer.Step {
        do {
            return try await answer.next()
        } catch {
            throw APIError(error, promptField: writer.call.endpoint.promptField)
        }
    }

    private mutating func finish(_ reason: String) {
        noteEnd()
        log.note(.finish, reason)
        log.end(.ok)
    }

    private mutating func noteEnd() {
        log.note(answer.report)
        log.note(.tokens, answer.tokenCount)
    }

    private var end: AnswerWriter.End {
        let promptTokens = writer.call.request.prompt.count
        let usage = Usage(
            promptTokens: promptTokens, keptTokens: answer.report?.keptTokens ?? promptTokens,
            completionTokens: answer.tokenCount)
        return AnswerWriter.End(usage: usage, speculation: answer.report.map(SpeculationFacts.init))
    }
}

/// A generation's place on its client's connection: while it stands, the client's leaving or a shutdown cancels the
/// generation. Ends with its last reference.
final class Tenure: Sendable {
    let generation: Generation
    private let channel: any Channel
    private let open: OpenGenerations
    private let left = Atomic(false)

    init(_ generation: Generation, on channel: any Channel, among open: OpenGenerations) {
        self.generation = generation
        self.channel = channel
        self.open = open
        open.add(generation)
    }

    deinit {
        open.remove(generation.id)
        ConnectionMonitor.release(channel, owner: generation.id)
    }

    /// Whether the client is known to be gone.
    var clientLeft: Bool { left.load(ordering: .relaxed) }

    /// Cancels the generation once the client leaves.
    func watch() async throws {
        try await ConnectionMonitor.watch(channel, owner: generation.id) { [weak self] in
            guard let self else { return }
            left.store(true, ordering: .relaxed)
            generation.cancel()
        }
    }
}
