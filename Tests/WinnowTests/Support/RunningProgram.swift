// One process of the command, its output read as it comes.

import Foundation

/// A started command. It dies with the test's process if it was told to end with its standard input, and when the test
/// calls `kill`.
final class RunningProgram: Sendable {
    /// How a process ended.
    enum End: Equatable, Sendable {
        case exit(Int32)
        /// It did not end by itself: it crashed or was killed.
        case signal(Int32)
    }

    let name: String
    let pid: Int32
    let output = LineLog()
    let log = LineLog()
    private let ended = Promise<End>()
    private let input: FileHandle

    /// `environment` comes on top of the tests' own.
    init(
        _ arguments: [String], name: String? = nil, program: String = Program.path, environment: [String: String] = [:]
    ) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        if !environment.isEmpty {
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        }
        let (input, output, log) = (Pipe(), Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = log
        process.terminationHandler = { [ended] process in
            let status = process.terminationStatus
            ended.fulfil(process.terminationReason == .exit ? .exit(status) : .signal(status))
        }
        self.name = name ?? arguments.first ?? "winnow"
        try process.run()
        pid = process.processIdentifier
        self.input = input.fileHandleForWriting
        Self.read(output, into: self.output)
        Self.read(log, into: self.log)
    }

    /// On a thread of its own: `readabilityHandler` misses the end of a pipe now and then.
    private static func read(_ pipe: Pipe, into lines: LineLog) {
        let handle = pipe.fileHandleForReading
        Thread.detachNewThread {
            while case let bytes = handle.availableData, !bytes.isEmpty { lines.append(bytes) }
            lines.close()
        }
    }

    /// Sends a signal, unless the process has ended.
    func kill(_ signal: Int32) {
        // Until its end is known the process is at least a zombie, so the number is no other's.
        if !hasEnded { Foundation.kill(pid, signal) }
    }

    /// Writes to its standard input.
    func write(_ text: String) throws { try input.write(contentsOf: Data(text.utf8)) }

    /// Closes its standard input.
    func closeInput() throws { try input.close() }

    var hasEnded: Bool { ended.current != nil }

    func end() async throws -> End { try await ended.value() }
}
