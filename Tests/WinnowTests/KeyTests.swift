// A cluster with keys: who may join, who may not, and keys that change while it serves.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("A cluster with keys", .timeLimit(.minutes(2)))
    struct KeyTests {
        private func winnow(_ words: String...) async throws {
            let run = try await Program.run(words)
            #expect(run.end == .exit(0), "\(run)")
        }

        /// A cluster whose coordinator has keys; workers are started with theirs, or without.
        private func withKeys(
            _ names: [String], _ body: @escaping @Sendable (Cluster, String) async throws -> Void
        ) async throws {
            let folder = try TemporaryFolder()
            let keys = folder.file("keys").path
            let run = try await Program.run(["keys", "new"] + names + ["--dir", keys])
            #expect(run.end == .exit(0), "\(run)")
            var shape = Cluster.Shape.needle(stages: 2)
            shape.options = ["--keys", keys, "--replay-wait", "60"]
            try await withCluster(shape) { try await body($0, keys) }
            withExtendedLifetime(folder) {}
        }

        private static func needle() throws -> Needle {
            try #require(try Needle.all("needle-2048").first { $0.answer == "25502" })
        }

        @Test func strangersAreNamedAndServeNothing() async throws {
            let needle = try Self.needle()
            try await withKeys(["w0", "w1", "score=speculator"]) { cluster, keys in
                // Without a key, with another cluster's, and with one that was this one's once.
                let other = try TemporaryFolder()
                _ = try await Program.run(["keys", "new", "w0", "--dir", other.file("keys").path])
                try await winnow("keys", "new", "old", "--dir", keys)
                try FileManager.default.copyItem(atPath: "\(keys)/old.key", toPath: other.file("old.key").path)
                try await winnow("keys", "revoke", "old", "--dir", keys)
                try cluster.addWorker(name: "nobody")
                try cluster.addWorker(name: "w0", ["--key", other.file("keys/w0.key").path])
                try cluster.addWorker(name: "old", ["--key", other.file("old.key").path])
                let line = try await cluster.coordinator.log.line(containing: "refused connections")
                #expect(line.contains("edge=control"), "\(line)")
                // On the list, but as another and as something else.
                let liar = try cluster.addWorker(name: "w1", ["--key", "\(keys)/w0.key"])
                #expect(try await within(.seconds(20), "its end") { try await liar.end() } == .exit(69))
                #expect(liar.log.soFar.contains { $0.contains("its key is w0's") }, "\(liar.log.soFar)")
                let scorer = try cluster.addWorker(name: "score", ["--key", "\(keys)/score.key"])
                #expect(try await within(.seconds(20), "its end") { try await scorer.end() } == .exit(69))
                // Nobody of them is in the pipeline that stands now.
                for name in ["w0", "w1"] { try cluster.addWorker(name: name, ["--key", "\(keys)/\(name).key"]) }
                let client = try await cluster.ready()
                #expect(try await client.complete(needle.ask(.windows)).text.contains(needle.answer))
                withExtendedLifetime(other) {}
            }
        }

        /// Every worker gets a new key, one after the other, while clients are served; then a stolen one is revoked.
        @Test func keysAreChangedUnderLoad() async throws {
            let needle = try Self.needle()
            try await withKeys(["a0", "a1"]) { cluster, keys in
                for name in ["a0", "a1"] { try cluster.addWorker(name: name, ["--key", "\(keys)/\(name).key"]) }
                let client = try await cluster.ready()
                let right = try await client.complete(needle.ask(.windows)).text
                async let answers = concurrently(Array(0..<60), width: 4) { index in
                    try await client.complete(needle.ask(index % 2 == 0 ? .windows : .dense)).text
                }
                for (old, new) in [("a0", "b0"), ("a1", "b1")] {
                    try await winnow("keys", "new", new, "--dir", keys)
                    try cluster.addWorker(name: new, ["--key", "\(keys)/\(new).key"])
                    try await winnow("keys", "revoke", old, "--dir", keys)
                    _ = try await cluster.ready()
                }
                for (index, text) in try await answers.enumerated() where index % 2 == 0 { #expect(text == right) }
                let list = try await Program.run(["keys", "list", "--dir", keys])
                #expect(list.output.count == 3 && list.output.dropFirst().allSatisfy { $0.contains(" b") })
                #expect(!FileManager.default.fileExists(atPath: "\(keys)/a0.key"))
            }
        }

        /// Files that engines read have keys beside them, in files that nobody else may read, and no text holds a secret.
        @Test(arguments: ["systemd", "kubernetes", "slurm"]) func renderedSecretsAreTheirOwnersAlone(
            engine: String
        ) async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("t.yaml")
            try Data("name: n\nmodel: m\npipelines: [{stages: 2}]\nspares: 1\n".utf8).write(to: file)
            let out = folder.file("out").path
            func render() async throws -> [String] {
                let run = try await Program.run(["launch", file.path, "--render", engine, "--out", out])
                #expect(run.end == .exit(0), "\(run)")
                return run.output + run.log
            }
            var said = try await render()
            let manager = FileManager.default
            func everything() throws -> [String] {
                try #require(manager.enumerator(atPath: out)).compactMap { $0 as? String }.sorted()
            }
            func text(_ path: String) throws -> String { try String(contentsOfFile: "\(out)/\(path)", encoding: .utf8) }
            let paths = try everything().filter { !$0.hasSuffix("/keys") }
            let secrets = paths.filter { $0.hasSuffix(".key") }
            var texts: [String: String] = [:]
            for path in secrets {
                let mode = try manager.attributesOfItem(atPath: "\(out)/\(path)")[.posixPermissions] as? Int
                #expect(mode == 0o600, "\(path)")
                texts[path] = try text(path)
            }
            let expected = ["systemd": 8, "kubernetes": 4, "slurm": 0]
            #expect(secrets.count == expected[engine])
            if let keys = try everything().first(where: { $0.hasSuffix("keys") }) {
                let mode = try manager.attributesOfItem(atPath: "\(out)/\(keys)")[.posixPermissions] as? Int
                #expect(mode == 0o700)
            }
            // Again: what is there stays, what was taken away is made anew.
            let taken = secrets.first { $0.hasSuffix("-0.key") }
            if let taken { try manager.removeItem(atPath: "\(out)/\(taken)") }
            said += try await render()
            let name = taken.map { ($0 as NSString).lastPathComponent } ?? ""
            for path in secrets { #expect(try (text(path) != texts[path]) == path.hasSuffix("/\(name)"), "\(path)") }
            let words = try secrets.flatMap { path in
                try text(path).split(separator: "\n").filter { $0.hasPrefix("secret = ") }.map { $0.dropFirst(9) }
            }
            let open = try paths.filter { !$0.hasSuffix(".key") && $0.contains(".") }.map(text) + said
            for word in words { #expect(!open.contains { $0.contains(word) }) }
        }

        @Test(
            arguments: [
                (["keys", "new", "a/b"], 64), (["keys", "revoke", "nobody"], 65), (["keys", "add", "x", "12"], 64),
                (["keys", "list", "--dir", "/nowhere"], 65),
            ] as [([String], Int32)])
        func mistakesAreAnswered(words: [String], code: Int32) async throws {
            let folder = try TemporaryFolder()
            let isPlaced = words.contains("--dir")
            let run = try await Program.run(words + (isPlaced ? [] : ["--dir", folder.file("keys").path]))
            #expect(run.end == .exit(code), "\(run)")
        }
    }
}
