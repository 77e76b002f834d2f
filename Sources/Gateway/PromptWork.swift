// From the bytes of a body to what is asked, and from a long answer to its bytes, on threads of their own.

import HTTPTypes
import NIOCore

/// Reads requests: short ones and long ones apart, so that a long text keeps no short question waiting.
final class PromptWork: Sendable {
    /// Bodies from this size on are long.
    static let longBytes = 128 << 10

    private let short: WorkThreads
    private let long: WorkThreads
    private let answers: WorkThreads

    /// `queue`: the most requests that wait for a thread, of either kind.
    init(threads: Int, queue: Int) {
        short = WorkThreads(name: "prompts", threads: threads, queue: queue)
        long = WorkThreads(name: "long-prompts", threads: 1, queue: queue, niceness: 5)
        answers = WorkThreads(name: "long-answers", threads: 1, queue: queue, niceness: 5)
    }

    func stop() {
        short.stop()
        long.stop()
        answers.stop()
    }

    /// Runs `read` for a body of so many bytes, unless its client is gone by the time its turn comes.
    func run<Value: Sendable>(
        bytes: Int, for channel: any Channel, _ read: @escaping @Sendable () throws(APIError) -> Value
    ) async throws(APIError) -> Value {
        let threads = bytes < Self.longBytes ? short : long
        let result = await threads.run { () -> Result<Value, APIError> in
            guard channel.isActive else { return .failure(.clientLeft) }
            return Result(catching: read)
        }
        guard let result else {
            var busy = APIError.server(
                .tooManyRequests, code: "overloaded", "Too many requests wait for their prompts to be read: try again.",
                retryAfter: .seconds(1))
            busy.type = "rate_limit_error"
            throw busy
        }
        return try result.get()
    }

    /// Has a long answer written. Where too many wait it is written at once: it has cost its client far more by now.
    func write<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        guard let result = await answers.run({ Result(catching: body) }) else { return try body() }
        return try result.get()
    }
}

extension APIError {
    /// Nobody is left to be told.
    fileprivate static let clientLeft = APIError.server(
        RequestLog.clientClosed, code: "client_closed_request", "The client left before its request was read.")
}
