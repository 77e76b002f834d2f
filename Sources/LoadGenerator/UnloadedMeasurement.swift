// Requests one after the other: warm-up, and the TTFT of a server that has nothing else to do.

/// A few requests sent sequentially, outside any schedule.
public struct UnloadedMeasurement: Sendable, Equatable {
    /// Times to first token of the requests that were answered, from their sending.
    public let timesToFirstToken: LatencyDistribution
    /// What went wrong first.
    public let firstFailure: FailureSummary?

    /// A failure, for people.
    public struct FailureSummary: Sendable, Equatable {
        /// Its kind.
        public let kind: FailureKind
        /// What was found.
        public let detail: String
    }

    /// The median TTFT; nil when at least half of the requests failed.
    public var median: Duration? { timesToFirstToken.quantile(perThousand: 500) }

    /// Sends `count` requests, each after the end of the one before, and stops when the task is cancelled.
    ///
    /// - Parameters:
    ///   - requests: at least one; taken in order and round again.
    ///   - timeout: for each request.
    ///   - deadline: no request is waited for beyond it.
    public static func measure(
        _ requests: [PreparedRequest], count: Int, target: any LoadTarget, timeout: Duration,
        deadline: ContinuousClock.Instant? = nil
    ) async -> UnloadedMeasurement {
        var samples: [Duration] = []
        var misses = 0
        var firstFailure: FailureSummary?
        for index in 0..<count {
            let start = ContinuousClock.now
            let left = deadline.map { min($0 - start, timeout) } ?? timeout
            guard left > .zero, !Task.isCancelled else { break }
            let response = await target.send(requests[index % requests.count], timeout: left) { _ in }
            switch response.outcome {
            case .completed:
                if let firstToken = response.firstToken { samples.append(firstToken - start) }
            case .failed(let kind, let detail):
                misses += 1
                firstFailure = firstFailure ?? FailureSummary(kind: kind, detail: detail)
            case .interrupted: break
            }
        }
        return UnloadedMeasurement(
            timesToFirstToken: LatencyDistribution(samples: samples, misses: misses), firstFailure: firstFailure)
    }
}
