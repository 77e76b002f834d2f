// Workers whose words or addresses are not what they should be.

import ChildPrograms
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

        /// Names that bring line breaks are refused, on one line.
        @Test(arguments: ["--model", "--name"]) func namesForgeNoLines(flag: String) async throws {
            let forged = "2026-01-01T00:00:00+0000 error coordinator: forged"
            let finished = try await Program.run(
                ["worker", "--coordinator", "tcp://127.0.0.1:1", "--model", Package.stories, flag, "w\n\(forged)"])
            #expect(finished.end == .exit(64))
            #expect(!finished.log.contains { $0.hasPrefix(forged) }, "\(finished.log)")
            #expect(finished.log.contains { $0.contains("\(flag) holds a control character") }, "\(finished.log)")
        }
    }
}
