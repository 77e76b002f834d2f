// What `winnow loadgen` asks of the process: Ctrl-C, open files.

import Dispatch
import Foundation
import Launcher
import Synchronization

/// Ctrl-C and SIGTERM end a measurement early; a second one ends the process.
final class Interrupts {
    /// Signals so far; apart from the sources because their handlers run on another thread.
    private final class Count: Sendable {
        let value = Mutex(0)
    }

    private let count = Count()
    private let sources: [any DispatchSourceSignal]

    /// Calls the closure at the first signal.
    init(_ onFirst: @escaping @Sendable () -> Void) {
        sources = listen(to: [SIGINT, SIGTERM], on: .global()) { [count] _ in
            let come = count.value.withLock { value in
                value += 1
                return value
            }
            if come > 1 { _exit(130) }
            onFirst()
        }
    }

    /// Whether a signal has come.
    var haveCome: Bool { count.value.withLock { $0 > 0 } }

    /// Gives the signals their usual effect back.
    func stop() {
        for source in sources { source.cancel() }
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
}

/// Every open stream is a file descriptor.
enum OpenFiles {
    /// Descriptors that are left to everything else.
    private static let reserve = 64

    /// Raises this process's own limit as far as it may, and returns how many streams can be open at a time.
    static func raiseLimit(wanted: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
        limit.rlim_cur = min(limit.rlim_max, rlim_t(max(wanted + reserve, Int(clamping: limit.rlim_cur))))
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 - reserve }
        return min(wanted, max(1, Int(clamping: limit.rlim_cur) - reserve))
    }
}
