// What a closed loop does when the server fails, and what a server may ask of it.

import Foundation
import LoadGenerator
import Testing

@Suite("backing off")
struct BackOffTests {
    private static let refused = Outcome.failed(.refused, detail: "")

    @Test("pauses double to five seconds, spread by the seed, and end with an answer")
    func pauses() {
        var one = BackOff(seed: 1)
        for expected in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5, 5, 5] {
            let pause = one.pause(after: Self.refused, retryAfter: nil)
            #expect(pause <= .seconds(expected) && pause >= .seconds(expected / 2))
        }
        #expect(one.pause(after: .completed, retryAfter: nil) == .zero)
        #expect(one.pause(after: Self.refused, retryAfter: nil) <= .milliseconds(100))
        var two = BackOff(seed: 2)
        var again = BackOff(seed: 2)
        let pause = two.pause(after: Self.refused, retryAfter: nil)
        #expect(pause == again.pause(after: Self.refused, retryAfter: nil))
        // What the server asks for is the least.
        #expect(two.pause(after: Self.refused, retryAfter: .seconds(30)) == .seconds(30))
        #expect(two.pause(after: Self.refused, retryAfter: .milliseconds(1)) >= .milliseconds(100))
    }

    @Test(
        "Retry-After is seconds or a date",
        arguments: [
            ("3", Duration.seconds(3)), (" 1.5 ", .milliseconds(1500)), ("-4", .zero), ("1e300", RetryAfter.longest),
            ("Sun, 06 Nov 1994 08:49:37 GMT", .seconds(7)), ("Sun, 06 Nov 1994 08:49:00 GMT", .zero),
            ("soon", nil), ("nan", nil), ("", nil),
        ] as [(String, Duration?)])
    func header(text: String, expected: Duration?) {
        // Seven seconds before the date.
        let now = Date(timeIntervalSince1970: 784_111_770)
        #expect(RetryAfter.delay(seconds: text, now: now) == expected)
        #expect(RetryAfter.delay(seconds: text, milliseconds: "250", now: now) == .milliseconds(250))
        #expect(RetryAfter.delay(seconds: nil, now: now) == nil)
    }

    private func closedLoop(
        users: Int, for duration: Duration, _ script: @escaping TestServer.Script
    ) async throws -> RunResult {
        try await TestServer.run(script) { server in
            let request = try RequestTemplate(model: "toy").request(for: Prompt(.text("q")), variant: .asIs)
            let plan = RunPlan(
                load: .closed(concurrency: users, duration: duration), timeout: .seconds(20), drainLimit: .seconds(20))
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 100) { client in
                await LoadRun(plan, source: try RepeatedRequests([request]), target: client).run()
            }
        }
    }

    @Test("users of a server that refuses do not spin")
    func refusing() async throws {
        // Pauses of at least 50, 100, 200 and 400 ms leave room for five requests of each user.
        let result = try await closedLoop(users: 4, for: .milliseconds(800)) { _, _ in Answer.json(503, "") }
        #expect(result.records.count >= 4 && result.records.count <= 20)
        #expect(result.ending == .complete)
    }

    @Test("users wait as long as the server says")
    func waiting() async throws {
        let result = try await closedLoop(users: 3, for: .milliseconds(600)) { _, _ in
            [.head(429, [("Retry-After", "600")]), .end]
        }
        // The run is not longer for it.
        #expect(result.records.count == 3 && result.ending == .complete && result.span <= .milliseconds(600))
    }

    @Test("a warm-up does not spin either, and leaves alone who wants to be left alone", arguments: [nil, "600"])
    func warmUp(retryAfter: String?) async throws {
        let headers = retryAfter.map { [("Retry-After", $0)] } ?? []
        let refuse: TestServer.Script = { _, _ in [.head(503, headers), .end] }
        let (measurement, time) = try await TestServer.run(refuse) { server in
            let request = try RequestTemplate(model: "toy").request(for: Prompt(.text("q")), variant: .asIs)
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 1) { client in
                let source = try RepeatedRequests([request])
                let start = ContinuousClock.now
                let measurement = await UnloadedMeasurement.measure(
                    source, count: 4, target: client, timeout: .seconds(20))
                return (measurement, ContinuousClock.now - start)
            }
        }
        #expect(measurement.records.count == (retryAfter == nil ? 4 : 1))
        #expect(retryAfter != nil || time >= .milliseconds(50 + 100 + 200))
    }

    @Test("a server that answers again is asked again")
    func recovering() async throws {
        let result = try await closedLoop(users: 1, for: .milliseconds(700)) { _, index in
            index == 0 ? Answer.json(503, "") : Answer.whole(after: .milliseconds(10))
        }
        #expect(result.records.count { $0.outcome == .completed } > 1)
    }
}
