// One line of progress, for commands that take longer than a moment.

import Foundation
import Synchronization

/// Facts about the standard streams.
enum Terminal {
    /// Whether standard output understands colours, and nobody has asked for none.
    static var hasColor: Bool {
        isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"] == nil
    }
}

/// One line on standard error that is written over and over; nothing at all when that is no terminal.
final class ProgressLine: Sendable {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let lastShown = Mutex<ContinuousClock.Instant?>(nil)

    /// Shows a line, at most ten times a second.
    func show(_ line: @autoclosure () -> String) {
        guard isTerminal else { return }
        lastShown.withLock { last in
            let now = ContinuousClock.now
            if let last, now - last < .milliseconds(100) { return }
            last = now
            Console.draw("\r\u{1B}[K\(line().prefix(79))")
        }
    }

    /// Removes the line.
    func clear() {
        guard isTerminal else { return }
        Console.draw("\r\u{1B}[K")
    }
}
