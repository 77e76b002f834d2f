// What an operator sees of a live cluster: `winnow status`, and the page in a real browser.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Status", .timeLimit(.minutes(3)))
    struct StatusTests {
        private static let python = ["/usr/bin/python3", "/usr/local/bin/python3"].first(
            where: FileManager.default.isExecutableFile)
        /// As scripts/status_page_check.py looks for it.
        private static let hasBrowser = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .contains {
                folder in
                ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].contains {
                    FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)")
                }
            }

        /// Answers one pruned request.
        private func ask(_ client: Client) async throws -> Needle {
            let needle = try #require(try Needle.all("needle-1024").first)
            _ = try await client.complete(
                Ask(prompt: .text(needle.prompt), maxTokens: 8, ignoreEos: true, speculativePrefill: .windows))
            return needle
        }

        /// The status once what was asked is in it, at most half a second later.
        private func settled(_ client: Client) async throws -> [String] {
            try await within(.seconds(20), "the request in the status") {
                while true {
                    let run = try await Program.run(["status", client.base])
                    // A moment after it is ready it may not say so yet.
                    guard [.exit(0), .exit(75)].contains(run.end) else {
                        throw LineLog.Ended(what: "winnow status", lines: run.log)
                    }
                    if run.output.contains(where: { $0.contains("finished") }) { return run.output }
                }
            }
        }

        @Test func itTellsStagesAndRequestsAndNoWordOfThem() async throws {
            try await withCluster(.needle(stages: 2)) { cluster, workers, client in
                let needle = try await ask(client)
                let text = try await settled(client).joined(separator: "\n")
                #expect(text.contains("needle-main-2m at \(client.base), ready"), "\(text)")
                #expect(text.contains("pipeline main: stands; epoch "), "\(text)")
                for worker in workers { #expect(text.contains(worker.name), "\(text)") }
                #expect(text.contains("speculator coordinator"), "\(text)")
                #expect(text.contains("finished (length)") && text.contains("cmpl-"), "\(text)")

                let json = try await Program.run(["status", client.base + "/", "--json"])
                #expect(json.end == .exit(0) && json.output.count == 1)
                let whole = try #require(json.output.first)
                let object = try #require(
                    JSONSerialization.jsonObject(with: Data(whole.utf8)) as? [String: Any])
                #expect(object["version"] as? Int == 1 && object["not_ready"] == nil)
                let request = try #require((object["requests"] as? [[String: Any]])?.first)
                let kept = try #require(request["kept_tokens"] as? Int)
                let all = try #require(request["prompt_tokens"] as? Int)
                #expect(kept > 0 && kept < all && (request["kept_map"] as? String)?.count == 64)
                #expect(request["ttft_seconds"] != nil && request["generated_tokens"] as? Int == 8)
                for word in [needle.prompt.prefix(40), needle.prompt.suffix(40)] { #expect(!whole.contains(word)) }

                // By the topology that says where it serves; its model need not be here.
                let folder = try TemporaryFolder()
                let http = client.base.dropFirst("http://".count)
                let file = folder.file("topology.yaml")
                try Data("model: elsewhere\ncoordinator: {http: \"\(http)\"}\npipelines: [{stages: 2}]\n".utf8)
                    .write(to: file)
                let byFile = try await Program.run(["status", file.path])
                #expect(byFile.end == .exit(0) && byFile.output.first?.contains("ready") == true, "\(byFile.log)")

                for worker in workers { worker.kill(SIGKILL) }
                try await within(.seconds(20), "the loss of the pipeline") {
                    while true {
                        let run = try await Program.run(["status", client.base])
                        guard run.end == .exit(75) else { continue }
                        #expect(run.output.contains { $0.contains("pipeline main: DOWN: ") }, "\(run.output)")
                        #expect(run.output.contains("faults of the last hour: 1"), "\(run.output)")
                        return
                    }
                }
            }
        }

        @Test func whoDoesNotAnswerIsNamed() async throws {
            let port = try FreePort.any()
            let run = try await Program.run(["status", "127.0.0.1:\(port)"])
            #expect(run.end == .exit(69))
            #expect(
                run.log.contains { $0.contains("no coordinator answers at http://127.0.0.1:\(port)") }, "\(run.log)")
            let missing = try await Program.run(["status", "/nothing/here.yaml"])
            #expect(missing.end == .exit(65) && missing.log.contains { $0.contains("the file can't be opened") })
        }

        @Test(
            .enabled(if: python != nil && hasBrowser, "there is no Chromium or no python3: THE PAGE IS NOT LOOKED AT"))
        func thePageIsSoundInABrowser() async throws {
            let python = try #require(Self.python)
            try await withCluster(.needle(stages: 2)) { _, _, client in
                let needle = try await ask(client)
                _ = try await settled(client)
                let folder = try TemporaryFolder()
                let check = try RunningProgram(
                    [
                        Package.file("scripts/status_page_check.py"), client.base, "--requests", "1", "--hidden",
                        String(needle.prompt.suffix(40)), "--screenshots",
                        ProcessInfo.processInfo.environment["WINNOW_SCREENSHOTS"] ?? folder.url.path,
                    ], program: python)
                defer { check.kill(SIGTERM) }
                let end = try await within(.seconds(120), "the end of status_page_check.py") { try await check.end() }
                let lines = try await check.output.all()
                #expect(end == .exit(0), "\((lines + check.log.soFar).joined(separator: "\n"))")
                #expect(lines.count { $0.hasPrefix("ok ") } > 25)
            }
        }
    }
}
