import Coordinator
import Foundation
import Testing
import Wire

@Suite struct FleetStatusTests {
    private func status(_ fleet: Fleet, _ history: RecentHistory = RecentHistory()) -> FleetStatus {
        fleet.plane.status(history, takenAt: 1_000_000, now: fleet.now)
    }

    @Test func aFleetThatComesTogetherIsSeen() throws {
        var fleet = Fleet()
        var seen = status(fleet)
        #expect(seen.notReady == "0 of 2 workers are here")
        #expect(seen.pipelines.map(\.reason) == ["0 of 2 workers are here"] && seen.pipelines[0].stages.isEmpty)

        for name in ["w0", "w1", "w2"] { fleet.add(name) }
        fleet.pass(.milliseconds(600))
        seen = status(fleet)
        let pipeline = try #require(seen.pipelines.first)
        #expect(seen.notReady == nil && pipeline.isStanding && pipeline.reason == nil)
        #expect(pipeline.stages.map(\.worker) == ["w0", "w1"])
        #expect(pipeline.stages.map(\.firstLayer) == [0, 2] && pipeline.stages.map(\.lastLayer) == [1, 3])
        #expect(pipeline.stages.allSatisfy { $0.loaded == 1 && $0.isLinked && $0.kvRows == 1000 && $0.slow == nil })
        #expect(pipeline.epoch == fleet.epoch.map { "\($0)" })
        #expect(seen.spares.map(\.worker) == ["w2"] && seen.spares.first?.role == "stage")
    }

    @Test func requestsAreSeenWhereTheyAre() throws {
        var fleet = Fleet.standing(speculators: 1)
        var history = RecentHistory()
        for id in UInt64(1)...3 {
            history.began(id, name: "r\(id)", promptTokens: 8, now: fleet.now)
            fleet.begin(id, prompt: 8, prunes: id < 3)
        }
        var seen = status(fleet, history)
        #expect(seen.requests.map(\.state) == [.prefill, .waiting, .scoring])
        #expect(seen.queue.waiting == 1 && seen.queue.scoring == 1 && seen.queue.running == 1)
        #expect(seen.speculators.map(\.name) == ["s0"] && seen.speculators.first?.scoring == "1")
        let pipeline = try #require(seen.pipelines.first)
        #expect(pipeline.requests == 1 && pipeline.rowsInFlight == 8 && pipeline.microBatchesInFlight == 1)
        let batch = try #require(fleet.microBatches.first)
        fleet.answer(.outcome(fleet.outcome(batch)))
        seen = status(fleet, history)
        #expect(seen.requests.first?.state == .decode && seen.requests.first?.generatedTokens == 1)
        #expect(seen.requests.first?.pipeline == "main" && seen.pipelines.first?.decoding == 1)
    }

    /// Two stages of as many layers, one of which takes three times as long.
    @Test func whoIsSlowIsNamed() {
        var fleet = Fleet.standing()
        fleet.begin(1, maxTokens: 30)
        for _ in 0..<25 {
            guard let batch = fleet.microBatches.last else { break }
            var outcome = fleet.outcome(batch)
            outcome.stageMicroseconds = [1000, 3000]
            fleet.answer(.outcome(outcome))
        }
        let stages = status(fleet).pipelines[0].stages
        #expect(stages[0].slow == nil && stages[1].slow?.contains("3.0 times as long") == true)
    }

    @Test func aHostWithTooMuchToDoIsNamed() {
        var fleet = Fleet.standing()
        fleet.members[0].report.lateness = .milliseconds(700)
        fleet.pass(.milliseconds(300))
        let stages = status(fleet).pipelines[0].stages
        #expect(stages[0].slow?.contains("late by 700 ms") == true && stages[1].slow == nil)
    }

    @Test func itsJSONComesBackAsItWas() throws {
        var fleet = Fleet.standing(spares: 1, speculators: 1)
        var history = RecentHistory()
        history.began(1, name: "r1 \"quoted\"", promptTokens: 8, now: fleet.now)
        history.fault(place: "main", kind: "silence", reason: "worker w0", now: fleet.now)
        history.sample(ServiceMetrics(), now: fleet.now)
        fleet.begin(1, prompt: 8, prunes: true)
        let seen = status(fleet, history)
        let json = try seen.json()
        #expect(try FleetStatus(json: json) == seen)
        let text = String(decoding: json, as: UTF8.self)
        #expect(text.contains("\"prompt_tokens\":8") && text.contains("\"rows_in_flight\"") && !text.contains("\n"))
        let other = Data(text.replacing("\"version\":1", with: "\"version\":2").utf8)
        #expect(throws: DecodingError.self) { try FleetStatus(json: other) }
    }
}
