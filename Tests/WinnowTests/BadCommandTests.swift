// Wrong flags, wrong places and wrong workers: exit codes that scripts can use, and the reason on standard error.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Bad commands", .timeLimit(.minutes(2)))
    struct BadCommandTests {
        /// A command line and what must come of it.
        struct Case: Sendable, CustomTestStringConvertible {
            var arguments: [String]
            var code: Int32
            var says: String
            var testDescription: String { arguments.joined(separator: " ") }

            init(_ arguments: String, code: Int32 = 64, says: String) {
                self.arguments = arguments.split(separator: " ").map(String.init)
                self.code = code
                self.says = says
            }
        }

        private static let coordinator = "coordinator --model \(Package.stories) --http 127.0.0.1:0"
        private static let worker = "worker --model \(Package.stories) --coordinator tcp://127.0.0.1:9"
        private static let generate = "generate --model \(Package.stories)"

        static let cases: [Case] = [
            Case("fly", says: "fly"),
            Case("coordinator", says: "--model"),
            Case("\(coordinator) --listen pigeon://x", says: "pigeon://x"),
            Case("\(coordinator) --listen tcp://127.0.0.1:99999", says: "99999"),
            Case("\(coordinator) --listen tcp://0.0.0.0:*", says: "--insecure"),
            Case("\(coordinator) --listen tcp://*:*", says: "--insecure"),
            Case("coordinator --model \(Package.stories) --http nonsense", says: "nonsense"),
            Case("\(coordinator) --listen tcp://127.0.0.1:* --stages 0", says: "stages"),
            Case("\(coordinator) --listen tcp://127.0.0.1:* --stages 6", says: "1 to 5"),
            Case("\(coordinator) --stages two", says: "two"),
            Case("\(coordinator) --pipeline fast", says: "fast"),
            Case("\(coordinator) --pipeline a=b=1", says: "a=b=1"),
            Case("\(coordinator) --pipeline a=0", says: "1 to 256, found 0"),
            Case("\(coordinator) --pipeline a=1 --pipeline a=2", says: "--pipeline has two called `a`"),
            Case("\(coordinator) --pipeline a=1 --stages 2", says: "leave --stages out"),
            Case("\(coordinator) --speculator-workers", says: "--speculator PATH"),
            Case(
                "\(coordinator) --replay-wait 3601",
                says: "--replay-wait must be a whole number of seconds from 0 to 3600, found `3601`"),
            Case(
                "\(coordinator) --max-replays -1",
                says: "--max-replays must be a whole number from 0 to 100, found `-1`"),
            Case("\(coordinator) --stall 0", says: "--stall"),
            Case("\(coordinator) --drain-time 3601", says: "--drain-time"),
            Case("\(coordinator) --wire-dtype int8", says: "f32"),
            Case("\(worker) --role cook", says: "speculator"),
            Case("\(worker) --role speculator --layers 0-1", says: "--layers belongs to a stage"),
            Case("\(worker) --role speculator --kv-tokens 9", says: "--kv-tokens belongs to a stage"),
            Case("\(worker) --role speculator --pipeline a", says: "--pipeline belongs to a stage"),
            Case("\(worker) --pipeline a=2", says: "--pipeline must be"),
            Case("\(coordinator) --keep-rate 0", says: "keep"),
            Case("\(coordinator) --keep-rate 1.5", says: "1.5"),
            Case("\(coordinator) --keep-rate nan", says: "keep"),
            Case("\(coordinator) --selection best", says: "best"),
            Case("\(coordinator) --threads 0", says: "--threads"),
            Case("\(coordinator) --listen tcp://127.0.0.1:* --micro-batch-tokens 0", says: "micro-batch"),
            Case("\(coordinator) --listen tcp://127.0.0.1:* --kv-tokens 0", says: "--kv-tokens must be"),
            Case("\(coordinator) --request-timeout 0", says: "--request-timeout"),
            Case("worker --model \(Package.stories)", says: "--coordinator"),
            Case("worker --model \(Package.stories) --coordinator nonsense", says: "nonsense"),
            Case("worker --model \(Package.stories) --coordinator tcp://10.0.0.1:9", says: "--insecure"),
            Case("\(worker) --listen tcp://0.0.0.0:*", says: "--insecure"),
            Case(
                "worker --model \(Package.stories) --coordinator tcp://127.evil.example:5700", says: "--insecure"
            ),
            Case("\(worker) --layers 7-9", says: "0-4"),
            Case("\(worker) --layers 3-5", says: "0-4"),
            Case("\(worker) --layers 4-2", says: "4-2"),
            Case("\(worker) --layers all", says: "all"),
            Case("\(worker) --kv-tokens 0", says: "--kv-tokens"),
            Case("\(worker) --cpus x", says: "cpus"),
            Case("\(worker) --cpus 999", says: "--cpus 999"),
            Case(generate, says: "--prompt"),
            Case("\(generate) --prompt a --prompt-file b", says: "--prompt"),
            Case("\(generate) --prompt a --max-tokens 0", says: "--max-tokens"),
            Case("\(generate) --prompt a --temperature -1", says: "temperature"),
            Case("\(generate) --prompt a --temperature nan", says: "temperature"),
            Case("\(generate) --prompt a --top-p 2", says: "top_p"),
            Case("\(generate) --prompt a --max-tokens 5000", code: 65, says: "512"),
            Case("\(generate) --prompt a --cpu-level mmx", says: "avx512vnni"),
            Case("\(generate) --prompt-file /nowhere/prompt", code: 65, says: "/nowhere/prompt"),
            Case("\(generate) --prompt-file \(Package.stories)/model.safetensors", code: 65, says: "UTF-8"),
            Case("launch /nowhere/cluster.yaml", code: 65, says: "/nowhere/cluster.yaml"),
        ]

        @Test(arguments: cases) func theMistakeIsNamed(mistake: Case) async throws {
            let run = try await Program.run(mistake.arguments)
            #expect(run.end == .exit(mistake.code), "\(run.log)")
            #expect(run.output.isEmpty)
            #expect(run.log.joined(separator: "\n").contains(mistake.says), "\(run.log)")
            // Usage errors are followed by the usage.
            if mistake.code != 64 { #expect(run.log.count == 1, "\(run.log)") }
        }

        @Test func aCPULevelThatIsNotThereIsRefused() async throws {
            let levels = try await Program.run(["bench", "levels"]).output
            let all = ["portable", "avx2", "avx512", "avx512vnni", "avx512bf16"]
            #expect(!levels.isEmpty && levels == Array(all.prefix(levels.count)))
            for level in all.dropFirst(levels.count) {
                let run = try await Program.run([
                    "generate", "--model", Package.stories, "--prompt", "a", "--cpu-level", level,
                ])
                #expect(run.end == .exit(64))
                #expect(run.log.joined(separator: "\n").contains(levels.joined(separator: ", ")), "\(run.log)")
            }
            let run = try await Program.run(
                ["generate", "--model", Package.stories, "--prompt", "a"], environment: ["WINNOW_CPU_LEVEL": "mmx"])
            #expect(run.end == .exit(64) && run.output.isEmpty)
            #expect(
                run.log == [
                    "winnow: WINNOW_CPU_LEVEL is 'mmx', which is no level; possible here: "
                        + levels.joined(separator: ", ")
                ])
        }

        @Test func anEmptyPromptIsRefused() async throws {
            let folder = try TemporaryFolder()
            try Data().write(to: folder.file("prompt"))
            let run = try await Program.run([
                "generate", "--model", Package.stories, "--prompt-file", folder.file("prompt").path,
            ])
            #expect(run.end == .exit(65) && run.log == ["winnow: the prompt is empty"])
        }

        @Test func portsInUseAreNamed() async throws {
            try await withCluster(.stories(stages: 1)) { cluster, _, client in
                let http = client.base.dropFirst("http://".count)
                let port = try #require(http.split(separator: ":").last)
                let second = try await Program.run([
                    "coordinator", "--model", Package.stories, "--listen", "tcp://127.0.0.1:*", "--http", String(http),
                ])
                #expect(second.end == .exit(69))
                #expect(second.log.contains { $0.hasPrefix("winnow: ") && $0.contains(port) }, "\(second.log)")

                for arguments in [
                    ["coordinator", "--http", "127.0.0.1:0", "--listen", cluster.endpoint],
                    ["worker", "--coordinator", cluster.endpoint, "--listen", cluster.endpoint],
                ] {
                    let run = try await Program.run(arguments + ["--model", Package.stories])
                    #expect(run.end == .exit(69))
                    let reasons = run.log.filter { $0.hasPrefix("winnow: ") }
                    #expect(reasons.count == 1 && reasons[0].contains(cluster.endpoint), "\(run.log)")
                }
                #expect(try await client.complete(Ask(prompt: "Once", maxTokens: 3)).text.isEmpty == false)
            }
        }

        /// The coordinator goes on waiting for a worker that fits.
        @Test func workersThatDoNotFitAreRefusedAndToldWhy() async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            try folder.change("model.safetensors") { bytes in
                var weights = try Weights(bytes)
                weights.data = Data(weights.data.map { $0 ^ 1 })
                bytes = try weights.encoded()
            }
            try await withCluster(.stories(stages: 2)) { cluster in
                try cluster.addWorker()
                for model in [folder.path, Package.needle] {
                    let worker = try cluster.addWorker(model: model)
                    let end = try await within(.seconds(20), "the refusal") { try await worker.end() }
                    #expect(end == .exit(69))
                    let line = try await worker.log.line(containing: "winnow: ")
                    #expect(line.contains("refused") && line.contains("fingerprint"), "\(line)")
                    _ = try await cluster.coordinator.log.line(containing: "refused a worker")
                }
                try cluster.addWorker()
                let told = try await cluster.ready().complete(Ask(prompt: .text(Story.beginning), maxTokens: 200)).text
                #expect(try Story.isTold(by: Story.beginning + told))
            }
        }

        @Test func layersThatOverlapAreRefused() async throws {
            try await withCluster(.stories(stages: 2)) { cluster in
                // Whoever comes second is refused.
                let (low, high) = (
                    try cluster.addWorker(["--layers", "0-2"]), try cluster.addWorker(["--layers", "2-4"])
                )
                let refused = try await within(.seconds(20), "the refusal") {
                    try await withThrowingTaskGroup(of: RunningProgram.self) { group in
                        for worker in [low, high] {
                            group.addTask {
                                _ = try await worker.end()
                                return worker
                            }
                        }
                        defer { group.cancelAll() }
                        return try #require(try await group.next())
                    }
                }
                #expect(try await refused.end() == .exit(69))
                _ = try await refused.log.line(containing: "overlap")
                try cluster.addWorker(["--layers", refused.pid == low.pid ? "0-1" : "3-4"])
                let told = try await cluster.ready().complete(Ask(prompt: .text(Story.beginning), maxTokens: 200)).text
                #expect(try Story.isTold(by: Story.beginning + told))
            }
        }
    }
}
