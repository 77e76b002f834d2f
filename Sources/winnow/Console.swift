import ArgumentParser
import Foundation
import Logging
import OutsideText

/// What every subcommand says, and how it ends.
enum Console {
    /// One line on standard output, written at once: scripts wait for such lines.
    static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

    /// One line on standard error.
    static func note(_ line: String) { FileHandle.standardError.write(Data("\(line)\n".utf8)) }

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
        case interrupted = 130
    }

    /// Logs to standard error, so that standard output stays for results.
    static func logger(_ label: String, level: LogLevel) -> Logger {
        var logger = Logger(label: label) { OneLineLogHandler(StreamLogHandler.standardError(label: $0)) }
        logger.logLevel = Logger.Level(rawValue: level.rawValue) ?? .info
        return logger
    }
}

/// How much is logged.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical
}
