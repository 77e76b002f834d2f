// Whole campaigns against a real server whose maximal rate is known.

import Foundation
import LoadGenerator
import Synchronization
import Testing

@Suite("campaigns", .serialized)
struct CampaignTests {
    private func campaign(
        _ plan: CampaignPlan, variants: [RequestVariant] = [.asIs], _ script: @escaping TestServer.Script
    ) async throws -> (modes: [CampaignModeResult], objectives: [Objective]) {
        try await TestServer.run(script) { server in
            let template = try RequestTemplate(model: "toy")
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 2000) { client in
                let modes = try variants.map { variant in
                    CampaignMode(
                        name: variant.name, address: client.address, model: "toy", target: client,
                        source: try RepeatedRequests([template.request(for: Prompt(.text("q")), variant: variant)]))
                }
                let campaign = Campaign(plan, modes: modes)
                return try await Task(executorPreference: OwnThread.shared) { try await campaign.run() }.value
            }
        }
    }

    private static func settings(_ kind: MeasurementKind, _ plan: CampaignPlan) -> LoadSettings {
        LoadSettings(
            kind: kind, prompts: "p", slo: plan.levels.map(\.text), plan: plan, maxTokens: nil, extraBody: [:],
            command: [], version: "0", host: "here", system: "any", startedAt: Date(timeIntervalSince1970: 0))
    }

    @Test("a search measures the modes in turns, and reports all of it")
    func search() async throws {
        // One mode is always answered, the other always refused, and the promise is so wide that nothing here hangs on how
        // busy this machine is: on one core other tests have kept answers back for 12 s. SearchTests hold the statistics.
        let plan = CampaignPlan(
            way: .search(start: 50, ceiling: 100, precision: 0.1, confirmations: 2),
            shape: .counted(.poisson, .milliseconds(100), minimum: 44),
            levels: [try ServiceLevel(parsing: "ttft:p90:5000x")], timeout: .seconds(60), drainLimit: .seconds(60),
            maximumLateness: .seconds(60))
        let (modes, objectives) = try await campaign(plan, variants: [.dense, .keep(0.1), .keep(0.2)]) { request, _ in
            request.body.contains(#""keep_rate":0.1"#) ? Answer.json(503, "") : Answer.whole(after: .milliseconds(10))
        }
        #expect(try #require(objectives.first?.bound) >= .seconds(50))
        for mode in [modes[0], modes[2]] {
            let why = Comment(rawValue: mode.runs.map { "\($0.step): \($0.judgement.reasons)" }.joined(separator: "\n"))
            let isProved = mode.finding.verdict == .valid && mode.finding.highest == 100
            #expect(isProved && mode.finding.lowestBroken == nil, why)
            #expect(mode.runs.map(\.step.purpose) == [.bracket, .bracket, .confirm, .confirm], why)
        }
        #expect(modes[1].finding.verdict == .missed && modes[1].finding.highest == nil)
        #expect(modes[1].runs.isEmpty && modes[1].finding.reasons.first?.contains("503") == true)
        let measurement = Measurement(settings: Self.settings(.search, plan), results: modes)
        let ratio = try #require(measurement.comparisons.first { $0.what == "maximal QPS" })
        #expect(ratio.of == "keep 0.2" && ratio.ratio == 1)
        let page = ReportPage(PageContent(measurement, objectives: objectives)).html()
        #expect(page.contains("<svg") && page.contains("VALID") && page.contains("MISSED"))
        let data = try ReportFile.json(measurement)
        let fields = try JSONValue.object(parsing: String(decoding: data, as: UTF8.self), place: "report")
        for key in [
            "verdict", "max_qps", "offered_rate", "achieved_rate", "ttft_ms", "tpot_ms", "e2e_ms", "completed",
            "failed",
            "late_sends", "seed", "schema_version", "schedule_hash",
        ] {
            #expect(fields[key] != nil, "\(key) is missing")
        }
        // What is written can be read again.
        let file = FileManager.default.temporaryDirectory.appending(path: "winnow-report-\(UUID().uuidString).json")
        try data.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let read = try MeasurementFile(file: file.path)
        #expect(read.modes == measurement.modes)
        let compared = try Comparison.files(read, read, names: ("a", "b"))
        #expect(compared.filter { $0.what == "TTFT p50" }.allSatisfy { $0.ratio == 1 } && compared.count > 4)
    }

    @Test("a base without a maximum, but with a rate that was proved too much, says what the ratio is at least")
    func atLeast() throws {
        func summary(_ highest: Double?, _ broken: Double?, bound: Duration) throws -> ModeSummary {
            let objective = Objective(metric: .ttft, percentile: .p99, bound: bound)
            let schedule = try ArrivalSchedule(.poisson, rate: 50, count: 50, seed: 1)
            let result = QueueSimulation(service: .exponential, mean: 0.01).run(schedule, seed: 1)
            let run = CampaignRun(
                step: RateStep(rate: 50, seed: 1, purpose: .rung), load: .open(schedule), result: result,
                judgement: Judgement(result, VerdictRules(objectives: [objective])))
            return ModeSummary(
                CampaignModeResult(
                    name: "m", address: "a", model: "m", runs: [run],
                    finding: RateFinding(highest: highest, lowestBroken: broken, verdict: .valid)), kind: .ladder)
        }
        // The only run, at 50/s, breaks a bound of a microsecond for certain, and one of a second never.
        let base = try summary(nil, 50, bound: .microseconds(1))
        let faster = try summary(400, nil, bound: .seconds(1))
        let ratio = try #require(
            Comparison.modes(faster, against: base, seed: 1).first { $0.what == "maximal QPS, at least" })
        #expect(ratio.ratio == 8 && ratio.low == 8 && ratio.high == nil)
        // A rate that was only measured as broken proves nothing.
        let lucky = try summary(nil, 50, bound: .seconds(1))
        for other in [lucky, base] {
            let ratios = Comparison.modes(other == lucky ? faster : base, against: other, seed: 1)
            #expect(!ratios.contains { $0.what.hasPrefix("maximal QPS") })
        }
    }

    @Test("the paper's ladder goes up to the rate at which more than four requests time out")
    func paper() async throws {
        // At the last rate the server answers no more.
        let answered = 100 + 100 + 2
        let plan = CampaignPlan(
            way: .paper(try LadderRates([200, 300, 400])), shape: .counted(.constant, .zero, minimum: 100), warmUp: 0,
            timeout: .seconds(5), drainLimit: .seconds(20), maximumLateness: .seconds(20))
        let (modes, _) = try await campaign(plan) { _, index in
            // Three requests without load and one before each rung come on top.
            index < answered + 3 ? Answer.whole() : [.wait(.seconds(600)), .close]
        }
        let mode = ModeSummary(modes[0], kind: .paper)
        #expect(mode.maxQps == 300 && mode.maxQpsBroken == 400)
        #expect(mode.regimes?.first == .constant && mode.regimes?.last == .timeout && mode.runs.count == 3)
        #expect(mode.runs.map(\.arrivals) == ["constant", "constant", "constant"])
    }

    @Test("a promise that no request keeps even alone ends a search; one slow moment does not")
    func slowAlone() async throws {
        let plan = CampaignPlan(
            way: .search(start: 50, ceiling: 50, precision: 0.5, confirmations: 1),
            shape: .counted(.constant, .zero, minimum: 5), levels: [try ServiceLevel(parsing: "ttft:p50:2s")],
            timeout: .seconds(20), drainLimit: .seconds(20), maximumLateness: .seconds(20))
        // One request to warm up, three alone: of those two are slow.
        let (one, _) = try await campaign(plan) { _, index in
            Answer.whole(after: (1...2).contains(index) ? .milliseconds(2200) : .zero)
        }
        #expect(!one[0].runs.isEmpty && one[0].finding.passed == 50)
        let (all, _) = try await campaign(plan) { _, index in
            Answer.whole(after: .milliseconds(index == 0 ? 0 : 2200))
        }
        #expect(all[0].runs.isEmpty && all[0].finding.verdict == .missed)
        #expect(all[0].finding.reasons.first?.contains("even without load") == true)
    }

    @Test("a ladder says that it is quick; its top is no maximum")
    func ladder() async throws {
        let plan = CampaignPlan(
            way: .ladder(try LadderRates([40, 80])), shape: .counted(.poisson, .milliseconds(100), minimum: 10),
            levels: [try ServiceLevel(parsing: "ttft:p99:15s")], timeout: .seconds(20), drainLimit: .seconds(20),
            maximumLateness: .seconds(20))
        let (modes, _) = try await campaign(plan) { _, _ in Answer.whole() }
        #expect(modes[0].finding.passed == 80 && modes[0].finding.lowestBroken == nil)
        #expect(modes[0].finding.highest == nil)
        #expect(modes[0].finding.verdict == .inconclusive)
        #expect(modes[0].runs.map(\.judgement.verdict) == [.inconclusive, .inconclusive])
    }

    @Test("the time given ends a search with what is known")
    func budget() async throws {
        let plan = CampaignPlan(
            way: .search(start: 5, ceiling: 1000, precision: 0.05, confirmations: 2),
            shape: .counted(.constant, .milliseconds(800), minimum: 4),
            levels: [try ServiceLevel(parsing: "ttft:p50:15s")], timeout: .seconds(20), drainLimit: .seconds(20),
            budget: .seconds(2), maximumLateness: .seconds(20))
        let (modes, _) = try await campaign(plan) { _, _ in Answer.whole() }
        #expect(!modes[0].runs.isEmpty && modes[0].runs.count < 10)
        #expect(modes[0].finding.verdict == .inconclusive && modes[0].finding.highest == nil)
        #expect(modes[0].finding.passed != nil)
        // What is shown is a run at a rate that passed, not the one that was cut.
        let mode = ModeSummary(modes[0], kind: .search)
        #expect(mode.maxQps == nil && mode.passedQps == modes[0].finding.passed)
        let shown = try #require(mode.headlineRun)
        #expect(shown.offeredRate == mode.passedQps && shown.ending == .complete)
        let measurement = Measurement(settings: Self.settings(.search, plan), results: modes)
        let text = SummaryText(usesColor: false).text(of: measurement)
        #expect(text.contains("no maximal QPS (") && text.contains("passed unproved"), "\(text)")
    }

    @Test("a run that is too long for the time given can still break a promise, and leaves time for the others")
    func shares() async throws {
        let plan = CampaignPlan(
            way: .ladder(try LadderRates([20])), shape: .counted(.constant, .zero, minimum: 400),
            levels: [try ServiceLevel(parsing: "ttft:p99:2s")], timeout: .seconds(20), drainLimit: .seconds(20),
            budget: .seconds(8), maximumLateness: .seconds(20))
        let denseRequests = Mutex(0)
        let (modes, objectives) = try await campaign(plan, variants: [.dense, .keep(0.1)]) { request, _ in
            if request.body.contains(#""keep_rate":0.1"#) { return Answer.whole() }
            // Warm-up, three alone, and one before the rung are answered.
            let index = denseRequests.withLock { count in
                count += 1
                return count
            }
            return index <= 5 ? Answer.whole() : [.wait(.seconds(600)), .close]
        }
        #expect(modes[0].finding.verdict == .missed && modes[0].finding.lowestBroken == 20)
        #expect(modes[0].runs.count == 1 && modes[0].runs.first?.result.ending == .lost)
        // The rest of its 20 seconds was not used.
        #expect(try #require(modes[0].runs.first?.result.span) < .seconds(10))
        #expect(modes[1].finding.verdict == .inconclusive && modes[1].runs.count == 1)
        let cut = try #require(modes[1].runs.first)
        #expect(cut.result.ending == .deadline && cut.judgement.verdict == .interrupted)
        #expect(cut.result.records.count > 10 && cut.result.records.count < 400)
        #expect(objectives.count == 1)
    }

    @Test("an absent server is an error, one that only fails is measured")
    func absent() async throws {
        let plan = CampaignPlan(
            way: .search(start: 100, ceiling: 1000, precision: 0.5, confirmations: 1),
            shape: .counted(.constant, .zero, minimum: 5), levels: [try ServiceLevel(parsing: "ttft:p50:5s")],
            timeout: .seconds(20), drainLimit: .seconds(20), maximumLateness: .seconds(20))
        let (modes, _) = try await campaign(plan) { _, _ in Answer.json(500, "") }
        #expect(modes[0].finding.verdict == .missed && modes[0].finding.highest == nil && modes[0].runs.isEmpty)
        #expect(modes[0].unanswered?.contains("500") == true)
        let single = CampaignPlan(
            way: .single(rate: 100), shape: .timed(.constant, .milliseconds(50)), timeout: .seconds(20),
            drainLimit: .seconds(20), maximumLateness: .seconds(20))
        let (refused, _) = try await campaign(single) { _, _ in Answer.json(503, "") }
        #expect(refused[0].unanswered?.contains("503") == true)
        #expect(refused[0].runs[0].judgement.verdict == .missed)
        let (answered, _) = try await campaign(single) { _, _ in Answer.whole() }
        #expect(answered[0].unanswered == nil && answered[0].runs[0].judgement.verdict == .measured)
        let address = try await TestServer.run(Answer.nothing) { $0.address }
        let error = await #expect(throws: LoadGeneratorError.self) {
            try await OpenAIClient.withClient(address: address, connectionLimit: 10) { client in
                let request = try RequestTemplate(model: "toy").request(for: Prompt(.text("q")), variant: .asIs)
                let mode = CampaignMode(
                    name: "m", address: address, model: "toy", target: client, source: try RepeatedRequests([request]))
                _ = try await Campaign(plan, modes: [mode]).run()
            }
        }
        #expect(error?.kind == .unreachable)
    }

    @Test("ratios of one series with itself are 1, and their interval holds it")
    func comparing() throws {
        let queue = QueueSimulation(service: .exponential, mean: 0.01)
        let schedule = try ArrivalSchedule(.poisson, rate: 50, count: 2000, seed: 1)
        func summary(_ seed: UInt64) -> RunSummary {
            let result = queue.run(schedule, seed: seed)
            return RunSummary(
                result, load: .open(schedule), step: RateStep(rate: 50, seed: 1, purpose: .run),
                judgement: Judgement(result, VerdictRules()))
        }
        let data = try ReportFile.json(summary(3))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        #expect(try decoder.decode(RunSummary.self, from: data) == summary(3))
        let parsed = ServerCounters(
            text: """
                # HELP a b
                a_total{stage="0",worker="w \\"x\\" \\n\\\\"} 3e-06
                b 2
                nonsense
                c{x="unclosed} 4
                d NaN
                """)
        #expect(parsed.samples.count == 2 && parsed.samples[0].labels["worker"] == "w \"x\" \n\\")
        #expect(parsed.named("a_total").first?.value == 3e-06)
    }
}
