// The official OpenAI client for Python, against a live cluster.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Official client", .timeLimit(.minutes(2)))
    struct OfficialClientTests {
        /// A Python that has the package `openai`; scripts/test.sh sets the variable.
        static let python = ProcessInfo.processInfo.environment["WINNOW_OPENAI_PYTHON"]

        @Test(.enabled(if: python != nil, "WINNOW_OPENAI_PYTHON names no Python with the package openai: IS SKIPPED"))
        func everyCheckPasses() async throws {
            let python = try #require(Self.python)
            var shape = Cluster.Shape.needle(stages: 3)
            shape.options = ["--keep-rate", "0.1"]
            try await withCluster(shape) { _, _, client in
                let check = try RunningProgram(
                    [Package.file("scripts/openai_client_check.py"), client.base], program: python)
                defer { check.kill(SIGKILL) }
                let end = try await within(.seconds(90), "the end of openai_client_check.py") { try await check.end() }
                let lines = try await check.output.all()
                #expect(end == .exit(0), "\((lines + check.log.soFar).joined(separator: "\n"))")
                #expect(lines.count { $0.hasPrefix("ok ") } > 10)
            }
        }
    }
}
