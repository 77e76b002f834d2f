// Workers whose words or addresses are not what they should be.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Links", .timeLimit(.minutes(1)))
    struct LinkTests {
        /// Where a coordinator serves before it is ready, from its log.
        private func client(_ coordinator: RunningProgram) async throws -> Client {
            let line = try await coordinator.log.line(containing: "listening on 127.0.0.1:")
            let port = try #require(line.firstMatch(of: /listening on 127\.0\.0\.1:(\d+)/)?.1)
            return Client(base: "http://127.0.0.1:\(port)", model: "stories260K")
        }

        /// Nobody listens at the address a worker says it is reached at: the second of two, or the only one.
        @Test(arguments: [1, 2]) func aWorkerThatCannotBeReachedIsNamed(stages: Int) async throws {
            try await withCluster(.stories(stages: stages)) { cluster in
                for stage in 0..<stages {
                    let isLast = stage == stages - 1
                    try cluster.addWorker(name: "w\(stage)", isLast ? ["--advertise", "127.0.0.2"] : [])
                }
                let worker = "worker w\(stages - 1) at tcp://127.0.0.2:"
                let line = try await within(.seconds(10), "the coordinator's warning") {
                    try await cluster.coordinator.log.line(containing: "a stage can't be reached")
                }
                #expect(line.contains(" warning ") && line.contains(worker), "\(line)")
                let ready = try await client(cluster.coordinator).get("/health/ready")
                #expect(ready.status == 503)
                #expect(try ready.decoded(Health.self).reason?.contains(worker) == true)
            }
        }

        /// Names that bring line breaks stay on the line they are logged in.
        @Test func namesForgeNoLines() async throws {
            let forged = "2026-01-01T00:00:00+0000 error coordinator: forged"
            let folder = try TemporaryFolder()
            let model = folder.url.appending(path: "m\n\(forged)").path
            try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: false)
            for name in try FileManager.default.contentsOfDirectory(atPath: Package.stories) {
                try FileManager.default.copyItem(atPath: "\(Package.stories)/\(name)", toPath: "\(model)/\(name)")
            }
            var weights = try Weights(Data(contentsOf: URL(fileURLWithPath: "\(model)/model.safetensors")))
            weights.data = Data(weights.data.map { $0 ^ 1 })
            try weights.encoded().write(to: URL(fileURLWithPath: "\(model)/model.safetensors"))
            try await withCluster(.stories(stages: 1)) { cluster in
                let stranger = try cluster.addWorker(model: model)
                #expect(try await within(.seconds(20), "the refusal") { try await stranger.end() } == .exit(69))
                _ = try await stranger.log.line(containing: "winnow: the coordinator refused this worker")
                let worker = try cluster.addWorker(name: "w\n\(forged)")
                _ = try await cluster.ready()
                worker.kill(SIGTERM)
                _ = try await cluster.coordinator.log.line(containing: "a pipeline is down")
                for log in [cluster.coordinator.log, stranger.log] {
                    #expect(!log.soFar.contains { $0.hasPrefix(forged) }, "\(log.soFar)")
                    #expect(log.soFar.contains { $0.contains("\\n\(forged)") }, "\(log.soFar)")
                }
            }
        }
    }
}
