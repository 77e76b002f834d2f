// A queue whose latencies theory knows, run in no time: the schedule's arrivals through Lindley's recursion.

import Foundation
import LoadGenerator

/// A single server with a queue in front of it.
struct QueueSimulation {
    /// How long a request takes once its turn has come.
    enum Service {
        /// Always as long: M/D/1 under Poisson arrivals.
        case constant
        /// Exponentially distributed: M/M/1.
        case exponential
    }

    let service: Service
    /// The mean service time, in seconds.
    let mean: Double

    /// What a run of the schedule would measure.
    func run(_ schedule: ArrivalSchedule, seed: UInt64) -> RunResult {
        var random = SplitMix64(seed: seed)
        var free = 0.0
        let records = schedule.offsets.enumerated().map { index, offset in
            let due = Double(offset.wholeNanoseconds) / 1e9
            let unit = (Double(random.next() >> 11) + 1) * 0x1p-53
            free = max(free, due) + (service == .constant ? mean : -log(unit) * mean)
            let end = Duration.nanoseconds(Int64(free * 1e9))
            return RequestRecord(
                index: index, scheduled: offset, sent: offset, firstToken: end, end: end, tokens: 1,
                outcome: .completed)
        }
        return RunResult(records: records, ending: .complete, planned: records.count, span: schedule.span)
    }

    /// The probability that a request takes longer than this, in the long run, at this rate.
    ///
    /// M/D/1: Erlang's formula for the waiting time (Crommelin 1932). M/M/1: the sojourn time is exponential.
    func exceeding(_ seconds: Double, rate: Double) -> Double {
        switch service {
        case .exponential: return exp(-(1 / mean - rate) * seconds)
        case .constant:
            let waiting = seconds - mean
            guard waiting >= 0 else { return 1 }
            var sum = 0.0
            for index in 0...Int(waiting / mean + 1e-9) {
                let part = rate * (waiting - Double(index) * mean)
                sum += pow(-part, Double(index)) / tgamma(Double(index) + 1) * exp(part)
            }
            return 1 - (1 - rate * mean) * sum
        }
    }

    /// The latency that this share of the requests do not exceed in the long run.
    func quantile(_ percentile: Percentile, rate: Double) -> Duration {
        var (low, high) = (0.0, mean * 1000)
        for _ in 0..<200 {
            let middle = (low + high) / 2
            if exceeding(middle, rate: rate) > percentile.missShare { low = middle } else { high = middle }
        }
        return .nanoseconds(Int64(high * 1e9))
    }

    /// The rate at which the percentile is exactly the bound.
    func maximalRate(_ percentile: Percentile, bound: Duration) -> Double {
        let seconds = Double(bound.wholeNanoseconds) / 1e9
        var (low, high) = (0.0, 1 / mean)
        for _ in 0..<200 {
            let middle = (low + high) / 2
            if exceeding(seconds, rate: middle) > percentile.missShare { high = middle } else { low = middle }
        }
        return low
    }
}
