// All choices of an answer, followed at once.

import Coordinator
import Tokenizer

/// What happens to an answer's choices, one thing after the other.
enum ChoiceStep: Sendable {
    case step(choice: Int, Answer.Step)
    /// The given time has passed; comes again and again.
    case tick
}

extension OpenAnswer {
    /// What a task that follows one choice has to say.
    private enum Report: Sendable {
        case step(choice: Int, Answer.Step)
        case failure(choice: Int, RequestError)
        case tick
    }

    /// Calls `act` with every step of every choice, until all have ended.
    ///
    /// The steps in between are held in memory: no more than the answer's tokens, which are bounded.
    ///
    /// - Parameter tick: how often to call with `.tick`; `nil`: never.
    /// - Throws: `APIError` for the first choice that fails, which ends them all; what `act` throws.
    func follow(tick: Duration?, _ act: (ChoiceStep) async throws -> Void) async throws {
        let (reports, feed) = AsyncStream<Report>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            if let tick {
                group.addTask {
                    while !Task.isCancelled {
                        try? await Task.sleep(for: tick)
                        feed.yield(.tick)
                    }
                }
            }
            for running in takeFresh() { group.addTask { await self.pump(running, into: feed) } }
            var left = call.choices.count
            for await report in reports {
                switch report {
                case .tick: try await act(.tick)
                case .failure(let choice, let error): throw call.error(error, choice: choice)
                case .step(let choice, let step):
                    try await act(.step(choice: choice, step))
                    guard case .end = step else { continue }
                    ended(choice)
                    left -= 1
                    if left == 0 { return }
                    try begin()
                    for running in takeFresh() { group.addTask { await self.pump(running, into: feed) } }
                }
            }
            // The stream of reports ends only with this task.
            throw CancellationError()
        }
    }

    private func pump(_ running: Running, into feed: AsyncStream<Report>.Continuation) async {
        let echo = call.choices[running.choice].echo
        let text = AnswerText(
            tokenizer: service.tokenizer, stop: call.stop, isContinuation: call.endpoint == .completions,
            offset: echo?.scalars ?? 0)
        var answer = Answer(running.generation, text: text, echo: echo)
        do {
            while true {
                let step = try await answer.next()
                feed.yield(.step(choice: running.choice, step))
                if case .end = step { return }
            }
        } catch {
            feed.yield(.failure(choice: running.choice, error))
        }
    }
}
