// What reports say: figures of all the runs that decided, ratios of all samples, means second by second.

import Foundation
import LoadGenerator
import Testing

@Suite("reports")
struct ReportTests {
    private static let promise = Objective(metric: .ttft, percentile: .p99, bound: .milliseconds(100))

    /// A run of requests that each take their time, due one a second.
    private func run(
        _ latencies: [Duration], rate: Double = 8, purpose: RunPurpose = .confirm, ending: RunResult.Ending = .complete,
        lateness: Duration = .zero
    ) throws -> CampaignRun {
        let records = latencies.enumerated().map { index, latency in
            let due = Duration.seconds(index)
            return RequestRecord(
                index: index, scheduled: due, sent: due + lateness, firstToken: due + latency, end: due + latency,
                tokens: 1, outcome: .completed)
        }
        let result = RunResult(
            records: records, ending: ending, planned: records.count, span: .seconds(records.count))
        let schedule = try ArrivalSchedule(.constant, rate: rate, count: records.count, seed: 1)
        return CampaignRun(
            step: RateStep(rate: rate, seed: 1, purpose: purpose), load: .open(schedule), result: result,
            judgement: Judgement(result, VerdictRules(objectives: [Self.promise])))
    }

    private func summary(_ runs: [CampaignRun], _ finding: RateFinding, name: String = "m") -> ModeSummary {
        ModeSummary(
            CampaignModeResult(name: name, address: "a", model: "m", runs: runs, finding: finding), kind: .search)
    }

    private func settings(_ kind: MeasurementKind) -> LoadSettings {
        LoadSettings(
            kind: kind, prompts: "p", slo: [],
            plan: CampaignPlan(way: .single(rate: 1), shape: .timed(.poisson, .zero)),
            maxTokens: nil, extraBody: [:], command: [], version: "0", host: "h", system: "s", startedAt: Date())
    }

    /// So many of 10 ms, and some that break the promise.
    private func latencies(_ count: Int, misses: Int = 0) -> [Duration] {
        (0..<count).map { .milliseconds($0 < misses ? 200 : 10) }
    }

    @Test("a VALID search shows what its confirmations counted together, not what the last one did")
    func pooled() throws {
        // 331 without a miss are 96 % sure, 662 with one are over 99 %.
        let runs = [
            try run(latencies(331), rate: 16, purpose: .bisect), try run(latencies(331)),
            try run(latencies(331, misses: 1)),
        ]
        let mode = summary(
            runs, RateFinding(highest: 8, lowestBroken: 16, verdict: .valid, deciding: [1, 2]))
        let objective = try #require(mode.objectives.first)
        #expect(objective.samples == 662 && objective.misses == 1 && objective.confidence >= 0.99)
        #expect(mode.headline == 2 && mode.decidedBy == [1, 2])
        #expect(try #require(mode.headlineRun?.objectives.first).confidence < 0.99)
        let measurement = Measurement(
            settings: settings(.search),
            results: [
                CampaignModeResult(
                    name: "m", address: "a", model: "m", runs: runs,
                    finding: RateFinding(highest: 8, lowestBroken: 16, verdict: .valid, deciding: [1, 2]))
            ])
        let text = SummaryText(usesColor: false).text(of: measurement)
        let line = try #require(text.split(separator: "\n").first { $0.contains("TTFT p99 <= 100 ms holds") })
        #expect(line.contains("1 of 662 miss") && line.hasSuffix("sure (2 runs)") && line.contains(" 99."), "\(line)")
        #expect(!text.contains(" of 331 miss"))
        let page = ReportPage(PageContent(measurement, objectives: [Self.promise])).html()
        #expect(page.contains("1 of 662 requests of 2 runs missed it"))
    }

    @Test("a mode without a proved rate has no number, no ratio, and shows the run that decided")
    func unconfirmed() throws {
        let runs = [
            try run(latencies(100), rate: 4, purpose: .bracket), try run(latencies(100), rate: 8, purpose: .bisect),
            try run(latencies(20), rate: 16, purpose: .bisect, ending: .deadline, lateness: .seconds(1)),
        ]
        #expect(runs[2].judgement.verdict == .invalid)
        var finding = RateFinding(
            passed: 8, lowestBroken: 32, verdict: .interrupted, reasons: ["cut"], deciding: [1])
        let open = summary(runs, finding)
        #expect(open.maxQps == nil && open.passedQps == 8 && open.headline == 1)
        let proved = summary(
            [try run(latencies(500), rate: 8)], RateFinding(highest: 8, lowestBroken: 9, verdict: .valid, deciding: [0])
        )
        for (one, two) in [(open, proved), (proved, open), (open, open)] {
            let ratios = Comparison.modes(one, against: two, seed: 1)
            #expect(ratios.filter { $0.what.hasPrefix("maximal QPS") || $0.low != nil || $0.high != nil }.isEmpty)
        }
        // Even with nothing that decided, a run that does not count is not what is shown.
        finding.deciding = []
        #expect(summary(runs, finding).headline == 1)
        // Where none counts, a search shows no run: no figure at the top, no plot over time, no word on the server.
        let late = [try run(latencies(20), rate: 26, purpose: .bracket, lateness: .seconds(1))]
        let nothing = CampaignModeResult(
            name: "m", address: "a", model: "m", runs: late,
            finding: RateFinding(verdict: .inconclusive, reasons: ["no time"]))
        #expect(late[0].judgement.verdict == .invalid)
        #expect(ModeSummary(nothing, kind: .search).headline == nil)
        #expect(ModeSummary(nothing, kind: .run).headline == 0)
        let page = ReportPage(
            PageContent(Measurement(settings: settings(.search), results: [nothing]), objectives: [Self.promise])
        ).html()
        #expect(page.contains("no run counts") && !page.contains("requests/s offered") && !page.contains("over time"))
        // A maximum that the generator could not pass is no maximum to compare.
        let limited = summary(
            [try run(latencies(500), rate: 8)], RateFinding(highest: 8, verdict: .invalid, deciding: [0]))
        #expect(!Comparison.modes(limited, against: proved, seed: 1).contains { $0.what.hasPrefix("maximal QPS") })
    }

    @Test("latencies of runs that were cut, or confirmed nothing, are not compared")
    func incomparable() throws {
        let whole = RateFinding(highest: 8, verdict: .valid, deciding: [0])
        let proved = summary([try run(latencies(500))], whole)
        #expect(Comparison.modes(proved, against: proved, seed: 1).contains { $0.what == "TTFT p99" && $0.ratio == 1 })
        let cut = summary([try run(latencies(500), ending: .lost)], whole)
        let failed = summary([try run(latencies(500))], RateFinding(passed: 8, verdict: .inconclusive, deciding: [0]))
        for other in [cut, failed] {
            #expect(!Comparison.modes(proved, against: other, seed: 1).contains { $0.what.hasPrefix("TTFT") })
        }
        // A run whose requests were sent late does not prove that the server breaks a promise.
        let late = summary(
            [try run(latencies(200, misses: 100), lateness: .seconds(1))], RateFinding(verdict: .invalid, deciding: []))
        #expect(!Comparison.modes(proved, against: late, seed: 1).contains { $0.what.hasPrefix("maximal QPS") })
    }

    @Test("ratios are of all samples, however many", arguments: [1000, 4321, 30_000])
    func allSamples(count: Int) throws {
        // Every value its own: a sample of every so many would have other percentiles.
        var random = SplitMix64(seed: 3)
        func draw(_ scale: Double) -> [Duration] {
            (0..<count).map { _ in
                .nanoseconds(Int64(scale * 1e6 * -log(Double.random(in: 0.0001..<1, using: &random))))
            }
        }
        let (slow, fast) = (draw(30), draw(10))
        let whole = RateFinding(highest: 8, verdict: .valid, deciding: [0, 1])
        // Two confirmations each: the ratios are of both together.
        func mode(_ all: [Duration]) throws -> ModeSummary {
            summary([try run(Array(all[..<(count / 3)])), try run(Array(all[(count / 3)...]))], whole)
        }
        let began = ContinuousClock.now
        let ratios = Comparison.modes(try mode(slow), against: try mode(fast), seed: 1)
        #expect(ContinuousClock.now - began < .seconds(60))
        for percentile in [Percentile.p50, .p99] {
            let ratio = try #require(ratios.first { $0.what == "TTFT \(percentile.name)" })
            let above = try #require(LatencyDistribution(samples: slow).quantile(percentile)).seconds
            let below = try #require(LatencyDistribution(samples: fast).quantile(percentile)).seconds
            #expect(abs(ratio.ratio / (above / below) - 1) < 1e-3)
            let (low, high) = (try #require(ratio.low), try #require(ratio.high))
            #expect(low < ratio.ratio && ratio.ratio < high && low > 1.5 && high < 6)
        }
        // What is written holds all of them.
        #expect(try mode(slow).runs.map(\.series.ttftMs.count).reduce(0, +) == count)
    }

    @Test("in flight is the mean over each second, also of requests that take less than one")
    func inFlight() throws {
        func record(_ index: Int, _ sent: Int, _ end: Int, _ outcome: Outcome = .completed) -> RequestRecord {
            RequestRecord(
                index: index, scheduled: .milliseconds(sent), sent: .milliseconds(sent), firstToken: nil,
                end: .milliseconds(end), tokens: 1, outcome: outcome)
        }
        let records = [
            record(0, 100, 350), record(1, 900, 1100), record(2, 0, 3500), record(3, 2000, 2000),
            record(4, 3000, 3250), record(5, 100, 3500, .failed(.unsent, detail: "")),
        ]
        let result = RunResult(records: records, ending: .complete, planned: 6, span: .seconds(3))
        let schedule = try ArrivalSchedule(.constant, rate: 2, count: 6, seed: 1)
        let timeline = RunSummary(
            result, load: .open(schedule), step: RateStep(rate: 2, seed: 1, purpose: .run),
            judgement: Judgement(result, VerdictRules())
        ).timeline
        // The last step is half a second long.
        #expect(timeline.inFlight == [1.35, 1.1, 1, 1.5])
    }

    @Test("over a run, the mean in flight is the arrival rate times the latency")
    func littlesLaw() throws {
        let schedule = try ArrivalSchedule(.poisson, rate: 50, count: 100_000, seed: 1)
        let result = QueueSimulation(service: .exponential, mean: 0.01).run(schedule, seed: 2)
        let timeline = RunSummary(
            result, load: .open(schedule), step: RateStep(rate: 50, seed: 1, purpose: .run),
            judgement: Judgement(result, VerdictRules())
        ).timeline
        let mean = timeline.inFlight.reduce(0, +) / Double(timeline.inFlight.count)
        let latency = try #require(result.distribution(of: .e2e).meanMeasured).seconds
        #expect(abs(mean / (50 * latency) - 1) < 0.02)
        #expect(timeline.inFlight.allSatisfy { $0 > 0 })
    }

    @Test("a run's text has the p95 and tokens per second")
    func text() throws {
        let plan = CampaignPlan(way: .single(rate: 8), shape: .timed(.constant, .seconds(1)))
        let settings = LoadSettings(
            kind: .run, prompts: "p", slo: [], plan: plan, maxTokens: nil, extraBody: [:], command: [], version: "0",
            host: "h", system: "s", startedAt: Date())
        let one = try run((1...200).map { .milliseconds($0) }, purpose: .run)
        let result = CampaignModeResult(
            name: "as-is", address: "a", model: "m\u{1B}[2J\n", runs: [one],
            finding: RateFinding(verdict: .inconclusive, deciding: [0]))
        let text = SummaryText(usesColor: false).text(of: Measurement(settings: settings, results: [result]))
        let lines = text.split(separator: "\n")
        #expect(lines.first { $0.hasPrefix("ms") }?.split(separator: " ") == ["ms", "p50", "p90", "p95", "p99", "max"])
        #expect(
            lines.first { $0.hasPrefix("TTFT ") }?.split(separator: " ") == ["TTFT", "100", "180", "190", "198", "200"])
        #expect(text.contains("200 tokens, 1 tokens/s"), "\(text)")
        #expect(text.contains("is broken") && text.contains("over 99.99 % sure") && !text.contains("100 % sure"))
        #expect(!text.contains("\u{1B}"))
    }

    @Test("the busiest part is named as it is called")
    func bottleneck() throws {
        func page(_ busy: Double) -> ServerCounters {
            ServerCounters(
                text: """
                    winnow_speculator_busy_seconds_total \(busy / 3)
                    winnow_stage_busy_seconds_total{stage="0"} \(busy)
                    winnow_stage_busy_seconds_total{stage="1"} \(busy / 2)
                    """)
        }
        let work = try #require(ServerWork(before: page(0), after: page(9), seconds: 10))
        #expect(work.bottleneck == "stage 0 is the bottleneck: busy 90 % of the time")
        let idle = try #require(ServerWork(before: page(0), after: page(3), seconds: 10))
        #expect(idle.bottleneck.contains("stage 0 is the busiest") && !idle.bottleneck.contains("the stage"))
    }
}
