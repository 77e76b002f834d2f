// `winnow launch` over ssh, with a script in ssh's place that runs the command here.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Launch over ssh", .timeLimit(.minutes(1)))
    struct FarLaunchTests {
        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        /// A cluster whose stage is on another host; the script of `ssh` drops its options and the host.
        private func launch(_ options: [String] = []) throws -> RunningProgram {
            let bin = folder.file("bin").path
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            let ssh = """
                #!/bin/sh
                while [ "$1" != -- ]; do shift; done
                [ "$2" = me@far ] || { echo "ssh: Could not resolve hostname $2" >&2; exit 255; }
                exec /bin/sh -c "$3"
                """
            try Data(ssh.utf8).write(to: URL(fileURLWithPath: "\(bin)/ssh"))
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(bin)/ssh")
            // A name of its own: the far end lets one process of a name run at a time.
            let topology = """
                name: stories-\(UUID().uuidString)
                model: \(Package.stories)
                hosts: {far: {address: 127.0.0.1, ssh: me@far, executable: \(Program.path)}}
                pipelines: [{stages: [{host: far}]}]
                restart: {backoff: 0.1}
                environment: {WINNOW_CPU_LEVEL: portable}
                """
            try Data(topology.utf8).write(to: URL(fileURLWithPath: folder.file("t.yaml").path))
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            return try RunningProgram(
                ["launch", folder.file("t.yaml").path, "--http", "127.0.0.1:0"] + options,
                environment: ["PATH": "\(bin):\(path)"])
        }

        private func client(_ launch: RunningProgram) async throws -> Client {
            try await within(.seconds(30), "`ready` of the launch") {
                let line = try await launch.output.next("`ready`") { $0.hasPrefix("ready http://") }
                return Client(base: String(line.dropFirst("ready ".count)), model: "unused")
            }
        }

        /// The processes of the far end: the hold and its worker. What is run as this command line names no secret.
        private func farEnd(of launch: RunningProgram) throws -> [Int32] {
            let holds = children(of: launch.pid).filter { $0.command.contains("\0hold\0") }
            #expect(holds.count == 1)
            #expect(holds.allSatisfy { !$0.command.contains(Package.stories) })
            let hold = try #require(holds.first).pid
            let workers = children(of: hold).filter { $0.command.contains("\0worker\0") }
            #expect(workers.count == 1)
            return [hold, try #require(workers.first).pid]
        }

        @Test func aFarProcessLogsComesBackAndEndsWithTheRest() async throws {
            let launch = try launch()
            defer { launch.kill(SIGKILL) }
            _ = try await client(launch)
            #expect(launch.log.soFar.contains { $0.contains("worker-0") && $0.contains("cpu_level=portable") })
            let before = try farEnd(of: launch)
            // The hold is ssh too here, so its end is that of the connection.
            kill(before[0], SIGKILL)
            _ = try await within(.seconds(20), "the pipeline") {
                _ = try await launch.log.next("the word about the connection") {
                    $0.contains("ssh connection to far has")
                }
                return try await launch.log.next("`ready` again") {
                    $0.hasPrefix("coordinator") && $0.contains("ready http://")
                }
            }
            let after = try farEnd(of: launch)
            #expect(Set(before).isDisjoint(with: after))
            launch.kill(SIGINT)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(130))
            for pid in before + after { try await gone(pid) }
        }

        @Test func nothingOutlivesAKilledLauncher() async throws {
            let launch = try launch()
            defer { launch.kill(SIGKILL) }
            _ = try await client(launch)
            let processes = try farEnd(of: launch) + children(of: launch.pid).map(\.pid)
            #expect(processes.count == 4)
            launch.kill(SIGKILL)
            for pid in processes { try await gone(pid) }
        }

        @Test func aHostThatCannotBeHadIsNamedBeforeAnythingStarts() async throws {
            let launch = try launch()
            launch.kill(SIGKILL)
            let text = try String(contentsOfFile: folder.file("t.yaml").path, encoding: .utf8)
            try Data(text.replacing("me@far", with: "me@away").utf8).write(
                to: URL(fileURLWithPath: folder.file("u.yaml").path))
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let finished = try await Program.run(
                ["launch", folder.file("u.yaml").path], environment: ["PATH": "\(folder.file("bin").path):\(path)"])
            #expect(finished.end == .exit(69))
            #expect(finished.log.contains { $0.contains("far: ssh to me@away failed") && $0.contains("me@away true") })
            #expect(!finished.log.contains { $0.contains("worker-0 ") })
        }
    }
}
