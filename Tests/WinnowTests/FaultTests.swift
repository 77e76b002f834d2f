// Workers that die or freeze: their requests go on elsewhere, and no client notices more than a pause.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Faults", .timeLimit(.minutes(2)))
    struct FaultTests {
        /// Takes seconds: nearly the whole context, token by token.
        static let long = Ask(
            prompt: "Call me Ishmael.", maxTokens: 2000, ignoreEos: true, speculativePrefill: .dense)

        private static func needle() throws -> Needle {
            try #require(try Needle.all("needle-2048").first { $0.answer == "25502" })
        }

        /// All in Float32, where a replay's sums differ from the first run's in the last digits only.
        private static func shape(_ options: [String] = []) -> Cluster.Shape {
            var shape = Cluster.Shape.needle(stages: 3)
            shape.options = ["--dtype", "f32"] + options
            return shape
        }

        @Test(arguments: [(SIGKILL, 0), (SIGKILL, 2), (SIGSTOP, 1)])
        func aLostWorkersRequestsGoOn(signal: Int32, index: Int) async throws {
            let needle = try Self.needle()
            let ask = Ask(prompt: "Call me Ishmael.", maxTokens: 400, ignoreEos: true, speculativePrefill: .dense)
            try await withCluster(Self.shape()) { cluster, workers, client in
                let text = try await client.complete(ask).text
                let right = try await client.complete(needle.ask(.windows)).text
                #expect(right.contains(needle.answer))
                // In flight: answers that are being generated, streamed and whole, and prompts on their way.
                async let whole = client.complete(ask)
                let streams = try await concurrently([0, 1, 2], width: 3) { _ in try await client.stream(ask) }
                async let prompts = concurrently(Array(0..<6), width: 6) { _ in
                    try await client.complete(needle.ask(.dense))
                }
                workers[index].kill(signal)
                try cluster.addWorker()
                for end in try await concurrently(streams, width: 3, { try await $0.rest() }) {
                    #expect(end.problem == nil && end.finish == "length", "\(end)")
                }
                #expect(try await whole.text == text)
                for answer in try await prompts { #expect(answer.text.contains(needle.answer)) }
                #expect(try await client.complete(needle.ask(.windows)).text == right)
                guard signal == SIGSTOP else { return }
                // The frozen one wakes up among strangers: it disturbs nobody, and takes over as a spare.
                workers[index].kill(SIGCONT)
                #expect(try await client.complete(needle.ask(.windows)).text == right)
                workers[0].kill(SIGKILL)
                #expect(try await client.complete(needle.ask(.windows)).text == right)
            }
        }

        /// Nobody takes the lost one's place: a typed error once `--replay-wait` is over, and not before.
        @Test func whatNobodyGoesOnWithEnds() async throws {
            let needle = try Self.needle()
            try await withCluster(Self.shape(["--replay-wait", "2"])) { cluster, workers, client in
                let right = try await client.complete(needle.ask(.windows)).text
                async let long = Result { try await client.complete(Self.long).text }
                let stream = try await client.stream(Self.long)
                workers[1].kill(SIGKILL)
                let end = try await within(.seconds(10), "the stream's end") { try await stream.rest() }
                #expect(end.problem?.code == "worker_lost", "\(end)")
                #expect(await long.isLost)
                let reply = try await client.get("/health/ready")
                #expect(reply.status == 503)
                #expect(try reply.decoded(Health.self).reason?.isEmpty == false)
                // One that comes in an outage waits for its end.
                async let late = client.complete(needle.ask(.windows))
                try cluster.addWorker()
                #expect(try await late.text == right)
                #expect(try await client.get("/health/live").status == 200)
            }
        }

        @Test func aSpareTakesOver() async throws {
            let needle = try Self.needle()
            try await withCluster(.needle(stages: 3)) { cluster, workers, client in
                try cluster.addWorker(name: "spare")
                let right = try await client.complete(needle.ask(.windows)).text
                workers[1].kill(SIGKILL)
                let next = try await cluster.ready()
                #expect(try await next.complete(needle.ask(.windows)).text == right)
                #expect(try await next.get("/health/ready").status == 200)
            }
        }

        @Test func aWorkerLostBeforeTheStartIsReplaced() async throws {
            let needle = try Self.needle()
            try await withCluster(.needle(stages: 2)) { cluster in
                try cluster.addWorker().kill(SIGKILL)
                try cluster.addWorker()
                try cluster.addWorker()
                let answer = try await cluster.ready().complete(needle.ask(.windows))
                #expect(answer.text.contains(needle.answer))
            }
        }

        /// With room for one long answer in the KV caches, the next prompt can begin only when the last is freed.
        @Test func aClientThatLeavesFreesItsRequest() async throws {
            let needle = try Self.needle()
            var shape = Cluster.Shape.needle(stages: 3)
            shape.options = ["--kv-tokens", "2045"]
            try await withCluster(shape) { cluster, _, client in
                for _ in 0..<3 {
                    let stream = try await client.stream(Self.long)
                    stream.leave()
                    let answer = try await client.complete(needle.ask(.dense))
                    #expect(answer.text.contains(needle.answer))
                }
                let left = try await within(.seconds(20), "three requests that were left") {
                    try await cluster.coordinator.log.lines("`status=499`", count: 3) { $0.contains("status=499") }
                }
                // None went on to its end.
                #expect(left.allSatisfy { !$0.contains(" tokens=2000") })
            }
        }

        /// Killed and started again at its old address, the coordinator finds its workers.
        @Test func aCoordinatorThatComesBackFindsItsWorkers() async throws {
            let needle = try Self.needle()
            try await withCluster(.needle(stages: 3)) { cluster, workers, client in
                let right = try await client.complete(needle.ask(.windows)).text
                for signal in [SIGKILL, SIGTERM] {
                    cluster.coordinator.kill(signal)
                    try await cluster.restartCoordinator()
                    let next = try await cluster.ready()
                    #expect(try await next.complete(needle.ask(.windows)).text == right)
                }
                #expect(workers.allSatisfy { $0.hasEnded == false })
            }
        }

        @Test(arguments: [(SIGTERM, 0), (SIGINT, 130), (SIGHUP, 0), (nil, 0)] as [(Int32?, Int32)])
        func anEndIsAnEnd(signal: Int32?, code: Int32) async throws {
            try await withCluster(.needle(stages: 2)) { cluster, workers, client in
                let stream = try await client.stream(Self.long)
                try end(cluster.coordinator, signal)
                // The answer is finished, or ends with an error; the connection is not just cut.
                let rest = try await within(.seconds(20), "the stream's end") { try await stream.rest() }
                #expect(rest.finish == "length" || rest.problem != nil)
                #expect(
                    try await within(.seconds(20), "its end") { try await cluster.coordinator.end() } == .exit(code))
                for worker in workers {
                    try end(worker, signal)
                    #expect(try await within(.seconds(20), "its end") { try await worker.end() } == .exit(code))
                }
            }
        }

        private func end(_ process: RunningProgram, _ signal: Int32?) throws {
            if let signal { process.kill(signal) } else { try process.closeInput() }
        }
    }
}

extension Result where Failure == any Error {
    fileprivate var isLost: Bool {
        if case .failure(let error as Refused) = self { error.problem?.code == "worker_lost" } else { false }
    }

    fileprivate init(_ body: @Sendable () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}
