// `winnow launch` on the topology that ships, with real processes.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Launch", .timeLimit(.minutes(1)))
    struct LaunchTests {
        private func launch(_ options: [String] = []) throws -> RunningProgram {
            try RunningProgram(["launch", Package.file("cluster/demo.yaml"), "--http", "127.0.0.1:0"] + options)
        }

        private func client(_ launch: RunningProgram) async throws -> Client {
            try await within(.seconds(30), "`ready` of the launch") {
                let line = try await launch.output.next("`ready`") { $0.hasPrefix("ready http://") }
                return Client(base: String(line.dropFirst("ready ".count)), model: "needle")
            }
        }

        @Test func theDemoTopologyAnswersAndEnds() async throws {
            let prompt = try String(contentsOfFile: Package.file("cluster/prompts/needle-2048.txt"), encoding: .utf8)
            let launch = try launch()
            defer { launch.kill(SIGKILL) }
            let client = try await client(launch)
            let answer = try await client.complete(Ask(prompt: .text(prompt), maxTokens: 6))
            #expect(answer.text.contains("25502"))
            // The topology prunes to a tenth unless told otherwise.
            #expect((0.1...0.2).contains(answer.speculativePrefill?.keepRate ?? 1))
            launch.kill(SIGINT)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(130))
            await #expect(throws: (any Error).self) { try await client.get("/health/live") }
        }

        @Test func allProcessesComputeAtTheLevelAskedFor() async throws {
            let launch = try launch(["--cpu-level", "portable"])
            defer { launch.kill(SIGKILL) }
            _ = try await client(launch)
            let levels = launch.log.soFar.filter { $0.contains("cpu_level=") }
            #expect(levels.count == 4 && levels.allSatisfy { $0.contains("cpu_level=portable") }, "\(levels)")
            launch.kill(SIGTERM)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(0))
        }

        @Test(arguments: [SIGKILL, SIGTERM]) func aLostWorkerIsStartedAgain(signal: Int32) async throws {
            let launch = try launch()
            defer { launch.kill(SIGKILL) }
            let client = try await client(launch)
            let ask = Ask(prompt: "Call me Ishmael.", maxTokens: 8, speculativePrefill: .dense)
            let text = try await client.complete(ask).text
            let workers = children(of: launch.pid).filter { $0.command.contains("\0worker\0") }
            #expect(workers.count == 3)
            kill(try #require(workers.first).pid, signal)
            _ = try await within(.seconds(10), "the launch's word") {
                try await launch.log.next("the launch's word") { $0.contains("; starting it again in ") }
            }
            // The coordinator says so each time a pipeline stands.
            _ = try await within(.seconds(20), "the pipeline") {
                try await launch.log.next("`ready` again") {
                    $0.hasPrefix("coordinator") && $0.contains("ready http://")
                }
            }
            #expect(try await client.complete(ask).text == text)
            launch.kill(SIGTERM)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(0))
        }
    }
}
