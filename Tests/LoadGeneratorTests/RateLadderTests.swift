// The ladder's decisions and a run's summary, on made-up records.

import Foundation
import LoadGenerator
import Testing

@Suite("rate ladder and summary")
struct RateLadderTests {
    /// A request due at `index` seconds.
    private func record(_ index: Int, ttft: Duration, _ outcome: Outcome = .completed, tokens: Int = 3) -> RequestRecord
    {
        let due = Duration.seconds(index)
        return RequestRecord(
            index: index, scheduled: due, sent: due + .milliseconds(index == 0 ? 8 : 1), firstToken: due + ttft,
            end: due + ttft + .milliseconds(100), tokens: tokens, outcome: outcome)
    }

    private func verdict(_ records: [RequestRecord], _ ending: RunResult.Ending = .complete) -> RungVerdict {
        RungVerdict(RunResult(records: records, ending: ending), bound: .seconds(1))
    }

    @Test("ladders are read as lists or as start, factor and steps")
    func parsing() throws {
        #expect(try LadderRates(parsing: "0.5,1, 2,4").rates == [0.5, 1, 2, 4])
        #expect(try LadderRates(parsing: "0.5:2:4").rates == [0.5, 1, 2, 4])
        #expect(try LadderRates(parsing: "3").rates == [3])
        for text in [
            "", "1,,2", "2,1", "1,1", "0,1", "-1", "nan", "inf", "a", "1:1:3", "1:2:0", "1:2:999", "1:2", "1:2:3:4",
        ] {
            #expect(throws: LoadGeneratorError.self) { _ = try LadderRates(parsing: text) }
        }
    }

    @Test("a run passes when no request fails and the p99 keeps the bound")
    func verdicts() {
        let fast = (0..<150).map { record($0, ttft: .milliseconds(900)) }
        #expect(verdict(fast) == .pass)
        #expect(verdict(Array(fast.dropLast()) + [record(149, ttft: .seconds(9))]) == .pass)
        #expect(verdict(Array(fast.dropLast(2)) + [148, 149].map { record($0, ttft: .seconds(9)) }) == .slow)
        #expect(verdict(fast.dropLast() + [record(149, ttft: .zero, .failed(.refused, detail: ""))]) == .failures)
        #expect(verdict([record(0, ttft: .seconds(1))]) == .pass)
        #expect(verdict([record(0, ttft: .zero, .failed(.unfinished, detail: ""))]) == .slow)
        #expect(verdict(fast, .interrupted) == .incomplete)
        #expect(verdict(fast, .deadline) == .incomplete)
        #expect(verdict([]) == .slow)
    }

    @Test("modes climb side by side and leave one by one")
    func climb() throws {
        var climb = LadderClimb(try LadderRates([1, 2, 4]), modes: 3)
        var seen: [String] = []
        // Mode 0 breaks at 2, mode 1 at 1, mode 2 reaches the top.
        let breaks = [2.0, 1, 99]
        while let rung = climb.next {
            seen.append("\(rung.mode)@\(Int(rung.rate))")
            climb.record(rung.rate >= breaks[rung.mode] ? .slow : .pass)
        }
        #expect(seen == ["0@1", "1@1", "2@1", "0@2", "2@2", "2@4"])
        #expect(climb.highestPassing == [1, nil, 4])
    }

    @Test("a summary counts failures as misses, and late sends, tokens and rates")
    func summary() throws {
        let schedule = try ArrivalSchedule(.constant, rate: 1, duration: .seconds(10), seed: 3)
        let records =
            (0..<8).map { record($0, ttft: .milliseconds(100 * ($0 + 1))) } + [
                record(8, ttft: .milliseconds(1), .failed(.timeout, detail: "late")),
                record(9, ttft: .milliseconds(1), .interrupted),
            ]
        let summary = RunSummary(
            RunResult(records: records, ending: .interrupted), mode: "dense", schedule: schedule)
        #expect(summary.requests == 10 && summary.completed == 8 && summary.interrupted == 1)
        #expect(summary.failed["timeout"] == 1 && summary.failedTotal == 1)
        #expect(summary.failureExamples == ["timeout": "late"])
        #expect(summary.ttftMs.count == 9 && summary.ttftMs.p50 == 500 && summary.ttftMs.p90 == nil)
        #expect(summary.ttftMs.max == nil && summary.ttftMs.maxMeasured == 800)
        #expect(summary.tpotMs.p50 == 50)
        #expect(summary.e2eMs.p50 == 600)
        #expect(summary.lateSends == 1 && summary.sendLatenessMs.max == 8)
        #expect(summary.outputTokens == 24)
        #expect(summary.offeredRate == 1 && summary.achievedRate == 0.8)
        #expect(summary.accuracy == nil)
    }

    @Test("the JSON has its fields in snake case, null where nothing is known, and the text its table")
    func reports() throws {
        let schedule = try ArrivalSchedule(.constant, rate: 1, duration: .seconds(1), seed: 3)
        let result = RunResult(
            records: [record(0, ttft: .zero, .failed(.refused, detail: "status 429"))], ending: .complete)
        let settings = LoadSettings(
            target: "http://h", model: "toy", prompts: "p", promptCount: 1, arrivals: .constant, seed: 3,
            duration: .seconds(1), timeout: .seconds(2), drainLimit: .seconds(2), warmUp: 1, maxTokens: nil,
            extraBody: ["topP": .integer(1)], host: "here", startedAt: .init(timeIntervalSince1970: 0))
        let report = RunReport(settings: settings, summary: RunSummary(result, mode: "dense", schedule: schedule))
        let json = String(decoding: try ReportFile.json(report), as: UTF8.self)
        let fields = try JSONValue.object(parsing: json, place: "report")
        #expect(fields["schema_version"] == .integer(1))
        #expect(fields["seed"] == .integer(3))
        #expect(fields["max_tokens"] == .null && fields["accuracy"] == .null)
        #expect(fields["extra_body"] == .object(["topP": .integer(1)]))
        let empty: [String: JSONValue] = [
            "p50": .null, "p90": .null, "p99": .null, "max": .null, "max_measured": .null, "count": .integer(1),
        ]
        #expect(fields["ttft_ms"] == .object(empty) && fields["e2e_ms"] == .object(empty))
        #expect(
            fields["tpot_ms"] != nil && fields["late_sends"] == .integer(1) && fields["offered_rate"] == .integer(1))
        let text = SummaryText(usesColor: false).text(of: report)
        #expect(text.contains("completed 0 of 1, failed 1"))
        #expect(text.contains("1 refused: status 429"))
        #expect(text.contains("TTFT  miss"))
    }
}
