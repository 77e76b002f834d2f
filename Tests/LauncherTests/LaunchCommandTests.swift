// The command itself: signals from outside, exit codes, and what it prints where.

import ChildPrograms
import Foundation
import Testing

/// The program built beside the tests.
let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().appending(path: "winnow").path

@Suite(
    "winnow launch", .timeLimit(.minutes(1)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: program), "winnow is not built beside the tests"))
struct LaunchCommandTests {
    private let standIn: StandIn

    init() throws { standIn = try StandIn() }

    /// A launcher at work.
    private func start(_ topology: String, _ options: [String] = []) throws -> ChildProgram {
        let file = standIn.folder.appending(path: "topology.yaml")
        try Data(topology.utf8).write(to: file)
        return try ChildProgram(program, ["launch", file.path, "--executable", standIn.program] + options)
    }

    private let ready = "ready http://127.0.0.1:5998\n"

    @Test(arguments: [(SIGINT, 130), (SIGTERM, 0), (SIGHUP, 0)] as [(Int32, Int32)])
    func aSignalEndsAll(signal: Int32, status: Int32) async throws {
        let alive = try standIn.alive()
        let running = try start(standIn.topology())
        #expect(running.output.availableData == Data(ready.utf8))
        running.kill(signal)
        let end = try await running.finish()
        #expect(end.end == .exit(status))
        #expect(end.output == "")
        #expect(end.log.contains("coordinator | starting up\n"))
        #expect(end.log.contains("launch      | "))
        #expect(alive.readDataToEndOfFile().isEmpty)
    }

    @Test func nothingOutlivesALauncherThatIsKilled() async throws {
        let alive = try standIn.alive()
        let running = try start(standIn.topology())
        #expect(running.output.availableData == Data(ready.utf8))
        running.kill(SIGKILL)
        // Returns when the last stand-in has ended.
        #expect(alive.readDataToEndOfFile().isEmpty)
        #expect(try await running.finish().end == .signal(SIGKILL))
    }

    @Test func aCrashIsReportedAndItsExitCodePassedOn() async throws {
        let end = try await start(standIn.topology(worker: "crash")).finish()
        #expect(end.end == .exit(65))
        #expect(end.log.contains("ended unasked: exit status 65; its last log lines:"))
        #expect(end.log.contains("last words"))
    }

    @Test func theReadyFileHoldsTheURLWhileItServes() async throws {
        let file = standIn.folder.appending(path: "ready")
        let running = try start(standIn.topology(), ["--ready-file", file.path, "--verbose"])
        // The file is written before the line, so who has read the line finds the file.
        #expect(running.output.availableData == Data(ready.utf8))
        #expect(try String(contentsOf: file, encoding: .utf8) == "http://127.0.0.1:5998\n")
        running.kill(SIGTERM)
        let end = try await running.finish()
        #expect(end.end == .exit(0))
        #expect(!FileManager.default.fileExists(atPath: file.path))
        #expect(end.log.contains(" worker --coordinator tcp://127.0.0.1:PORT --model "))
    }

    @Test func aSecondLaunchLeavesTheFirstOnesReadyFile() async throws {
        let file = standIn.folder.appending(path: "ready")
        let first = try start(standIn.topology(), ["--ready-file", file.path])
        #expect(first.output.availableData == Data(ready.utf8))
        for coordinator in ["busy", "normal"] {
            let second = try await start(standIn.topology(coordinator: coordinator), ["--ready-file", file.path])
                .finish()
            #expect(second.end == .exit(69))
            #expect(second.log.contains("held by another launch"))
            #expect(try String(contentsOf: file, encoding: .utf8) == "http://127.0.0.1:5998\n")
        }
        // Nor does one that names another file and fails.
        let other = standIn.folder.appending(path: "other")
        #expect(
            try await start(standIn.topology(coordinator: "busy"), ["--ready-file", other.path]).finish().end
                == .exit(69))
        #expect(FileManager.default.fileExists(atPath: file.path))
        #expect(!FileManager.default.fileExists(atPath: other.path))
        first.kill(SIGTERM)
        #expect(try await first.finish().end == .exit(0))
        #expect(!FileManager.default.fileExists(atPath: file.path))
    }

    @Test func aReadyFileOfAKilledLaunchIsGoneBeforeTheNextServes() async throws {
        let file = standIn.folder.appending(path: "ready")
        let alive = try standIn.alive()
        let first = try start(standIn.topology(), ["--ready-file", file.path])
        #expect(first.output.availableData == Data(ready.utf8))
        first.kill(SIGKILL)
        #expect(try await first.finish().end == .signal(SIGKILL))
        #expect(alive.readDataToEndOfFile().isEmpty)
        #expect(FileManager.default.fileExists(atPath: file.path))
        let second = try await start(standIn.topology(coordinator: "busy"), ["--ready-file", file.path]).finish()
        #expect(second.end == .exit(69))
        #expect(second.log.contains("the port is in use"))
        #expect(!FileManager.default.fileExists(atPath: file.path))
    }

    @Test(arguments: ["/nope/x", "/dev/null/x"]) func aReadyFileThatCannotBeIsFoundAtOnce(path: String) async throws {
        let end = try await start(standIn.topology(), ["--ready-file", path]).finish()
        #expect(end.end == .exit(69))
        #expect(end.output == "")
        #expect(end.log.hasPrefix("winnow launch: the ready file \(path) can't be written: "), "\(end.log)")
        // Nothing was started.
        #expect(end.log.split(separator: "\n").count == 1)
    }

    @Test func aSingleWorkerIsOne() async throws {
        let yaml = standIn.topology(coordinator: "busy").replacing("stages: 2", with: "stages: 1")
        #expect(try await start(yaml).finish().log.contains("a coordinator and 1 worker;"))
    }

    @Test func aDryRunPrintsCommandsOnly() async throws {
        let end = try await start(standIn.topology(), ["--dry-run", "--http", "127.0.0.1:99"]).finish()
        #expect(end.end == .exit(0))
        #expect(end.output.split(separator: "\n").count == 3)
        #expect(end.output.contains("--http 127.0.0.1:99"))
    }

    @Test func aMistakeInTheFileIsNamedOnOneLine() async throws {
        let end = try await start("model: m\npipelines:\n  - stages: many\n").finish()
        #expect(end.end == .exit(65))
        #expect(end.log.contains("topology.yaml:3: pipelines[0].stages: must be a whole number"))
        #expect(end.log.split(separator: "\n").count == 1)
    }
}
