// One answer on its way to one client, from its admission to its end.

import Coordinator
import Hummingbird
import NIOCore

/// Writes an answer, whole or as a stream, and logs how it ended.
struct AnswerSession: Sendable {
    /// What is known of one choice so far.
    private struct Choice: Sendable {
        var report: SpeculationReport?
        var tokens = 0
        /// Pipelines that fell under it.
        var replays = 0
        /// A part of it has been written.
        var isBegun = false
        var reason: String?
    }

    private let writer: AnswerWriter
    private let answer: OpenAnswer
    private let silenceTime: Duration
    private let work: PromptWork
    private var choices: [Choice]
    private var log: RequestLog
    private var hasToken = false

    /// - Parameter silenceTime: a stream is never silent for twice as long.
    init(writer: AnswerWriter, answer: OpenAnswer, silenceTime: Duration, work: PromptWork, log: RequestLog) {
        self.writer = writer
        self.answer = answer
        self.silenceTime = silenceTime
        self.work = work
        self.log = log
        choices = Array(repeating: Choice(), count: writer.call.choices.count)
        self.log.note(.id, writer.id)
        self.log.note(.stream, writer.call.stream)
    }

    /// Generates to the end and returns the body. An `APIError` is the caller's to tell, and to log with `fail`.
    mutating func whole() async throws -> ByteBuffer {
        var parts = choices.indices.map { AnswerWriter.Part(index: $0) }
        let answer = answer
        defer { answer.end() }
        try await answer.follow(tick: nil) { step in
            guard case .step(let choice, let step) = step, let part = take(step, of: choice) else { return }
            parts[choice].piece.text += part.piece.text
            parts[choice].piece.tokens += part.piece.tokens
            parts[choice].reason = part.reason
            parts[choice].replays = part.replays
            parts[choice].speculation = part.speculation
        }
        finish()
        let (all, usage) = (parts, usage)
        return try await written(all) { [writer] in try writer.whole(all, usage) }
    }

    /// Writes every step as it comes; each goes out at once. A comment goes ahead, and fills every silence.
    mutating func stream(to body: inout any ResponseBodyWriter) async throws {
        let answer = answer
        defer { answer.end() }
        // Nothing but comments since the last tick.
        var isSilent = true
        do {
            try await body.write(AnswerWriter.comment)
            try await answer.follow(tick: silenceTime) { step in
                switch step {
                case .tick:
                    if isSilent { try await body.write(AnswerWriter.comment) }
                    isSilent = true
                case .step(let choice, let step):
                    guard let part = take(step, of: choice) else { return }
                    isSilent = false
                    let usage = usage
                    try await body.write(written([part]) { [writer] in try writer.event(part, usage) })
                }
            }
            try await body.write(writer.ending(usage, speculation: choices.count == 1 ? facts(of: 0) : nil))
            finish()
        } catch let error as APIError {
            fail(error)
            try await body.write(AnswerWriter.event(error))
        } catch {
            noteEnd()
            log.end(RequestLog.clientClosed)
            throw error
        }
    }

    /// Tokens whose log-probabilities are written in passing. An echoed prompt may have a hundred thousand.
    private static let shortParts = 256

    private func written(
        _ parts: [AnswerWriter.Part], _ write: @escaping @Sendable () throws -> ByteBuffer
    ) async throws -> ByteBuffer {
        let tokens = parts.reduce(0) { $0 + $1.piece.tokens.count }
        let isShort = !writer.call.wantsLogProbabilities || tokens <= Self.shortParts
        return isShort ? try write() : try await work.write(write)
    }

    /// Logs a failure.
    func fail(_ error: APIError) {
        var session = self
        session.noteEnd()
        session.log.end(answer.clientLeft ? RequestLog.clientClosed : error.status, error: error)
    }

    /// Notes a step; returns what of it is to be written.
    private mutating func take(_ step: Answer.Step, of index: Int) -> AnswerWriter.Part? {
        var part = AnswerWriter.Part(index: index, isFirst: !choices[index].isBegun)
        switch step {
        case .prompt(let report):
            choices[index].report = report
            return nil
        case .replayed(let count):
            choices[index].replays = count
            return nil
        case .echo(let piece): part.piece = piece
        case .token(let piece):
            choices[index].tokens += 1
            part.piece = piece
            noteToken()
        case .end(let piece, let reason):
            choices[index].reason = reason
            part.piece = piece
            part.reason = reason
            part.replays = choices[index].replays
            // The last event with data says what was done to the prompt, and the usage may come after this one.
            let isLast = !writer.call.stream || !writer.call.streamOptions.includeUsage
            part.speculation = isLast || choices.count > 1 ? facts(of: index) : nil
            noteToken()
        }
        choices[index].isBegun = true
        return part
    }

    private func facts(of choice: Int) -> SpeculationFacts? { choices[choice].report.map(SpeculationFacts.init) }

    /// The first token has come, or an end without one.
    private mutating func noteToken() {
        if !hasToken { log.noteFirstToken() }
        hasToken = true
    }

    private mutating func finish() {
        noteEnd()
        log.note(.finish, choices.compactMap(\.reason).joined(separator: ","))
        log.end(.ok)
    }

    private mutating func noteEnd() {
        let usage = usage
        log.note(.promptTokens, usage.promptTokens)
        if choices.contains(where: { $0.report != nil }) { log.note(.keptTokens, usage.promptDetails.keptTokens) }
        log.note(.tokens, usage.completionTokens)
        log.tokens = usage.promptTokens + usage.completionTokens
    }

    /// Over all choices, so far. A prompt counts once, however many answers it gets.
    private var usage: Usage {
        let kept = stride(from: 0, to: choices.count, by: writer.call.answersPerPrompt).map {
            choices[$0].report?.keptTokens ?? writer.call.choices[$0].request.prompt.count
        }
        return Usage(
            promptTokens: writer.call.promptTokens, keptTokens: kept.reduce(0, +),
            completionTokens: choices.reduce(0) { $0 + $1.tokens })
    }
}
