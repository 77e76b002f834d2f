// Output that nobody reads or that has no room: it ends no server, and a command that only writes says so.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Output", .timeLimit(.minutes(2)))
    struct OutputTests {
        /// Runs a line of bash, where `"$winnow"` is the program.
        private func shell(_ line: String) async throws -> Program.Finished {
            let process = try RunningProgram(
                ["-c", "winnow=$1; \(line)", "bash", Program.path], name: "bash", program: "/bin/bash")
            defer { process.kill(SIGKILL) }
            return try await within(.seconds(20), "the end of \(line)") {
                let end = try await process.end()
                return Program.Finished(
                    end: end, output: try await process.output.all(), log: try await process.log.all())
            }
        }

        private static let commands = [
            "model inspect \(Package.stories)", "model inspect \(Package.stories) --json", "--help", "launch --help",
            "launch --dry-run \(Package.file("cluster/demo.yaml"))", "--version",
            "generate --model \(Package.stories) --prompt Once --max-tokens 3",
            "generate --model \(Package.stories) --prompt Once --max-tokens 3 --json",
        ]

        @Test(arguments: commands) func aFullDiskIsSaid(command: String) async throws {
            let run = try await shell("\"$winnow\" \(command) > /dev/full")
            #expect(run.end == .exit(74))
            #expect(
                run.log.last == "winnow: cannot write to standard output: No space left on device", "\(run.log)")
        }

        /// As with `head`: a reader that has seen enough is no failure, and nothing is said.
        @Test(arguments: commands) func aReaderThatLeavesIsNoFailure(command: String) async throws {
            // The pipe's only reader has ended before the command begins.
            let run = try await shell("exec 3> >(:); wait $!; \"$winnow\" \(command) >&3")
            #expect(run.end == .exit(0), "\(run.log)")
            #expect(run.log.allSatisfy { !$0.contains("write") }, "\(run.log)")
        }

        @Test(arguments: ["2>/dev/full", "2>&-", ">/dev/full 2>&1", ">&- 2>&-"])
        func aMistakeKeepsItsExitCode(redirection: String) async throws {
            let run = try await shell("\"$winnow\" model inspect /nowhere \(redirection)")
            #expect(run.end == .exit(65))
            #expect(try await shell("\"$winnow\" fly \(redirection)").end == .exit(64))
        }

        /// A coordinator whose standard output or error is like this, its answers, and its end.
        private func serves(_ redirection: String) async throws {
            let folder = try TemporaryFolder()
            let endpoint = "ipc://\(folder.file("c").path)"
            let port = try FreePort.any()
            let coordinator = try RunningProgram(
                [
                    "-c", "exec \"$@\" \(redirection)", "bash", Program.path, "coordinator", "--exit-with-stdin",
                    "--model",
                    Package.stories, "--listen", endpoint, "--http", "127.0.0.1:\(port)", "--log-level", "debug",
                ], name: "coordinator", program: "/bin/bash")
            defer { coordinator.kill(SIGKILL) }
            let client = Client(base: "http://127.0.0.1:\(port)", model: "stories260K")
            for _ in 0..<2 {
                let worker = try RunningProgram([
                    "worker", "--exit-with-stdin", "--model", Package.stories, "--coordinator", endpoint, "--listen",
                    "tcp://127.0.0.1:*",
                ])
                defer { worker.kill(SIGKILL) }
                try await poll(coordinator, client, until: 200)
                #expect(try await client.complete(Ask(prompt: "Once", maxTokens: 3)).text.isEmpty == false)
                worker.kill(SIGTERM)
                try await poll(coordinator, client, until: 503)
            }
            coordinator.kill(SIGTERM)
            #expect(try await within(.seconds(20), "its end") { try await coordinator.end() } == .exit(0))
        }

        /// Its own words may be lost here, so there is nothing to wait for but its answers.
        private func poll(_ coordinator: RunningProgram, _ client: Client, until status: Int) async throws {
            try await within(.seconds(20), "status \(status)") {
                while (try? await client.get("/health/ready"))?.status != status {
                    if coordinator.hasEnded { throw LineLog.Ended(what: "serving", lines: coordinator.log.soFar) }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }

        /// What `grep -m1 ready` does, and worse.
        @Test(arguments: ["> >(grep -m1 '^ready')", "> >(:)", ">/dev/full", ">&-", "2>/dev/full", "2> >(:)", "2>&-"])
        func aCoordinatorGoesOn(redirection: String) async throws {
            try await serves(redirection)
        }

        @Test(arguments: ["> >(grep -m1 '^ready' >&2)", ">/dev/full", "2>/dev/full", "2> >(:)", ">&- 2>&-"])
        func aLaunchGoesOn(redirection: String) async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("ready")
            let launch = try RunningProgram(
                [
                    "-c", "exec \"$@\" \(redirection)", "bash", Program.path, "launch",
                    Package.file("cluster/demo.yaml"), "--http", "127.0.0.1:0", "--ready-file", file.path,
                ], name: "launch", program: "/bin/bash")
            defer { launch.kill(SIGKILL) }
            let base = try await within(.seconds(30), "the ready file") {
                while true {
                    if let url = try? String(contentsOf: file, encoding: .utf8) {
                        return url.trimmingCharacters(in: .newlines)
                    }
                    if launch.hasEnded { throw LineLog.Ended(what: "the file", lines: launch.log.soFar) }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            let client = Client(base: base, model: "needle")
            #expect(try await client.complete(Ask(prompt: "Once", maxTokens: 3)).text.isEmpty == false)
            launch.kill(SIGTERM)
            #expect(try await within(.seconds(20), "its end") { try await launch.end() } == .exit(0))
            #expect(!FileManager.default.fileExists(atPath: file.path))
        }
    }
}
