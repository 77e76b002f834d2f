// The load generator against a real cluster, as a command.

import ChildPrograms
import Foundation
import Testing

/// The parts of a summary that tests look at.
private struct Summary: Decodable {
    struct Latency: Decodable {
        var p50: Double?
        var p90: Double?
        var p99: Double?
        var max: Double?
        var count: Int
    }

    struct Mode: Decodable {
        struct Run: Decodable {
            struct Server: Decodable {
                struct Part: Decodable {
                    var name: String
                    var busyShare: Double
                }
                var parts: [Part]
                var bottleneck: String
            }
            var purpose: String
            var verdict: String
            var server: Server?
            var promptTokens: Double?
        }
        var name: String
        var verdict: String
        var maxQps: Double?
        var runs: [Run]
    }

    var verdict: String
    var maxQps: Double?
    var offeredRate: Double
    var achievedRate: Double
    var ttftMs: Latency
    var tpotMs: Latency
    var e2eMs: Latency
    var completed: Int
    var requests: Int
    var failed: [String: Int]
    var lateSends: Int
    var seed: Int
    var schemaVersion: Int
    var scheduleHash: String?
    var modes: [Mode]

    init(_ file: URL) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Self.self, from: Data(contentsOf: file))
    }
}

extension EndToEnd {
    @Suite("Load generator", .timeLimit(.minutes(3)))
    struct LoadgenTests {
        private static let prompts = Package.file("cluster/prompts/needle-2048.txt")

        private func loadgen(_ client: Client, _ arguments: [String]) async throws -> Program.Finished {
            try await Program.run(["loadgen", "--target", client.base] + arguments)
        }

        @Test func oneRunSaysEverything() async throws {
            let folder = try TemporaryFolder()
            let prompts = folder.file("p.jsonl")
            try Data(
                """
                {"prompt": "Once upon a time", "max_tokens": 4}
                {"prompt": "The sun", "max_tokens": 4, "expected": "xylophone"}
                """.utf8
            ).write(to: prompts)
            try await withCluster(.stories(stages: 2)) { _, _, client in
                var hashes: Set<String?> = []
                for number in 1...2 {
                    let run = try await loadgen(
                        client,
                        ["--rate", "20", "--arrivals", "poisson", "--seed", "7", "--duration", "2"]
                            + ["--slo", "ttft:p50:20s", "--prompts", prompts.path]
                            + ["--json", folder.file("\(number).json").path, "--rows", folder.file("rows").path]
                            + ["--html", folder.file("html").path, "--hdr", folder.file("hdr").path])
                    #expect(run.end == .exit(0), "\(run.log)")
                    #expect(run.log.isEmpty, "quiet success: \(run.log)")
                    let summary = try Summary(folder.file("\(number).json"))
                    hashes.insert(summary.scheduleHash)
                    #expect(summary.schemaVersion == 3 && summary.seed == 7 && summary.maxQps == nil)
                    #expect(summary.completed == summary.requests && summary.failed.values.allSatisfy { $0 == 0 })
                    #expect(summary.offeredRate == 20 && summary.achievedRate > 0)
                    #expect(summary.ttftMs.count == summary.requests && summary.ttftMs.p50 != nil)
                    #expect(summary.tpotMs.max != nil && summary.e2eMs.p99 != nil)
                    let server = try #require(summary.modes.first?.runs.first?.server)
                    #expect(server.parts.filter { $0.name.hasPrefix("stage") && $0.busyShare > 0 }.count == 2)
                    #expect(!server.bottleneck.isEmpty)
                    let rows = try String(contentsOf: folder.file("rows"), encoding: .utf8).split(separator: "\n")
                    #expect(rows.count == summary.requests)
                    let page = try String(contentsOf: folder.file("html"), encoding: .utf8)
                    #expect(page.contains("<svg") && page.contains(summary.verdict))
                    let log = try String(contentsOf: folder.file("hdr"), encoding: .utf8)
                    #expect(log.contains("Tag=as-is/ttft,"))
                }
                #expect(hashes.count == 1 && hashes.first != .some(nil))
                let compared = try await Program.run([
                    "loadgen", "compare", folder.file("1.json").path, folder.file("2.json").path,
                ])
                #expect(compared.end == .exit(0) && compared.output.contains { $0.hasPrefix("TTFT p50: ") })
                // As its help says: a flag, wherever it stands.
                let files = [folder.file("1.json").path, folder.file("2.json").path]
                for arguments in [files + ["--json"], ["--json"] + files] {
                    let json = try await Program.run(["loadgen", "compare"] + arguments)
                    #expect(json.end == .exit(0) && json.output.count == 1, "\(json.log)")
                    #expect(json.output.first?.hasPrefix(#"{"comparisons":[{"#) == true)
                }
                let stray = try await Program.run(["loadgen", "compare"] + files + ["--json", folder.file("c").path])
                #expect(stray.end == .exit(64) && stray.output.isEmpty, "nothing is written where nobody looks")
            }
        }

        @Test func aSearchEndsWithAVerdictForEveryMode() async throws {
            let folder = try TemporaryFolder()
            let report = folder.file("o.json")
            try await withCluster(.needle(stages: 1)) { _, _, client in
                let run = try await loadgen(
                    client,
                    ["--find-max-qps", "--slo", "e2e:p50:30s", "--max-rate", "8", "--rate", "4", "--samples", "8"]
                        + ["--duration", "1", "--confirmations", "1", "--compare", "dense,0.2", "--max-tokens", "1"]
                        + ["--max-lateness", "30s"]
                        + ["--prompts", Self.prompts, "--json", report.path])
                #expect(run.end == .exit(0), "\(run.log)")
                let summary = try Summary(report)
                #expect(summary.modes.map(\.name) == ["dense", "keep 0.2"])
                for mode in summary.modes {
                    #expect(mode.verdict == "VALID" && mode.maxQps == 8, "\(run.output)")
                    #expect(mode.runs.map(\.purpose) == ["bracket", "bracket", "confirm"])
                }
                #expect(run.output.contains { $0.hasPrefix("maximal QPS: keep 0.2 is 1x dense") }, "\(run.output)")
            }
        }

        @Test func controlCKeepsWhatWasMeasured() async throws {
            let folder = try TemporaryFolder()
            let (json, html) = (folder.file("o.json"), folder.file("o.html"))
            try await withCluster(.stories(stages: 1)) { _, _, client in
                let run = try RunningProgram(
                    [
                        "loadgen", "--target", client.base, "--rate", "20", "--duration", "10m",
                        "--prompt-tokens", "20",
                    ]
                        + ["--output-tokens", "3", "--json", json.path, "--html", html.path])
                defer { run.kill(SIGKILL) }
                // The warm-up is the first.
                try await within(.seconds(60), "four answers") {
                    while try await finished(client) < 4 { await Task.yield() }
                }
                run.kill(SIGINT)
                let end = try await within(.seconds(20), "the end after Ctrl-C") { try await run.end() }
                #expect(end == .exit(130))
                let summary = try Summary(json)
                #expect(summary.verdict == "INTERRUPTED" && summary.requests >= 1)
                #expect(try String(contentsOf: html, encoding: .utf8).contains("INTERRUPTED"))
            }
        }

        /// Requests the server has ended, well or not.
        private func finished(_ client: Client) async throws -> Double {
            let page = String(decoding: try await client.get("/metrics").body, as: UTF8.self)
            return page.split(separator: "\n").filter { $0.hasPrefix("winnow_requests_total") }
                .compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0, +)
        }

        @Test func aCoordinatorInProcessIsMeasuredWithoutHTTP() async throws {
            let folder = try TemporaryFolder()
            let report = folder.file("o.json")
            let run = try RunningProgram(
                [
                    "loadgen", "--native", Package.stories, "--stages", "2", "--listen", "tcp://127.0.0.1:*", "--rate",
                    "20",
                ]
                    + ["--duration", "2", "--prompt-tokens", "30", "--exact-lengths", "10", "--output-tokens", "5"]
                    + ["--json", report.path])
            defer { run.kill(SIGKILL) }
            let line = try await run.log.line(containing: "listening ")
            let endpoint = try #require(line.split(separator: " ").last)
            let workers = try (0..<2).map { _ in
                try RunningProgram(["worker", "--model", Package.stories, "--coordinator", String(endpoint)])
            }
            defer { for worker in workers { worker.kill(SIGKILL) } }
            let end = try await within(.seconds(30), "the end of the run") { try await run.end() }
            #expect(end == .exit(0))
            let summary = try Summary(report)
            #expect(summary.requests > 10 && summary.completed == summary.requests)
            #expect(summary.modes.first?.runs.first?.server?.parts.count == 2)
            #expect(summary.modes.first?.runs.first?.promptTokens == 30)
        }

        @Test func requestsThatFailAreCountedMisses() async throws {
            let folder = try TemporaryFolder()
            let (prompts, report) = (folder.file("p.jsonl"), folder.file("o.json"))
            try Data(#"{"prompt": "x", "max_tokens": 100000}"#.utf8).write(to: prompts)
            try await withCluster(.stories(stages: 1)) { _, _, client in
                let run = try await loadgen(
                    client, ["--rate", "10", "--duration", "1", "--prompts", prompts.path, "--json", report.path])
                // It is measured and written, but no script takes it for a success.
                #expect(run.end == .exit(69) && run.log.count == 1, "\(run.log)")
                #expect(run.log.first?.contains("none of the requests was answered") == true)
                let summary = try Summary(report)
                #expect(summary.requests > 0 && summary.failed["http_error"] == summary.requests)
                #expect(summary.ttftMs.p50 == nil && summary.verdict == "MISSED")
            }
        }
    }

    @Suite("Load generator, bad commands", .timeLimit(.minutes(2)))
    struct LoadgenBadCommandTests {
        private static let loadgen = "loadgen --target http://127.0.0.1:9"
        private static let prompts = "--prompts \(Package.file("cluster/prompts/needle-2048.txt"))"

        static let cases: [BadCommandTests.Case] = [
            .init("loadgen --rate 1 \(prompts)", says: "--target"),
            .init("\(loadgen) \(prompts)", says: "--rate"),
            .init("\(loadgen) --rate 1", says: "--prompts"),
            .init("\(loadgen) --rate 1 \(prompts)", code: 69, says: "connection refused"),
            .init(
                "loadgen --target http://no.such.host.invalid:1 --rate 1 \(prompts)", code: 69,
                says: "no.such.host.invalid"),
            .init("loadgen --target nonsense --rate 1 \(prompts)", code: 64, says: "nonsense"),
            .init("\(loadgen) --rate 0 \(prompts)", says: "--rate"),
            .init("\(loadgen) --rate nan \(prompts)", says: "--rate"),
            .init("\(loadgen) --rate 1 --find-max-qps --concurrency 3 \(prompts)", says: "one of"),
            .init("\(loadgen) --find-max-qps \(prompts)", says: "--slo"),
            .init("\(loadgen) --find-max-qps --slo ttft:p99 \(prompts)", says: "METRIC:PERCENTILE:BOUND"),
            .init("\(loadgen) --find-max-qps --slo ttft:p101:2s \(prompts)", says: "p101"),
            .init("\(loadgen) --find-max-qps --slo speed:p99:2s \(prompts)", says: "speed"),
            .init("\(loadgen) --policy paper --slo ttft:p99:2s \(prompts)", says: "--slo"),
            .init("\(loadgen) --rate 1 --arrivals sometimes \(prompts)", says: "sometimes"),
            .init("\(loadgen) --rate 1 --duration 0 \(prompts)", says: "--duration"),
            .init("\(loadgen) --rate 1 --prompts /nowhere/p.jsonl --max-tokens 0", says: "max tokens"),
            .init("\(loadgen) --rate -1 \(prompts)", says: "-1"),
            .init("\(loadgen) --rate 1 --duration -3s \(prompts)", says: "-3s"),
            .init("\(loadgen) --concurrency -7 \(prompts)", says: "-7"),
            .init("\(loadgen) --rate 1 --arrivals ramp:0.5--1.5 \(prompts)", says: "ramp:0.5--1.5"),
            .init("loadgen compare a.json", says: "winnow loadgen compare --help"),
            .init("\(loadgen) --trace azure:/nowhere/t.csv", code: 65, says: "/nowhere/t.csv"),
            .init("\(loadgen) --trace zipf:/nowhere/t.csv", code: 65, says: "zipf"),
            .init("\(loadgen) --rate 1 --time-scale 0.1 \(prompts)", says: "--time-scale"),
            .init("\(loadgen) --rate 1 \(prompts) --json /nowhere/o.json", says: "/nowhere"),
            .init("\(loadgen) --rate 1 \(prompts) --compare dense,dense", says: "named twice"),
            .init("\(loadgen) --rate 1 --prompt-tokens none", says: "none"),
            .init("\(loadgen) --rate 1 --ladder 1,2 --slo ttft:p99:2s \(prompts)", says: "--rate"),
            .init("\(loadgen) --rate 1 --samples 9 \(prompts)", says: "--samples"),
            .init("\(loadgen) --rate 1 --precision 0.1 \(prompts)", says: "--precision"),
            .init("\(loadgen) --rate 1 --stages 2 \(prompts)", says: "--native"),
            .init("\(loadgen) --concurrency 1 --arrivals poisson \(prompts)", says: "--arrivals"),
            .init("\(loadgen) --rate 1 --max-prompt-tokens 9 \(prompts)", says: "--max-prompt-tokens"),
            .init("\(loadgen) --rate 1 --shared-prefix 9 \(prompts)", says: "--shared-prefix"),
            .init("\(loadgen) --rate 1 --exact-lengths 9 \(prompts)", says: "--exact-lengths"),
            .init("\(loadgen) --rate 1 --exact-lengths 0 --prompt-tokens 9", says: "--exact-lengths"),
            .init("loadgen compare /nowhere/a.json /nowhere/b.json", code: 65, says: "/nowhere/a.json"),
        ]

        @Test(arguments: cases) func theMistakeIsNamed(mistake: BadCommandTests.Case) async throws {
            let run = try await Program.run(mistake.arguments)
            #expect(run.end == .exit(mistake.code), "\(run.log)")
            #expect(run.output.isEmpty)
            #expect(run.log.joined(separator: "\n").contains(mistake.says), "\(run.log)")
            // A trace that cannot be read hides no server that is not there.
            let lines = mistake.arguments.contains("--trace") ? 2 : 1
            if mistake.code != 64 { #expect(run.log.count == lines, "\(run.log)") }
        }

        @Test func whatIsMissingIsToldBesideAServerThatIsAbsent() async throws {
            let run = try await Program.run([
                "loadgen", "--target", "http://127.0.0.1:9", "--rate", "1", "--prompts", "/nowhere/p.jsonl",
            ])
            #expect(run.end == .exit(65) && run.log.count == 2, "\(run.log)")
            #expect(run.log.first?.contains("/nowhere/p.jsonl") == true)
            #expect(run.log.last?.contains("http://127.0.0.1:9: connection refused") == true)
        }

        @Test func wrongUsePointsToItsOwnHelp() async throws {
            for arguments in [["--rate", "1"], ["--target", "http://127.0.0.1:9"], ["--rat", "1"], []] {
                let run = try await Program.run(["loadgen"] + arguments)
                #expect(run.end == .exit(64))
                let log = run.log.joined(separator: "\n")
                #expect(log.contains("See 'winnow loadgen --help'"), "\(log)")
            }
            let help = try await Program.run(["loadgen", "--help"])
            #expect(help.end == .exit(0) && help.output.contains { $0.contains("--find-max-qps") })
            let compare = try await Program.run(["loadgen", "compare", "-h"])
            #expect(compare.output.contains { $0.contains("Print JSON.") })
        }

        @Test func tracesWithFaultsNameTheLine() async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("t.csv")
            for (text, says) in [
                ("TIMESTAMP,GeneratedTokens\n2023-11-16 18:17:03.97,10\n", "ContextTokens"),
                ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,-4,10\n", "t.csv:2"),
                ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,4,10\n", "t.csv:2"),
            ] {
                try Data(text.utf8).write(to: file)
                let run = try await Program.run([
                    "loadgen", "--target", "http://127.0.0.1:9", "--trace", "azure:\(file.path)",
                ])
                #expect(run.end == .exit(65) && run.log.count == 2)
                #expect(run.log.first?.contains(says) == true, "\(run.log)")
            }
            try Data(#"{"time": -1, "prompt_tokens": 3, "output_tokens": 3}"#.utf8).write(to: file)
            let run = try await Program.run([
                "loadgen", "--target", "http://127.0.0.1:9", "--trace", "jsonl:\(file.path)",
            ])
            #expect(run.end == .exit(65) && run.log.first?.contains("t.csv:1") == true, "\(run.log)")
        }
    }
}
