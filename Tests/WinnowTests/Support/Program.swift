// Where the built command is, and what it ships with.

import Foundation

/// The program under test.
enum Program {
    /// Built beside the tests, unless the variable WINNOW_PROGRAM names another.
    static let path =
        ProcessInfo.processInfo.environment["WINNOW_PROGRAM"]
        ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: "winnow").path

    static let isBuilt = FileManager.default.isExecutableFile(atPath: path)

    /// Runs the command to its end; `environment` comes on top of the tests' own.
    static func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> Finished {
        let process = try RunningProgram(arguments, environment: environment)
        defer { process.kill(SIGKILL) }
        return try await within(.seconds(20), "the end of winnow \(arguments.joined(separator: " "))") {
            let end = try await process.end()
            return Finished(
                end: end, output: try await process.output.all(), log: try await process.log.all())
        }
    }

    /// How a run of the command came out.
    struct Finished: Sendable {
        var end: RunningProgram.End
        var output: [String]
        var log: [String]
    }
}

/// Files of the package.
enum Package {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let stories = model("stories260K")
    static let needle = model("needle-main-2m")
    static let needleSpeculator = model("needle-speculator-0.4m")

    static func file(_ path: String) -> String { root.appending(path: path).path }

    private static func model(_ name: String) -> String { file("cluster/models/\(name)") }
}

/// A wait that took too long.
struct TooLate: Error, CustomStringConvertible {
    var what: String
    var limit: Duration
    var description: String { "waited for \(what) longer than \(limit)" }
}

/// What `body` returns, or `TooLate`; `what` says what was waited for.
func within<Value: Sendable>(
    _ limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: limit)
            throw TooLate(what: what, limit: limit)
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
