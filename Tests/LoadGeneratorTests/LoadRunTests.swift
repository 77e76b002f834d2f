// Whole runs and ladders against a real server.

import Foundation
import LoadGenerator
import Synchronization
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
                let target = CountingTarget(client) { continuation.yield($0) }
                let run = LoadRun(plan, source: try RepeatedRequests([request]), target: target)
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
            load: .open(try ArrivalSchedule(.constant, rate: rate, count: count, seed: 1)), timeout: timeout,
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
        let ttft = result.distribution(of: .ttft)
        #expect(try #require(ttft.quantile(.p50)) >= .milliseconds(80))
        #expect(try #require(ttft.quantile(.p90)) >= .milliseconds(480))
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
        #expect(result.distribution(of: .ttft).misses == 15)
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
        let promise = Objective(metric: .ttft, percentile: .p90, bound: .milliseconds(50))
        let rule = StopRule(limits: [.init(promise, allowedMisses: 2)])
        let lost = try await run(try plan(rate: 20, count: 10_000, rule: rule)) { _, _ in
            Answer.whole(after: .milliseconds(80))
        }
        #expect(lost.ending == .lost)
        #expect(lost.records.count >= 3 && lost.records.count < 1000)
        #expect(Judgement(lost, VerdictRules(objectives: [promise])).verdict == .missed)
        let refused = try await run(try plan(rate: 20, count: 10_000, rule: rule)) { _, _ in Answer.json(503, "") }
        #expect(refused.ending == .lost)
        #expect(kinds(refused)[.refused] ?? 0 >= 3)
        // An answer that does not come is a miss as soon as its bound has passed.
        let hung = try await run(try plan(rate: 20, count: 10_000, rule: rule)) { _, _ in Self.hang }
        #expect(hung.ending == .lost && hung.records.count < 1000)
        let late = try await run(try plan(rate: 20, count: 10_000, deadline: .milliseconds(300))) { _, _ in
            Answer.whole()
        }
        #expect(late.ending == .deadline)
        #expect(late.records.count < 1000)
    }

    @Test("a server that stalls for two seconds shows in everything scheduled meanwhile")
    func stall() async throws {
        // 100 requests a second; from the 100th on the server is silent until 2 s have passed.
        let queue = SingleServerQueue()
        let result = try await run(try plan(rate: 100, count: 600)) { _, index in
            Answer.whole(after: queue.delay(service: index == 100 ? .seconds(2) : .milliseconds(1)))
        }
        #expect(result.ending == .complete && result.records.count == 600)
        for record in result.records where (101..<290).contains(record.index) {
            let stallLeft = Duration.seconds(2) - (record.scheduled - .seconds(1))
            #expect(try #require(record.timeToFirstToken) >= stallLeft - .milliseconds(5))
        }
        // 200 of 600 requests were due during the stall: a closed loop would have sent one of them.
        let ttft = result.distribution(of: .ttft)
        #expect(try #require(ttft.quantile(.p90)) >= .milliseconds(1300))
        #expect(try #require(ttft.quantile(.p50)) < .milliseconds(500))
    }

    @Test("a closed loop keeps as many requests open as it has users, and no more")
    func closedLoop() async throws {
        let open = OpenCount()
        let slowly: TestServer.Script = { _, _ in Answer.whole(after: .milliseconds(20)) }
        let plan = RunPlan(
            load: .closed(concurrency: 7, duration: .milliseconds(600)), timeout: .seconds(20),
            drainLimit: .seconds(20))
        let result = try await TestServer.run(slowly) { server in
            let request = try RequestTemplate(model: "toy").request(for: Prompt(.text("q")), variant: .asIs)
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 1000) { client in
                let target = CountingTarget(client, open: open) { _ in }
                return await LoadRun(plan, source: try RepeatedRequests([request]), target: target).run()
            }
        }
        #expect(open.most == 7)
        #expect(result.ending == .complete && result.records.allSatisfy { $0.outcome == .completed })
        #expect(result.records.count >= 14 && result.planned == result.records.count)
        #expect(result.records.map(\.index) == Array(0..<result.records.count))
    }
}

/// Requests that are open at a time.
private final class OpenCount: Sendable {
    private let counts = Mutex<(now: Int, most: Int)>((0, 0))
    var most: Int { counts.withLock { $0.most } }
    func began() { counts.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) } }
    func ended() { counts.withLock { $0.now -= 1 } }
}

/// A target that tells how many answers have come.
private struct CountingTarget: LoadTarget {
    private let target: OpenAIClient
    private let open: OpenCount
    private let onAnswer: @Sendable (Int) -> Void
    private let count: AnswerCount

    private final class AnswerCount: Sendable {
        private let value = Mutex(0)
        func next() -> Int {
            value.withLock { value in
                value += 1
                return value
            }
        }
    }

    init(_ target: OpenAIClient, open: OpenCount = OpenCount(), onAnswer: @escaping @Sendable (Int) -> Void) {
        self.target = target
        self.open = open
        self.onAnswer = onAnswer
        count = AnswerCount()
    }

    func send(
        _ request: PreparedRequest, timeout: Duration,
        onFirstToken: @escaping @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response {
        open.began()
        let response = await target.send(request, timeout: timeout, onFirstToken: onFirstToken)
        open.ended()
        if response.outcome == .completed { onAnswer(count.next()) }
        return response
    }
}
