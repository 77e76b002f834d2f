// Whole runs and ladders against a real server.

import Foundation
import LoadGenerator
import Testing

@Suite("runs", .serialized)
struct LoadRunTests {
    /// No answer within any test's patience.
    private static let hang: [Step] = [.wait(.seconds(600)), .close]

    /// A run of one kind of request against a server that plays the script.
    private func run(
        _ plan: RunPlan, expected: String? = nil, cancelAfter: Int? = nil, _ script: @escaping TestServer.Script
    ) async throws -> RunResult {
        try await TestServer.run(script) { server in
            let prompt = Prompt(.text("q"), expected: expected)
            let request = try RequestTemplate(model: "toy").request(for: prompt, variant: .asIs)
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 1000) { client in
                let (completions, continuation) = AsyncStream.makeStream(of: Int.self)
                let run = LoadRun(plan, requests: [request], target: client) { continuation.yield($0.completed) }
                let task = Task(executorPreference: OwnThread.shared) { await run.run() }
                if let cancelAfter {
                    for await completed in completions where completed >= cancelAfter { break }
                    task.cancel()
                }
                return await task.value
            }
        }
    }

    private func plan(
        rate: Double, count: Int, timeout: Duration = .seconds(20), drain: Duration = .seconds(20),
        rule: StopRule? = nil, deadline: Duration? = nil, openLimit: Int = 1000
    ) throws -> RunPlan {
        RunPlan(
            schedule: try ArrivalSchedule(.constant, rate: rate, count: count, seed: 1), timeout: timeout,
            drainLimit: drain, stopRule: rule, deadline: deadline.map { .now + $0 }, openLimit: openLimit)
    }

    private func kinds(_ result: RunResult) -> [FailureKind: Int] {
        result.records.reduce(into: [:]) { kinds, record in
            if case .failed(let kind, _) = record.outcome { kinds[kind, default: 0] += 1 }
        }
    }

    @Test("an open loop sends without waiting for answers")
    func openLoop() async throws {
        // Nothing is answered before everything has been asked: a closed loop would never end.
        let gate = Gate()
        let result = try await run(try plan(rate: 200, count: 50), expected: "a") { _, index in
            if index == 49 { gate.open() }
            return Answer.whole(after: gate)
        }
        #expect(result.ending == .complete)
        #expect(result.records.map(\.index) == Array(0..<50))
        #expect(result.records.allSatisfy { $0.outcome == .completed && $0.isCorrect == true })
        #expect(result.records.allSatisfy { $0.sent >= $0.scheduled && $0.end >= $0.sent })
        #expect(result.records.allSatisfy { $0.firstToken ?? .zero >= .milliseconds(49 * 5) })
    }

    @Test("a stall is seen by everything scheduled meanwhile")
    func coordinatedOmission() async throws {
        // The server stalls until its 30th request, which is due at 580 ms.
        let gate = Gate()
        let stallEnd = Duration.milliseconds(29 * 20)
        let result = try await run(try plan(rate: 50, count: 50)) { _, index in
            if index == 29 { gate.open() }
            return Answer.whole(after: gate)
        }
        for record in result.records where record.scheduled < stallEnd {
            #expect(try #require(record.timeToFirstToken) >= stallEnd - record.scheduled)
        }
        // Thirty of fifty waited, for 0, 20, ... 580 ms; at most twenty did not.
        let ttft = RunSummary.timesToFirstToken(result)
        #expect(try #require(ttft.quantile(perThousand: 500)) >= .milliseconds(80))
        #expect(try #require(ttft.quantile(perThousand: 900)) >= .milliseconds(480))
    }

    @Test("failures are counted by kind, and are misses")
    func failures() async throws {
        let result = try await run(try plan(rate: 200, count: 20)) { _, index in
            switch index % 4 {
            case 0: Answer.json(429, "{}")
            case 1: [.close]
            case 2: [Answer.streamHead, .text("data: [\n\n"), .end]
            default: Answer.whole()
            }
        }
        #expect(kinds(result) == [.refused: 5, .connection: 5, .badJSON: 5])
        #expect(RunSummary.timesToFirstToken(result).misses == 15)
        let hung = try await run(try plan(rate: 200, count: 5, timeout: .milliseconds(100))) { _, _ in Self.hang }
        #expect(kinds(hung) == [.timeout: 5])
    }

    @Test("what is open after the drain limit is unfinished; what cannot be opened is unsent")
    func limits() async throws {
        let slow = try await run(try plan(rate: 200, count: 10, drain: .milliseconds(100))) { _, _ in Self.hang }
        #expect(kinds(slow) == [.unfinished: 10])
        #expect(slow.ending == .complete)
        let full = try await run(try plan(rate: 200, count: 10, drain: .milliseconds(100), openLimit: 4)) { _, _ in
            Self.hang
        }
        #expect(kinds(full) == [.unfinished: 4, .unsent: 6])
    }

    @Test("cancelling keeps what was measured and blames nobody for what was open")
    func cancelling() async throws {
        let result = try await run(try plan(rate: 100, count: 100_000), cancelAfter: 3) { _, index in
            index < 5 ? Answer.whole() : Self.hang
        }
        #expect(result.ending == .interrupted)
        #expect(result.records.count { $0.outcome == .completed } >= 3)
        #expect(kinds(result).isEmpty)
    }

    @Test("a lost run stops sending; a run past its deadline too")
    func endings() async throws {
        let rule = StopRule(bound: .milliseconds(50), allowedMisses: 2)
        let lost = try await run(try plan(rate: 20, count: 10_000, rule: rule)) { _, _ in
            Answer.whole(after: .milliseconds(80))
        }
        #expect(lost.ending == .lost)
        #expect(lost.records.count >= 3 && lost.records.count < 1000)
        #expect(RungVerdict(lost, bound: .milliseconds(50)) == .slow)
        let refused = try await run(try plan(rate: 20, count: 10_000, rule: rule)) { _, _ in Answer.json(503, "") }
        #expect(refused.ending == .lost)
        #expect(RungVerdict(refused, bound: .milliseconds(50)) == .failures)
        let late = try await run(try plan(rate: 20, count: 10_000, deadline: .milliseconds(300))) { _, _ in
            Answer.whole()
        }
        #expect(late.ending == .deadline)
        #expect(late.records.count < 1000)
    }

    @Test("a ladder finds the slower mode's end and measures both unloaded")
    func ladder() async throws {
        let queue = SingleServerQueue()
        let script: TestServer.Script = { request, _ in
            let isDense = request.body.contains(#""enabled":false"#)
            return Answer.whole(after: queue.delay(service: .milliseconds(isDense ? 50 : 5)))
        }
        let plan = LadderPlan(
            ladder: try LadderRates([5, 80]), bound: .milliseconds(1000), arrivals: .poisson, seed: 1,
            rungDuration: .milliseconds(600), timeout: .seconds(20), drainLimit: .seconds(20))
        let results = try await TestServer.run(script) { server in
            let template = try RequestTemplate(model: "toy")
            let modes = try [RequestVariant.dense, .keep(0.1)].map { variant in
                LadderMode(
                    name: variant.name, requests: [try template.request(for: Prompt(.text("q")), variant: variant)])
            }
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 1000) { client in
                try await LadderRun(plan, modes: modes, target: client).run()
            }
        }
        let (dense, kept) = (results[0], results[1])
        // Dense serves 20/s: 48 requests in 0.6 s leave the last one 1.8 s behind.
        #expect(dense.rungs.map(\.verdict) == [.pass, .slow])
        #expect(dense.highestPassing == 5 && dense.ending == .slow)
        #expect(kept.rungs.map(\.verdict) == [.pass, .pass])
        #expect(kept.highestPassing == 80 && kept.ending == .top)
        #expect(try #require(dense.unloaded?.median) >= .milliseconds(50))
        #expect(dense.rungs[0].schedule == kept.rungs[0].schedule)

        let settings = LoadSettings(
            target: "http://h", model: "toy", prompts: "p", promptCount: 1, arrivals: .poisson, seed: 1,
            duration: plan.rungDuration, timeout: plan.timeout, drainLimit: plan.drainLimit, warmUp: 1, maxTokens: nil,
            extraBody: [:], host: "here", startedAt: Date())
        let report = LadderReport(settings: settings, plan: plan, results: results)
        #expect(report.note.hasPrefix("quick estimate, not a verdict: 3 to 48 requests per rung"))
        let text = SummaryText(usesColor: false).text(of: report)
        #expect(text.contains("highest passing rate 5/s\n"))
        #expect(text.contains("highest passing rate 80/s, 16x (the ladder's top: it may sustain more)\n"))
        let fields = try JSONValue.object(
            parsing: String(decoding: try ReportFile.json(report), as: UTF8.self), place: "report")
        #expect(fields["kind"] == .string("ladder") && fields["ttft_bound_ms"] == .integer(1000))
        guard case .array(let modes) = fields["modes"], case .object(let mode) = modes.first else {
            Issue.record("the report has no modes")
            return
        }
        #expect(mode["highest_passing_rate"] == .integer(5) && mode["ending"] == .string("slow"))
    }

    @Test("a ladder keeps its time budget, and tells an absent server")
    func ladderLimits() async throws {
        let mode = LadderMode(
            name: "as-is",
            requests: [try RequestTemplate(model: "toy").request(for: Prompt(.text("q")), variant: .asIs)])
        let plan = LadderPlan(
            ladder: try LadderRates([1, 2]), bound: .seconds(1), arrivals: .constant, seed: 1,
            rungDuration: .seconds(30), timeout: .seconds(20), drainLimit: .seconds(20), budget: .seconds(1))
        let script: TestServer.Script = { _, _ in Answer.whole() }
        let address = try await TestServer.run(script) { server in
            let results = try await OpenAIClient.withClient(address: server.address, connectionLimit: 10) { client in
                try await LadderRun(plan, modes: [mode], target: client).run()
            }
            #expect(results[0].rungs.isEmpty && results[0].ending == .budget && results[0].highestPassing == nil)
            #expect(results[0].unloaded?.median != nil)
            return server.address
        }
        let error = await #expect(throws: LoadGeneratorError.self) {
            try await OpenAIClient.withClient(address: address, connectionLimit: 10) { client in
                _ = try await LadderRun(plan, modes: [mode], target: client).run()
            }
        }
        #expect(error?.kind == .unreachable)
    }
}
