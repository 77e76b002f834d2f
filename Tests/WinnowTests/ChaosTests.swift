// Faults of every kind under load, as scripts/chaos.sh makes them: a short record of them.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Chaos", .timeLimit(.minutes(4)))
    struct ChaosTests {
        private static let python = ["/usr/bin/python3", "/usr/local/bin/python3"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }

        @Test(.enabled(if: python != nil, "there is no python3: IS SKIPPED"))
        func nothingIsLost() async throws {
            let chaos = try RunningProgram(
                ["--small", "--seed", "7", "--requests", "60", "--faults", "5", "--winnow", Program.path],
                program: Package.file("scripts/chaos.sh"))
            defer { chaos.kill(SIGTERM) }
            let end = try await within(.seconds(200), "the end of chaos.sh") { try await chaos.end() }
            let record = try await chaos.output.all()
            #expect(end == .exit(0), "\(record.joined(separator: "\n"))")
            #expect(record.contains { $0.contains("60 answered, 0 failed") }, "\(record)")
        }
    }
}
