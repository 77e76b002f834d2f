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
}
