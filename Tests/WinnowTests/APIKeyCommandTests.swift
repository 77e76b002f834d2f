// `winnow keys api`, and a coordinator that follows what it writes.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Keys of API clients", .timeLimit(.minutes(2)))
    struct APIKeyCommandTests {
        @Test func aKeyIsMadeShownOnceListedAndRevoked() async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("api-keys").path
            let words = ["--requests-per-minute", "60", "--expires", "2099-01-01", "--operator", "--file", file]
            let made = try await Program.run(["keys", "api", "new", "alice"] + words)
            let key = try #require(made.output.first)
            #expect(made.end == .exit(0) && made.output.count == 1 && key.hasPrefix("wk_"))
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(!text.contains(key.suffix(64)))
            let list = try await Program.run(["keys", "api", "list", "--file", file])
            let id = key.dropFirst(3).prefix(12)
            #expect(list.output.first?.hasPrefix("alice") == true && list.output.count == 1)
            #expect(
                list.output.first?.hasSuffix("\(id) requests_per_minute=60 expires=2099-01-01T00:00:00Z operator")
                    == true)
            #expect(try await Program.run(["keys", "api", "revoke", "bob", "--file", file]).end == .exit(65))
            #expect(try await Program.run(["keys", "api", "revoke", String(id), "--file", file]).end == .exit(0))
            #expect(try await Program.run(["keys", "api", "list", "--file", file]).output.isEmpty)
            for bad in [
                ["new", "a b"], ["new", "a", "--expires", "soon"], ["new", "a", "--concurrent-requests", "0"], ["new"],
            ] {
                #expect(try await Program.run(["keys", "api"] + bad + ["--file", file]).end == .exit(64), "\(bad)")
            }
        }

        @Test func aCoordinatorFollowsItsFileAndSignals() async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("api-keys").path
            @Sendable func new(_ name: String) async throws -> String {
                try #require(
                    try await Program.run(["keys", "api", "new", name, "--operator", "--file", file]).output.first)
            }
            let alice = try await new("alice")
            var shape = Cluster.Shape.needle(stages: 1)
            shape.options = ["--api-keys", file]
            try await withCluster(shape) { cluster, _, client in
                let coordinator = cluster.coordinator
                @Sendable func status(_ key: String?) async throws -> Int {
                    try await Client(base: client.base, model: client.model, key: key).get("/v1/models").status
                }
                #expect(try await status(nil) == 401)
                #expect(try await status(alice) == 200)
                let bob = try await new("bob")
                _ = try await Program.run(["keys", "api", "revoke", "alice", "--file", file])
                try await within(.seconds(20), "the new keys") {
                    while try await status(alice) == 200 { try await Task.sleep(for: .milliseconds(50)) }
                }
                #expect(try await status(bob) == 200)
                // SIGHUP reads again and ends nothing; what is broken changes nothing.
                _ = try await coordinator.log.line(containing: "API keys were read again")
                try Data("nonsense\n".utf8).write(to: URL(fileURLWithPath: file))
                coordinator.kill(SIGHUP)
                let line = try await within(.seconds(20), "the error") {
                    try await coordinator.log.line(containing: "API keys can't be read again")
                }
                #expect(line.contains("line 1"))
                #expect(try await status(bob) == 200)
                // The command finds its way with a key in a file, and says what is missing without.
                let keyFile = folder.file("bob.key")
                try Data((bob + "\n").utf8).write(to: keyFile)
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: keyFile.path)
                let asked = try await Program.run(["status", client.base, "--api-key-file", keyFile.path])
                #expect(asked.end == .exit(0), "\(asked)")
                let refused = try await Program.run(["status", client.base])
                #expect(refused.end == .exit(69) && refused.log.joined().contains("--api-key-file"), "\(refused)")
                try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: keyFile.path)
                #expect(
                    try await Program.run(["status", client.base, "--api-key-file", keyFile.path]).end == .exit(65))
                #expect(
                    !coordinator.log.soFar.contains { $0.contains(bob.suffix(64)) || $0.contains(alice.suffix(64)) })
            }
        }

        @Test func openAddressesAreNamed() async throws {
            let model = [
                "coordinator", "--exit-with-stdin", "--model", Package.stories, "--listen", "tcp://127.0.0.1:*",
            ]
            func log(_ words: [String], until text: String) async throws -> [String] {
                let program = try RunningProgram(model + words)
                defer { program.kill(SIGKILL) }
                _ = try await within(.seconds(30), text) { try await program.log.line(containing: text) }
                return program.log.soFar
            }
            _ = try await log(["--http", "0.0.0.0:0"], until: "other machines can use the API without a key")
            let told = try await log(["--http", "0.0.0.0:0", "--api-keys", "none"], until: "Server started")
            #expect(!told.contains { $0.contains("without a key") })
            _ = try await log(
                ["--http", "127.0.0.1:0", "--listen", "tcp://0.0.0.0:*", "--insecure"],
                until: "insecure: links are plain text")
        }
    }
}
