// What `winnow loadgen` does with the terminal and the process: progress line, Ctrl-C, open files.

import Dispatch
import Foundation
import LoadGenerator
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
            FileHandle.standardError.write(Data("\r\u{1B}[K\(line().prefix(79))".utf8))
        }
    }

    /// Removes the line.
    func clear() {
        guard isTerminal else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    }
}

extension RunProgress {
    /// One line for the terminal.
    var line: String {
        let latest = latestTimeToFirstToken.map { ", last TTFT \($0.formatted)" } ?? ""
        return "\(sent)/\(scheduled) sent, \(open) open, \(completed) done, \(failed) failed\(latest)"
    }
}

extension LadderProgress {
    /// One line for the terminal.
    var line: String {
        switch self {
        case .unloaded(let mode): "\(mode): unloaded TTFT"
        case .settling(let mode, let rate): "\(mode) \(rate)/s: settling"
        case .running(let mode, let rate, let run): "\(mode) \(rate)/s: \(run.line)"
        }
    }
}

extension Duration {
    fileprivate var formatted: String {
        formatted(.units(allowed: [.seconds, .milliseconds], width: .narrow, maximumUnitCount: 1))
    }
}

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
        sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            return DispatchSource.makeSignalSource(signal: number, queue: .global())
        }
        for source in sources {
            source.setEventHandler { [count] in
                let come = count.value.withLock { value in
                    value += 1
                    return value
                }
                if come > 1 { _exit(130) }
                onFirst()
            }
            source.resume()
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
