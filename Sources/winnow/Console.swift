// What every subcommand says, and how it ends.

import ArgumentParser
import Foundation
import Launcher
import Logging
import OutsideText
import Synchronization

/// The standard streams. No write to them ends the process: see ``announce(_:)`` for who must go on, and
/// ``outputProblem`` for who has nothing to do but to write.
enum Console {
    private static let errors = LineSink(descriptor: STDERR_FILENO)
    private static let announcements = LineSink(descriptor: STDOUT_FILENO)
    private static let problem = Mutex<Descriptor.Problem?>(nil)

    /// One line of result on standard output, written at once: scripts wait for such lines.
    static func say(_ line: String) { write("\(line)\n") }

    /// A piece of result on standard output. After a write that failed nothing more is tried.
    static func write(_ text: String) {
        guard outputProblem == nil else { return }
        do {
            try Descriptor.write(text.utf8, to: STDOUT_FILENO)
        } catch {
            problem.withLock { $0 = error }
        }
    }

    /// Why results can't be written any more; the command ends with it (``Winnow/main()``), as early as it likes to ask.
    static var outputProblem: Descriptor.Problem? { problem.withLock { $0 } }

    /// One line on standard output of a process that serves: who waited for an earlier line may have closed the pipe
    /// since, or no longer read it, so a line that can't be written is dropped. Waits for nobody.
    static func announce(_ line: String) { announcements.write("\(line)\n") }

    /// One line on standard error.
    static func note(_ line: String) {
        errors.write("\(line)\n")
        flush()
    }

    /// Text on a terminal's standard error, such as a line that is written over and over.
    static func draw(_ text: String) { errors.write(text) }

    /// Waits a moment for the standard streams to take what was logged and announced.
    static func flush() {
        announcements.flush()
        errors.flush()
    }

    /// Says what is wrong, and gives the error that ends the command with `code`.
    static func failure(_ code: Failure, _ text: String) -> ExitCode {
        note("winnow: \(text)")
        return ExitCode(code.rawValue)
    }

    /// The exit codes of sysexits(3) that scripts can use.
    enum Failure: Int32 {
        case usage = 64
        case badData = 65
        case unavailable = 69
        case fault = 70
        case cannotWrite = 74
        case notYet = 75
        case interrupted = 130
    }

    /// Logs to standard error, so that standard output stays for results; `level` is one of swift-log's.
    static func logger(_ label: String, level: String?) -> Logger {
        var logger = Logger(label: label) {
            OneLineLogHandler(StreamLogHandler(label: $0, stream: LogLines(sink: errors)))
        }
        logger.logLevel = level.flatMap { Logger.Level(rawValue: $0) } ?? .info
        return logger
    }
}

/// Log entries on their way to standard error.
private struct LogLines: TextOutputStream, Sendable {
    let sink: LineSink

    func write(_ entry: String) { sink.write(entry) }
}
