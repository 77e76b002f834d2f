// How a process ended and how a launch ended, with the words and exit codes for both.

internal import Glibc

/// How a child process ended.
public enum ProcessEnd: Equatable, Sendable, CustomStringConvertible {
    /// It returned this status.
    case exited(Int32)
    /// This signal ended it.
    case signaled(Int32)
    /// It never ran, and why.
    case notStarted(String)

    /// For example `exit status 65` or `killed by signal 9 (Killed)`.
    public var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .signaled(let signal): "killed by signal \(signal) (\(String(cString: strsignal(signal))))"
        case .notStarted(let reason): "could not be started: \(reason)"
        }
    }
}

/// A process that ended though nobody asked it to.
public struct ProcessFailure: Equatable, Sendable {
    /// The process's name in the plan.
    public var name: String
    /// How it ended.
    public var end: ProcessEnd
    /// Its last log lines, oldest first, at most ``LaunchSession/tailLimit``.
    public var lastLines: [String]

    /// Creates a report.
    public init(name: String, end: ProcessEnd, lastLines: [String]) {
        self.name = name
        self.end = end
        self.lastLines = lastLines
    }
}

/// Who asked the launch to end.
public enum StopReason: Equatable, Sendable {
    /// Ctrl-C.
    case interrupt
    /// SIGTERM, SIGHUP or the caller.
    case terminate
}

/// How a launch ended.
public enum LaunchOutcome: Equatable, Sendable, CustomStringConvertible {
    /// It was asked to end, and every process did.
    case stopped(StopReason)
    /// A process ended by itself.
    case failed(ProcessFailure)
    /// The cluster could not serve in the time it was given; the text says what was missing.
    case notReady(String)

    /// Exit code of the command: 0 after SIGTERM, 130 after Ctrl-C, 75 when it was not ready in time, and otherwise
    /// the failed process's own code where it has a meaning (64 to 78), else 70.
    public var exitCode: Int32 {
        switch self {
        case .stopped(.terminate): 0
        case .stopped(.interrupt): 130
        case .notReady: 75
        case .failed(let failure):
            if case .exited(let status) = failure.end, (64...78).contains(status) { status } else { 70 }
        }
    }

    /// What happened, over several lines where a process failed.
    public var description: String {
        switch self {
        case .stopped(.interrupt): "interrupted; all processes have ended"
        case .stopped(.terminate): "terminated; all processes have ended"
        case .notReady(let missing): "not ready in time: \(missing)"
        case .failed(let failure):
            if failure.lastLines.isEmpty {
                "\(failure.name) ended unasked: \(failure.end); it logged nothing"
            } else {
                "\(failure.name) ended unasked: \(failure.end); its last log lines:\n"
                    + failure.lastLines.map { "    \($0)" }.joined(separator: "\n")
            }
        }
    }
}
