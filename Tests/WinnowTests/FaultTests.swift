// Workers that die or freeze: a typed error within five seconds, and the right answer once there are enough again.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Faults", .timeLimit(.minutes(2)))
    struct FaultTests {
        /// Takes seconds: nearly the whole context, token by token.
        static let long = Ask(
            prompt: "Call me Ishmael.", maxTokens: 2000, ignoreEos: true, speculativePrefill: .dense)
        /// What a request may end with when a worker is lost.
        static let lost: Set<String> = ["worker_lost", "unavailable"]

        private static func needle() throws -> Needle {
            try #require(try Needle.all("needle-2048").first { $0.answer == "25502" })
        }

        @Test(arguments: [(SIGKILL, 0), (SIGKILL, 2), (SIGSTOP, 1)])
        func aLostWorkerEndsItsRequests(signal: Int32, index: Int) async throws {
            let needle = try Self.needle()
            try await withCluster(.needle(stages: 3)) { cluster, workers, client in
                let right = try await client.complete(needle.ask(.windows)).text
                #expect(right.contains(needle.answer))
                // In flight: answers that are being generated, streamed and whole, and prompts on their way.
                async let whole = Result { try await client.complete(Self.long) }
                let streams = try await concurrently([0, 1, 2], width: 3) { _ in try await client.stream(Self.long) }
                async let prompts = concurrently(Array(0..<6), width: 6) { _ in
                    await Result { try await client.complete(needle.ask(.dense)) }
                }

                let clock = ContinuousClock()
                let start = clock.now
                workers[index].kill(signal)
                let ends = try await concurrently(streams, width: 3) { try await $0.rest() }
                let others = try await [whole] + prompts
                let time = start.duration(to: clock.now)
                print("signal \(signal) to a worker: all requests ended after \(time)")
                #expect(time < .seconds(5))
                for end in ends { #expect(Self.lost.contains(end.problem?.code ?? "none"), "\(end)") }
                for (number, result) in others.enumerated() {
                    switch result {
                    // A prompt may have got through before the signal.
                    case .success(let answer): #expect(number > 0 && answer.text.contains(needle.answer))
                    case .failure(let error):
                        let refused = try #require(error as? Refused)
                        #expect(refused.status == 503 && Self.lost.contains(refused.problem?.code ?? "none"))
                    }
                }
                try await Self.expectNotReady(client)

                try cluster.addWorker()
                let next = try await cluster.ready()
                #expect(try await next.complete(needle.ask(.windows)).text == right)
                guard signal == SIGSTOP else { return }
                // The frozen one wakes up among strangers: it disturbs nobody, and takes over as a spare.
                workers[index].kill(SIGCONT)
                #expect(try await next.complete(needle.ask(.windows)).text == right)
                workers[0].kill(SIGKILL)
                let last = try await cluster.ready()
                #expect(try await last.complete(needle.ask(.windows)).text == right)
                workers[index].kill(SIGKILL)
                await #expect {
                    try await within(.seconds(5), "the end of a request") { try await client.complete(Self.long) }
                } throws: {
                    Self.lost.contains(($0 as? Refused)?.problem?.code ?? "none")
                }
                try await Self.expectNotReady(client)
            }
        }

        /// Not ready, with a reason, and requests are refused at once.
        private static func expectNotReady(_ client: Client) async throws {
            let reply = try await client.get("/health/ready")
            #expect(reply.status == 503)
            #expect(try reply.decoded(Health.self).reason?.isEmpty == false)
            await #expect {
                _ = try await client.complete(Ask(prompt: "Once", maxTokens: 1))
            } throws: {
                ($0 as? Refused)?.status == 503 && ($0 as? Refused)?.problem?.code == "unavailable"
            }
            #expect(try await client.get("/health/live").status == 200)
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
                let left = try await within(.seconds(5), "three requests that were left") {
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
    fileprivate init(_ body: @Sendable () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}
