// Ends that are asked for: running requests are answered, nothing is said that alarms, nothing half-made is left.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Ends", .timeLimit(.minutes(2)))
    struct EndTests {
        private func launch(_ options: [String] = []) async throws -> (RunningProgram, Client) {
            let launch = try RunningProgram(
                ["launch", Package.file("cluster/demo.yaml"), "--http", "127.0.0.1:0"] + options)
            let client = try await within(.seconds(30), "`ready` of the launch") {
                let line = try await launch.output.next("`ready`") { $0.hasPrefix("ready http://") }
                return Client(base: String(line.dropFirst("ready ".count)), model: "needle")
            }
            return (launch, client)
        }

        @Test(arguments: [(SIGTERM, 0), (SIGINT, 130)] as [(Int32, Int32)])
        func aLaunchAnswersWhatIsInFlight(signal: Int32, code: Int32) async throws {
            let (launch, client) = try await launch(["--drain-time", "60"])
            defer { launch.kill(SIGKILL) }
            let ask = Ask(prompt: "Call me Ishmael.", maxTokens: 400, ignoreEos: true, speculativePrefill: .dense)
            let whole = try await client.complete(ask).text
            let streams = try await concurrently([0, 1], width: 2) { _ in try await client.stream(ask) }
            launch.kill(signal)
            for rest in try await concurrently(streams, width: 2, { try await $0.rest() }) {
                #expect(rest.finish == "length", "\(rest)")
                #expect(rest.text == whole)
            }
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(code))
            // A clean end is calm.
            let log = try await launch.log.all()
            #expect(!log.contains { $0.contains(" error ") || $0.contains("pipeline is down") }, "\(log)")
            #expect(!log.contains { $0.contains("worker_lost") }, "\(log)")
        }

        @Test func itsWorkersHoldTheStagesOfTheirNumbers() async throws {
            let (launch, _) = try await launch()
            defer { launch.kill(SIGKILL) }
            let placed = launch.log.soFar.filter { $0.contains(" assigned") && $0.hasPrefix("worker-") }
            #expect(placed.count == 3)
            for line in placed {
                let number = try #require(line.wholeMatch(of: /worker-(\d) .*/)?.1)
                #expect(line.contains("stage=\(number)"), "\(line)")
            }
            launch.kill(SIGTERM)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(0))
        }

        @Test func aDrainHasItsBound() async throws {
            let (launch, client) = try await launch(["--drain-time", "0"])
            defer { launch.kill(SIGKILL) }
            let stream = try await client.stream(FaultTests.long)
            let start = ContinuousClock.now
            launch.kill(SIGTERM)
            #expect(try await within(.seconds(20), "the launch's end") { try await launch.end() } == .exit(0))
            #expect(start.duration(to: .now) < .seconds(5))
            let rest = try await stream.rest()
            #expect(rest.problem != nil)
        }

        @Test func aSecondSignalDoesNotWait() async throws {
            try await withCluster(
                Cluster.Shape(model: Package.needle, stages: 2, options: ["--drain-time", "600"])
            ) { cluster, _, client in
                let stream = try await client.stream(FaultTests.long)
                cluster.coordinator.kill(SIGTERM)
                _ = try await cluster.coordinator.log.line(containing: "ending")
                #expect(!cluster.coordinator.hasEnded)
                cluster.coordinator.kill(SIGTERM)
                #expect(
                    try await within(.seconds(20), "its end") { try await cluster.coordinator.end() } == .exit(0))
                let rest = try await stream.rest()
                #expect(rest.problem?.code == "unavailable", "\(rest)")
            }
        }

        @Test func aWorkerThatLeavesInGoodOrderIsNoError() async throws {
            try await withCluster(.stories(stages: 2)) { cluster, workers, _ in
                workers[1].kill(SIGTERM)
                let line = try await cluster.coordinator.log.line(containing: "a pipeline is down")
                #expect(line.contains(" notice ") && line.contains(" leaves"), "\(line)")
            }
        }

        /// The weights' file is a pipe, so that the test knows when the command is in the midst of writing.
        @Test(
            arguments: ["synth", "synth --format gguf", "quantize"],
            [(SIGINT, 130), (SIGTERM, 130)] as [(Int32, Int32)])
        func aModelThatIsNotFinishedLeavesNothing(command: String, end: (signal: Int32, code: Int32)) async throws {
            let folder = try TemporaryFolder()
            let out = folder.file("model")
            let isFile = command.contains("gguf")
            let pipe = isFile ? out.path + ".partial" : out.path + "/model.safetensors.partial"
            if !isFile { try FileManager.default.createDirectory(at: out, withIntermediateDirectories: false) }
            #expect(mkfifo(pipe, 0o600) == 0)
            let shape = "--hidden 2048 --layers 16 --ffn 8192 --heads 16"
            let words = command == "quantize" ? "quantize --model \(Package.needle)" : "\(command) \(shape)"
            var arguments = ["model"] + words.split(separator: " ").map(String.init)
            arguments += ["--out", out.path]
            let process = try RunningProgram(arguments)
            defer { process.kill(SIGKILL) }
            // Opening waits for the other end, so on a thread of its own.
            let bytes = LineLog()
            let isOpen = Promise<FileHandle>()
            Thread.detachNewThread { if let handle = FileHandle(forReadingAtPath: pipe) { isOpen.fulfil(handle) } }
            let handle = try await within(.seconds(20), "the weights") { try await isOpen.value() }
            #expect(try handle.read(upToCount: 8)?.count == 8)
            process.kill(end.signal)
            _ = try await within(.seconds(20), "its word") {
                try await process.log.line(containing: "winnow: interrupted")
            }
            // It is not killed in the midst of a write: goes on until it closes the file.
            Thread.detachNewThread {
                while let some = try? handle.read(upToCount: 1 << 16), !some.isEmpty {}
                bytes.close()
            }
            #expect(try await within(.seconds(20), "its end") { try await process.end() } == .exit(end.code))
            _ = try await bytes.all()
            #expect(process.log.soFar.count == 1, "\(process.log.soFar)")
            let left = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
            #expect(left == (isFile ? [] : ["model"]), "\(left)")
        }
    }
}
