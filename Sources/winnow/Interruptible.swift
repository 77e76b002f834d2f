// Long work that Ctrl-C ends in good order.

import ArgumentParser
import Launcher

/// Does `work` in a task that SIGINT, SIGTERM or SIGHUP cancels, so that it can take back what it has begun.
///
/// - Throws: what `work` throws; after a signal `ExitCode` 130, unless the work was done all the same.
func interruptible<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    let signals = StopSignals()
    let task = Task.detached { try work() }
    let wait = Task { [reasons = signals.reasons] in
        for await _ in reasons {
            task.cancel()
            Console.note("winnow: interrupted; what was begun is removed")
        }
    }
    defer {
        wait.cancel()
        signals.cancel()
    }
    do {
        return try await task.value
    } catch  where task.isCancelled {
        throw ExitCode(Console.Failure.interrupted.rawValue)
    }
}
