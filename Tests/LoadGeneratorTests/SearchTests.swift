// The search against queues whose answer is known, and its ways through odd servers.

import Foundation
import LoadGenerator
import Testing

@Suite("the search for the maximal rate")
struct SearchTests {
    /// Runs a search in simulated time: what the campaign does, without a clock.
    private func search(
        _ queue: QueueSimulation, _ objective: Objective, samples: Int, precision: Double, seed: UInt64
    ) throws -> RateFinding {
        var search = MaximalRateSearch(
            .init(start: 0.5 / queue.mean, precision: precision, confirmations: 2, seed: seed))
        while let step = search.next {
            let count = step.purpose == .bracket ? samples / 2 : samples
            let schedule = try ArrivalSchedule(.poisson, rate: step.rate, count: count, seed: step.seed)
            let result = queue.run(schedule, seed: step.seed ^ 0x5eed)
            let judgement = Judgement(result, VerdictRules(objectives: [objective]))
            let evidence = judgement.objectives.map {
                Evidence($0.objective.percentile, samples: $0.samples, misses: $0.misses)
            }
            search.record(StepOutcome(judgement), evidence)
        }
        return search.finding
    }

    @Test(
        "finds what queueing theory says, within 5 % in at least 9 of 10 seeds",
        arguments: [QueueSimulation.Service.constant, .exponential])
    func queues(service: QueueSimulation.Service) throws {
        let queue = QueueSimulation(service: service, mean: 0.010)
        for (percentile, bound, samples) in [
            (Percentile.p90, Duration.milliseconds(service == .constant ? 45 : 90), 12_000),
            (Percentile.p99, Duration.milliseconds(service == .constant ? 90 : 200), 40_000),
        ] {
            let truth = queue.maximalRate(percentile, bound: bound)
            let objective = Objective(metric: .ttft, percentile: percentile, bound: bound)
            let findings = try (1...20).map { seed in
                try search(queue, objective, samples: samples, precision: 0.02, seed: UInt64(seed))
            }
            let errors = findings.map { ($0.highest ?? 0) / truth - 1 }
            print(
                "\(service) \(percentile.name): truth \(truth)/s, errors \(errors.map { Int(($0 * 1000).rounded()) }) per mille"
            )
            #expect(findings.allSatisfy { $0.verdict == .valid })
            #expect(errors.count { abs($0) <= 0.05 } >= 18)
        }
    }

    /// A server that keeps its promise up to a rate, and a generator that keeps up to another.
    private func search(
        server: Double, generator: Double = .infinity, ceiling: Double = 1000, lateRuns: Set<Int> = [],
        isProvable: Bool = true
    ) -> (finding: RateFinding, steps: [RateStep]) {
        var search = MaximalRateSearch(.init(start: 10, ceiling: ceiling, confirmations: 2, seed: 1))
        var steps: [RateStep] = []
        while let step = search.next {
            steps.append(step)
            let holds = step.rate <= server
            let outcome: StepOutcome =
                step.rate > generator || lateRuns.contains(steps.count - 1)
                ? .invalid : !holds ? .broken : isProvable ? .proved : .holds
            let samples = isProvable ? 1000 : 10
            search.record(outcome, [Evidence(.p99, samples: samples, misses: holds ? 0 : samples / 2)])
        }
        return (search.finding, steps)
    }

    @Test("a steady server's limit is found from below, wherever it lies", arguments: [0.7, 9, 10, 11, 63, 640])
    func steady(limit: Double) {
        let (finding, steps) = search(server: limit)
        #expect(finding.verdict == .valid)
        #expect(finding.highest.map { $0 <= limit && $0 * 1.05 >= limit } == true)
        #expect(finding.lowestBroken.map { $0 > limit } == true)
        #expect(Set(steps.map(\.seed)).count == steps.count)
        #expect(steps.suffix(3).map(\.purpose) == [.confirm, .confirm, .confirm])
    }

    @Test("a server that keeps no promise, one that keeps all, and a late generator are told apart")
    func ends() {
        let never = search(server: 0).finding
        #expect(never.verdict == .missed && never.highest == nil)
        let always = search(server: 5000).finding
        #expect(always.verdict == .valid && always.highest == 1000 && always.reasons.count == 1)
        let late = search(server: 500, generator: 50).finding
        #expect(late.verdict == .invalid && late.highest.map { $0 <= 50 } == true && late.lowestBroken == nil)
        let short = search(server: 63, isProvable: false).finding
        #expect(short.verdict == .inconclusive && short.highest == nil && short.passed.map { $0 <= 63 } == true)
        #expect(search(server: 5, generator: 0).finding.verdict == .invalid)
    }

    @Test("a step up that fails after one lucky run comes back to what was proved, without proving it again")
    func failedStepUp() throws {
        var search = MaximalRateSearch(.init(start: 10, ceiling: 1000, confirmations: 2, seed: 1))
        // Passes up to 63/s; the run one step above the proved rate is lucky once.
        var (confirmations, above) = (0, 0)
        var provedRate: Double?
        while let step = search.next {
            var holds = step.rate <= 63
            if step.purpose == .confirm {
                confirmations += 1
                if confirmations <= 2 { provedRate = step.rate }
                if confirmations == 3 { holds = true }
                if confirmations > 3 { above += step.rate > 63 ? 1 : 0 }
            }
            search.record(holds ? .proved : .broken, [Evidence(.p99, samples: 1000, misses: holds ? 0 : 500)])
        }
        let finding = search.finding
        #expect(finding.verdict == .valid && finding.highest == provedRate)
        #expect(confirmations == 4 && above == 1)
        let broken = try #require(finding.lowestBroken)
        #expect(broken > 63 && broken < 63 * 1.06)
    }

    @Test("a search that is cut short names no rate but what it has proved, and the runs that tell")
    func cutShort() {
        // Cut after each number of runs, and once more by the run that was under way.
        let whole = search(server: 63)
        for count in 0...whole.steps.count {
            var search = MaximalRateSearch(.init(start: 10, ceiling: 1000, confirmations: 2, seed: 1))
            var rates: [Double] = []
            while let step = search.next, rates.count < count {
                rates.append(step.rate)
                let holds = step.rate <= 63
                search.record(holds ? .proved : .broken, [Evidence(.p99, samples: 1000, misses: holds ? 0 : 500)])
            }
            if search.next != nil { search.record(.ended) }
            let confirmations = whole.steps.prefix(count).indices.filter { whole.steps[$0].purpose == .confirm }
            let finding = search.finding
            #expect(finding.deciding.allSatisfy { $0 < count })
            if confirmations.count < 2 {
                #expect(finding.highest == nil)
                #expect(finding.deciding.count == min(count, 1))
            } else {
                #expect(finding.highest == whole.finding.highest)
                #expect(finding.deciding == Array(confirmations.prefix(2)))
            }
            // The runs that decide are all at one rate: that which was proved, or the last that passed.
            let deciding = Set(finding.deciding.map { rates[$0] })
            #expect(deciding.count == min(count, 1))
            if let rate = finding.highest ?? finding.passed { #expect(deciding == [rate]) }
            if let broken = finding.lowestBroken { #expect(rates.contains(broken) && broken > 63) }
        }
    }

    @Test("a busy moment of the generator is tried again, not taken for its limit")
    func busyMoments() {
        let (finding, steps) = search(server: 63, lateRuns: [0, 3, 4])
        #expect(finding.verdict == .valid && finding.highest.map { $0 <= 63 && $0 * 1.05 >= 63 } == true)
        #expect(steps[0].rate == steps[1].rate && steps[0].seed != steps[1].seed)
    }
}
