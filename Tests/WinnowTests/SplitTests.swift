// A model in parts: each process gets by with its own, and says so when it can't.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Models in parts", .timeLimit(.minutes(2)))
    struct SplitTests {
        /// The folder's entries.
        private func names(_ folder: TemporaryFolder, _ path: String = "") throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: folder.file(path).path).sorted()
        }

        private func split(_ arguments: [String], into folder: TemporaryFolder) async throws -> Program.Finished {
            try await Program.run(["model", "split", Package.stories] + arguments + ["--out", folder.path])
        }

        /// Files with weights that a process has mapped.
        private func mappedWeights(_ process: Int32) throws -> Set<String> {
            // Such a file has no size, and is given out in pieces.
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/\(process)/maps"))
            var bytes = Data()
            while let more = try file.read(upToCount: 1 << 16), !more.isEmpty { bytes += more }
            let maps = String(decoding: bytes, as: UTF8.self)
            return Set(
                maps.split(separator: "\n").compactMap { line in
                    line.hasSuffix(".safetensors") ? line.split(separator: " ").last.map(String.init) : nil
                })
        }

        /// Every process has a folder with its part alone; the model and the other parts are not there.
        @Test func eachProcessReadsItsPartAlone() async throws {
            let (parts, hosts) = (try TemporaryFolder(), try TemporaryFolder())
            let run = try await split(["--stages", "3"], into: parts)
            try #require(run.end == .exit(0), "\(run.log)")
            #expect(run.output.count == 4 && run.output[1].contains("stage-1: layers 1f-2, "), "\(run.output)")
            for (part, host) in [("coordinator", "a"), ("stage-0", "d"), ("stage-1", "c"), ("stage-2", "b")] {
                try FileManager.default.moveItem(
                    atPath: parts.file(part).path, toPath: hosts.file(host).path)
            }
            #expect(try names(parts).isEmpty)
            #expect(try names(hosts, "c") == ["LICENSE", "config.json", "model.safetensors", "winnow-part.json"])
            #expect(try !names(hosts, "a").contains("model.safetensors"))

            let shape = Cluster.Shape(model: hosts.file("a").path, stages: 3, dtype: "f32")
            try await withCluster(shape) { cluster in
                // Their names would give them other layers.
                let workers = try ["b", "c", "d"].map { host in
                    try cluster.addWorker(model: hosts.file(host).path, name: host)
                }
                let client = try await cluster.ready()
                let ask = Ask(prompt: .text(Story.beginning), maxTokens: 200)
                let text = try #require(try await client.complete(ask).choices?.first?.text)
                #expect(try Story.isTold(by: Story.beginning + text))
                for (worker, host) in zip(workers, ["b", "c", "d"]) {
                    #expect(try mappedWeights(worker.pid) == [hosts.file("\(host)/model.safetensors").path])
                }
                #expect(try mappedWeights(cluster.coordinator.pid).isEmpty)
            }
        }

        @Test func aPartWithoutTheLayersSaysWhichHasThem() async throws {
            let folder = try TemporaryFolder()
            let run = try await split(["--stages", "2"], into: folder)
            try #require(run.end == .exit(0), "\(run.log)")
            for (part, options, says) in [
                (
                    "stage-0", ["--layers", "3-4"],
                    "layers 3-4: they are not in this part of the model, which holds layers 0-1"
                ),
                (
                    "stage-1", ["--layers", "1f-4"],
                    "layers 1f-4: they are not in this part of the model, which holds layers 2-4"
                ),
                ("stage-1", ["--role", "speculator"], "layers 0-4: they are not in this part"),
                ("coordinator", [], "has no weights, only what a coordinator reads"),
            ] {
                let run = try await Program.run(
                    ["worker", "--model", folder.file(part).path, "--coordinator", "tcp://127.0.0.1:9"] + options)
                #expect(run.end == .exit(65) && run.output.isEmpty)
                #expect(
                    run.log.contains { $0.contains(says) && $0.contains("give the part that holds them") }, "\(run.log)"
                )
            }
            for arguments in [
                ["generate", "--prompt", "a", "--model"],
                ["model", "split", "--stages", "1", "--out", folder.path + "/x"],
            ] {
                let run = try await Program.run(arguments + [folder.file("stage-0").path])
                #expect(run.end == .exit(65), "\(arguments) \(run.log)")
            }
            let coordinator = try await Program.run([
                "coordinator", "--model", folder.file("stage-0").path, "--stages", "2", "--http", "127.0.0.1:0",
            ])
            #expect(coordinator.end == .exit(65))
            #expect(coordinator.log.contains { $0.contains("give the part called coordinator") }, "\(coordinator.log)")
            let inspect = try await Program.run(["model", "inspect", folder.file("stage-1").path])
            #expect(inspect.output.contains { $0.hasPrefix("part") && $0.hasSuffix("layers 2-4 of the model") })
            // Part and whole are one model, and nothing is written twice.
            let whole = try await Program.run(["model", "inspect", Package.stories])
            let print = try #require(whole.output.first { $0.hasPrefix("fingerprint") })
            #expect(inspect.output.contains(print))
            let again = try await split(["--stages", "2"], into: folder)
            #expect(
                again.end == .exit(65) && again.log.contains { $0.contains("give another directory") }, "\(again.log)")
        }

        /// One file says which part each stage has, before the parts are there too: it is split by that file, and the launch's
        /// stages open their own parts alone.
        @Test func aTopologyNamesThePartOfEachStage() async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("cluster.yaml")
            let topology = """
                name: stories
                model: parts/coordinator
                dtype: f32
                pipelines: [{stages: [{model: parts/stage-0}, {model: parts/stage-1}]}]
                """
            try Data(topology.utf8).write(to: file)
            let run = try await Program.run(
                ["model", "split", Package.stories, "--topology", file.path, "--out", folder.file("parts").path])
            try #require(run.end == .exit(0), "\(run.log)")
            let check = try await Program.run(["check", file.path])
            #expect(check.end == .exit(0) && !check.output.contains { $0.contains("part") }, "\(check.output)")
            let launch = try RunningProgram(["launch", file.path, "--http", "127.0.0.1:0"])
            defer { launch.kill(SIGKILL) }
            let client = try await within(.seconds(30), "`ready` of the launch") {
                let line = try await launch.output.next("`ready`") { $0.hasPrefix("ready http://") }
                return Client(base: String(line.dropFirst("ready ".count)), model: "stories")
            }
            let text = try #require(
                try await client.complete(Ask(prompt: .text(Story.beginning), maxTokens: 200)).choices?.first?.text)
            #expect(try Story.isTold(by: Story.beginning + text))
            for worker in children(of: launch.pid).filter({ $0.command.contains("\0worker\0") }) {
                let part = worker.command.contains("stage-0") ? "stage-0" : "stage-1"
                let weights = try mappedWeights(worker.pid)
                #expect(weights.count == 1 && weights.allSatisfy { $0.hasSuffix("/parts/\(part)/model.safetensors") })
            }
            launch.kill(SIGINT)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(130))
        }

        @Test func aTopologySaysWhichParts() async throws {
            let folder = try TemporaryFolder()
            func topology(_ pipelines: String) throws -> String {
                let file = folder.file("cluster.yaml")
                try Data("model: \(Package.stories)\ncoordinator: {}\npipelines:\n\(pipelines)".utf8).write(to: file)
                return file.path
            }
            let out = try TemporaryFolder()
            let one = try topology(
                "  - stages: [{layers: 0-0}, {layers: 1-4}]\n  - stages: [{layers: 0-0}, {layers: 1-4}]\n")
            let run = try await split(["--topology", one], into: out)
            #expect(run.end == .exit(0), "\(run.log)")
            #expect(try names(out) == ["coordinator", "stage-0", "stage-1"])
            #expect(run.output.first?.contains("stage-0: layers 0, ") == true, "\(run.output)")

            let other = try TemporaryFolder()
            let two = try topology("  - {name: big, stages: 1}\n  - {name: small, stages: 2}\n")
            #expect(try await split(["--topology", two], into: other).end == .exit(0))
            #expect(try names(other) == ["big-stage-0", "coordinator", "small-stage-0", "small-stage-1"])

            for (arguments, code, says) in [
                (["--topology", try topology("  - stages: [{layers: 0-8}]\n")], Int32(65), "layers"),
                (["--topology", folder.file("none.yaml").path], 64, "none.yaml"), (["--stages", "6"], 65, "6 stages"),
                (["--stages", "0"], 64, "--stages"), ([], 64, "--topology"),
                (["--stages", "1", "--topology", two], 64, "either"),
            ] {
                let none = try TemporaryFolder()
                let run = try await split(arguments, into: none)
                #expect(run.end == .exit(code), "\(arguments) \(run.log)")
                #expect(run.log.contains { $0.contains(says) }, "\(run.log)")
                #expect(try names(none).isEmpty)
            }
        }
    }
}
