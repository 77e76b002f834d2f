// Promises, the binomial test, and what runs say about them.

import Foundation
import LoadGenerator
import Testing

@Suite("verdicts")
struct VerdictTests {
    /// A request due at `index` seconds.
    private func record(
        _ index: Int, ttft: Duration = .milliseconds(900), _ outcome: Outcome = .completed, late: Duration = .zero
    ) -> RequestRecord {
        let due = Duration.seconds(index)
        return RequestRecord(
            index: index, scheduled: due, sent: due + late, firstToken: due + ttft,
            end: due + ttft + .milliseconds(100), tokens: 3, outcome: outcome)
    }

    private func judge(
        _ records: [RequestRecord], _ ending: RunResult.Ending = .complete, planned: Int? = nil,
        levels: [String] = ["ttft:p99:1s"], minimumDuration: Duration = .zero
    ) throws -> Judgement {
        let objectives = try levels.compactMap { try ServiceLevel(parsing: $0).objective(unloaded: nil) }
        return Judgement(
            RunResult(
                records: records, ending: ending, planned: planned ?? records.count, span: .seconds(records.count)),
            VerdictRules(objectives: objectives, minimumDuration: minimumDuration))
    }

    @Test("promises are read, with percentiles and multiples")
    func parsing() throws {
        let level = try ServiceLevel(parsing: "ttft:p99.9:1.5s")
        #expect(level.metric == .ttft && level.percentile.millionths == 999_000)
        #expect(level.bound == .time(.milliseconds(1500)))
        let relative = try ServiceLevel(parsing: "e2e:p50:3x")
        #expect(relative.isRelative && relative.objective(unloaded: nil) == nil)
        #expect(relative.objective(unloaded: .seconds(2))?.bound == .seconds(6))
    }

    @Test(
        "promises that are none are refused, naming the part",
        arguments: [
            ("", "METRIC:PERCENTILE:BOUND"), ("ttft:p99", "METRIC:PERCENTILE:BOUND"), ("latency:p99:2s", "latency"),
            ("ttft:p100:2s", "p100"), ("ttft:99th:2s", "99th"), ("ttft:p99:fast", "fast"), ("ttft:p99:0s", "0s"),
            ("ttft:p99:-1s", "-1s"), ("ttft:p99:0x", "0x"), ("ttft:p99:2s:3", "METRIC"),
            ("ttft:p99.99999:2s", "p99.99999"),
        ])
    func badPromises(text: String, named: String) {
        let error = #expect(throws: LoadGeneratorError.self) { _ = try ServiceLevel(parsing: text) }
        #expect(error?.kind == .usage && error?.description.contains(named) == true)
    }

    @Test("the binomial test needs as many samples as MLPerf's tables say")
    func samples() {
        #expect(BinomialTest.samplesNeeded(misses: 0, .p99, confidence: 0.99) == 459)
        #expect(BinomialTest.samplesNeeded(misses: 1, .p99, confidence: 0.99) == 662)
        #expect(BinomialTest.samplesNeeded(misses: 0, .p90, confidence: 0.99) == 44)
        #expect(
            (try? Percentile(parsing: "p95")).map { BinomialTest.samplesNeeded(misses: 0, $0, confidence: 0.99) } == 90)
        #expect(
            (try? Percentile(parsing: "p99.9")).map { BinomialTest.samplesNeeded(misses: 0, $0, confidence: 0.99) }
                == 4603)
    }

    @Test("a breach is proved by misses that would be rare on the edge of the promise")
    func breach() {
        #expect(BinomialTest.confidenceOfBreach(misses: 0, of: 1000, .p99) == 0)
        #expect(abs(BinomialTest.confidenceOfBreach(misses: 1, of: 1, .p99) - 0.99) < 1e-12)
        // 1 - 0.99^3 - 3 * 0.01 * 0.99^2 of at least two misses.
        #expect(abs(BinomialTest.confidenceOfBreach(misses: 2, of: 3, .p99) - (1 - 0.000298)) < 1e-9)
        #expect(BinomialTest.confidenceOfBreach(misses: 5, of: 50, .p99) > 0.999)
        #expect(BinomialTest.confidenceOfBreach(misses: 5, of: 459, .p99) < 0.7)
    }

    @Test("requests that a lost run gave up count only where they had waited too long")
    func givenUp() {
        let objective = Objective(metric: .ttft, percentile: .p99, bound: .seconds(1))
        let unfinished = Outcome.failed(.unfinished, detail: "")
        func open(_ index: Int, _ waited: Duration, firstToken: Duration? = nil) -> RequestRecord {
            RequestRecord(
                index: index, scheduled: .zero, sent: .zero, firstToken: firstToken, end: waited, tokens: 0,
                outcome: unfinished)
        }
        let records = [
            open(0, .seconds(2)), open(1, .milliseconds(500)), open(2, .seconds(3), firstToken: .milliseconds(10)),
        ]
        func judge(_ ending: RunResult.Ending) -> ObjectiveResult? {
            Judgement(
                RunResult(records: records, ending: ending, planned: 10, span: .seconds(3)),
                VerdictRules(objectives: [objective])
            ).objectives.first
        }
        #expect(judge(.lost)?.samples == 1 && judge(.lost)?.misses == 1)
        #expect(judge(.complete)?.samples == 3 && judge(.complete)?.misses == 3)
    }

    @Test("the cumulative distribution is that of plain summation, in both tails")
    func cumulative() {
        for (count, probability) in [(1, 0.3), (20, 0.01), (20, 0.5), (60, 0.9)] {
            var term = pow(1 - probability, Double(count))
            var sum = 0.0
            for misses in 0..<count {
                sum += term
                term *= Double(count - misses) / Double(misses + 1) * probability / (1 - probability)
                let value = BinomialTest.cumulative(misses, of: count, probability: probability)
                #expect(abs(value - sum) < 1e-12)
            }
            #expect(BinomialTest.cumulative(count, of: count, probability: probability) == 1)
            #expect(BinomialTest.cumulative(-1, of: count, probability: probability) == 0)
        }
        // The normal approximation, far from where plain summation works.
        #expect(abs(BinomialTest.cumulative(100_000, of: 1_000_000, probability: 0.1) - 0.5) < 0.01)
    }

    @Test("so many misses are allowed and not one more", arguments: [100, 459, 1000, 5000, 100_000])
    func allowance(count: Int) {
        for percentile in [Percentile.p50, .p90, .p99] {
            let allowed = BinomialTest.allowedMisses(of: count, percentile, confidence: 0.99)
            guard let allowed else {
                #expect(percentile == .p99 && count < 459)
                continue
            }
            #expect(BinomialTest.proves(misses: allowed, of: count, percentile, confidence: 0.99))
            #expect(!BinomialTest.proves(misses: allowed + 1, of: count, percentile, confidence: 0.99))
        }
    }

    @Test("a clean run of 459 is VALID at p99, one of 458 is not")
    func valid() throws {
        #expect(try judge((0..<459).map { record($0) }).verdict == .valid)
        let short = try judge((0..<458).map { record($0) })
        #expect(short.verdict == .inconclusive && short.isPassing)
        #expect(short.reasons.first?.contains("459 requests") == true)
        let brief = try judge((0..<459).map { record($0) }, minimumDuration: .seconds(600))
        #expect(brief.verdict == .inconclusive)
    }

    @Test("failures, refusals and time-outs are misses")
    func misses() throws {
        let clean = (0..<150).map { record($0) }
        for outcome in [Outcome.failed(.timeout, detail: ""), .failed(.refused, detail: "")] {
            let one = try judge(clean.dropLast() + [record(149, outcome)])
            #expect(one.verdict == .inconclusive && one.objectives[0].misses == 1)
            let two = try judge(clean.dropLast(2) + [148, 149].map { record($0, outcome) })
            #expect(two.verdict == .missed)
        }
    }

    @Test("VALID is for kept promises: a run without any is MEASURED, and MISSED where requests fail")
    func noPromise() throws {
        let refused = Outcome.failed(.refused, detail: "status 503")
        #expect(try judge([record(0, ttft: .seconds(2))], levels: []).verdict == .measured)
        #expect(try judge([], levels: []).verdict == .inconclusive)
        let none = try judge((0..<10).map { record($0, refused) }, levels: [])
        #expect(none.verdict == .missed && none.reasons == ["none of 10 requests was answered"])
        let one = try judge([record(0)] + (1..<6632).map { record($0, refused) }, levels: [])
        #expect(one.verdict == .missed && one.reasons == ["6631 of 6632 requests failed"] && !one.isPassing)
        // 1 in 100 is forgiven, two are not.
        for failures in 1...2 {
            let run = try judge((0..<100).map { record($0, $0 < failures ? refused : .completed) }, levels: [])
            #expect(run.verdict == (failures == 1 ? .measured : .missed))
        }
    }

    @Test("a promise that applies to no request is neither kept nor broken")
    func notApplicable() throws {
        let single = (0..<500).map { index in
            RequestRecord(
                index: index, scheduled: .seconds(index), sent: .seconds(index), firstToken: .seconds(index),
                end: .seconds(index), tokens: 1, outcome: .completed)
        }
        let run = try judge(single, levels: ["tpot:p99:1s"])
        #expect(run.verdict == .inconclusive && run.objectives[0].samples == 0)
        #expect(run.reasons.first?.contains("all at once") == true)
    }

    @Test("a promise is held against several runs as against one")
    func pooled() throws {
        let objective = Objective(metric: .ttft, percentile: .p99, bound: .seconds(1))
        let halves = [(0..<300), (300..<662)].map { range in
            RunResult(
                records: range.map { record($0, ttft: .milliseconds($0 == 400 ? 1500 : 900)) }, ending: .complete,
                planned: range.count, span: .seconds(range.count))
        }
        let together = ObjectiveResult(objective, halves)
        #expect(together.samples == 662 && together.misses == 1 && together.confidence >= 0.99)
        #expect(together.observed == .milliseconds(900))
        #expect(halves.allSatisfy { ObjectiveResult(objective, [$0]).confidence < 0.99 })
    }

    @Test("several promises hold together, and goodput counts requests that keep all")
    func several() throws {
        let records = (0..<1000).map { record($0, ttft: .milliseconds($0 < 300 ? 500 : 900)) }
        let both = try judge(records, levels: ["ttft:p99:1s", "e2e:p90:700ms"])
        #expect(both.verdict == .missed)
        #expect(both.objectives.map(\.isObserved) == [true, false])
        #expect(abs(both.goodput - 0.3) < 1e-9)
    }

    @Test("a run that was ended says nothing, unless it was lost already")
    func ended() throws {
        let fast = (0..<10).map { record($0) }
        #expect(try judge(fast, .interrupted, planned: 1000).verdict == .interrupted)
        let slow = (0..<30).map { record($0, ttft: .seconds(3)) }
        #expect(try judge(slow, .interrupted, planned: 1000).verdict == .missed)
        #expect(try judge(slow, .lost, planned: 1000).verdict == .missed)
    }

    @Test("a generator that is late makes the run INVALID, not slow")
    func invalid() throws {
        let late = (0..<500).map { record($0, ttft: .seconds(3), late: .milliseconds($0 % 50 == 0 ? 800 : 1)) }
        #expect(try judge(late).verdict == .invalid)
        // 20 ms late is nothing beside 3 s.
        let hardly = (0..<500).map { record($0, ttft: .seconds(3), late: .milliseconds(20)) }
        #expect(try judge(hardly).verdict == .missed)
        let unsent = (0..<500).map { record($0, $0 == 7 ? .failed(.unsent, detail: "") : .completed) }
        #expect(try judge(unsent).verdict == .invalid)
    }

    @Test("the paper's rule forgives four time-outs")
    func paper() {
        func run(_ timeouts: Int) -> RunResult {
            let records = (0..<128).map { record($0, $0 < timeouts ? .failed(.timeout, detail: "") : .completed) }
            return RunResult(records: records, ending: .complete, planned: 128, span: .seconds(128))
        }
        #expect(Judgement(paper: run(4)).verdict == .valid)
        #expect(Judgement(paper: run(5)).verdict == .missed)
        // Fewer requests than the rule forgives, and none of them answered.
        let few = (0..<3).map { record($0, .failed(.timeout, detail: "")) }
        let dead = RunResult(records: few, ending: .complete, planned: 3, span: .seconds(3))
        #expect(Judgement(paper: dead).verdict == .missed)
        #expect(
            PaperRule.regimes([(.seconds(1), true), (.seconds(1.2), true), (.seconds(4), true), (nil, false)])
                == [.constant, .constant, .rising, .timeout])
    }
}
