// One process of the command, its output read as it comes.

import ChildPrograms
import Foundation

/// A started command. It dies with the test's process if it was told to end with its standard input, and when the test
/// calls `kill`.
final class RunningProgram: Sendable {
    typealias End = ChildProgram.End

    let name: String
    let output = LineLog()
    let log = LineLog()
    private let child: ChildProgram
    /// Whoever waits for it can be cancelled.
    private let ended = Promise<End>()

    /// `environment` comes on top of the tests' own.
    init(
        _ arguments: [String], name: String? = nil, program: String = Program.path, environment: [String: String] = [:]
    ) throws {
        self.name = name ?? arguments.first ?? "winnow"
        child = try ChildProgram(program, arguments, environment: environment)
        Self.read(child.output, into: output)
        Self.read(child.log, into: log)
        Task { [child, ended] in ended.fulfil(await child.end()) }
    }

    /// On a thread of its own: `readabilityHandler` misses the end of a pipe now and then.
    private static func read(_ handle: FileHandle, into lines: LineLog) {
        Thread.detachNewThread {
            while case let bytes = handle.availableData, !bytes.isEmpty { lines.append(bytes) }
            lines.close()
        }
    }

    var pid: Int32 { child.pid }

    /// Sends a signal, unless the process has ended.
    func kill(_ signal: Int32) { child.kill(signal) }

    /// Writes to its standard input.
    func write(_ text: String) throws { try child.input.write(contentsOf: Data(text.utf8)) }

    /// Closes its standard input.
    func closeInput() throws { try child.input.close() }

    var hasEnded: Bool { child.known != nil }

    func end() async throws -> End { try await ended.value() }
}
