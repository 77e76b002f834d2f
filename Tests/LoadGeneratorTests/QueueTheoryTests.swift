// Simulated queues against theory: what stands between a measured percentile and the true one.

import Foundation
import LoadGenerator
import Testing

@Suite("percentiles of queues")
struct QueueTheoryTests {
    @Test(
        "the interval of a percentile holds the true one as often as it says",
        arguments: [QueueSimulation.Service.constant, .exponential])
    func intervals(service: QueueSimulation.Service) throws {
        let queue = QueueSimulation(service: service, mean: 0.010)
        for rate in [40.0, 70.0] {
            var held: [Percentile: Int] = [:]
            let seeds = 1...200 as ClosedRange<UInt64>
            for seed in seeds {
                let schedule = try ArrivalSchedule(.poisson, rate: rate, count: 5000, seed: seed)
                let series = queue.run(schedule, seed: seed + 1000).series(of: .ttft)
                for percentile in [Percentile.p50, .p99] {
                    let interval = try #require(QuantileInterval(percentile, of: series))
                    if interval.contains(queue.quantile(percentile, rate: rate)) { held[percentile, default: 0] += 1 }
                }
            }
            // 99 % of 200 is 198; below 190 the claim would be wrong at any confidence.
            for (percentile, count) in held {
                #expect(count >= 190, "\(service) at \(rate)/s, \(percentile.name): \(count) of 200")
            }
        }
    }

    @Test("theory and simulation agree in the long run")
    func theory() throws {
        for service in [QueueSimulation.Service.constant, .exponential] {
            let queue = QueueSimulation(service: service, mean: 0.010)
            let schedule = try ArrivalSchedule(.poisson, rate: 70, count: 2_000_000, seed: 3)
            let result = queue.run(schedule, seed: 4).distribution(of: .ttft)
            for percentile in [Percentile.p50, .p90, .p99] {
                let (measured, truth) = (result.quantile(percentile) ?? .zero, queue.quantile(percentile, rate: 70))
                #expect(abs(measured / truth - 1) < 0.02, "\(service) \(percentile.name): \(measured), theory \(truth)")
            }
        }
    }
}
