// Requests one after the other: warm-up, and the latency of a server that has nothing else to do.

/// A few requests sent sequentially, outside any schedule.
public struct UnloadedMeasurement: Sendable, Equatable {
    /// The requests, each counted from its own sending.
    public let records: [RequestRecord]

    /// What went wrong first; nil when nothing did.
    public var firstFailure: (kind: FailureKind, detail: String)? {
        for record in records {
            if case .failed(let kind, let detail) = record.outcome { return (kind, detail) }
        }
        return nil
    }

    /// The median latency; nil when at least half of the requests failed.
    public func median(_ metric: LatencyMetric) -> Duration? {
        RunResult(records: records, ending: .complete, planned: records.count, span: .zero)
            .distribution(of: metric).quantile(.p50)
    }

    /// The lowest latency; nil when every request failed.
    ///
    /// A busy moment of either machine can make a median of few requests far too high, but no answer too early.
    public func minimum(_ metric: LatencyMetric) -> Duration? {
        records.filter { $0.outcome == .completed }.compactMap { $0.latency(metric) }.min()
    }

    /// Sends `count` requests, each after the end of the one before, and stops when the task is cancelled.
    ///
    /// After a failure it waits as a user of a closed loop does (``BackOff``). A server that wants to be left alone for longer
    /// than a request may take is asked no more.
    /// - Parameters:
    ///   - first: the index of the first request; those of a run begin at 0.
    ///   - timeout: for each request.
    ///   - deadline: no request is waited for beyond it.
    public static func measure(
        _ source: any RequestSource, from first: Int = 0, count: Int, target: any LoadTarget, timeout: Duration,
        deadline: ContinuousClock.Instant? = nil
    ) async -> UnloadedMeasurement {
        var records: [RequestRecord] = []
        var backOff = BackOff(seed: 0)
        var pause = Duration.zero
        for index in first..<(first + count) {
            guard pause <= timeout else { break }
            if pause > .zero {
                let next = ContinuousClock.now + pause
                try? await Task.sleep(until: deadline.map { min($0, next) } ?? next, clock: .continuous)
            }
            let request = source.request(index)
            let start = ContinuousClock.now
            let left = deadline.map { min($0 - start, timeout) } ?? timeout
            guard left > .zero, !Task.isCancelled else { break }
            let response = await target.send(request, timeout: left) { _ in }
            guard response.outcome != .interrupted else { break }
            pause = backOff.pause(after: response.outcome, retryAfter: response.retryAfter)
            records.append(
                RequestRecord(
                    index: index, scheduled: .zero, sent: .zero, firstToken: response.firstToken.map { $0 - start },
                    end: response.end - start, tokens: response.tokens, firstTokens: response.firstTokens,
                    outcome: response.outcome,
                    promptTokens: response.promptTokens ?? response.report?.promptTokens, report: response.report))
        }
        return UnloadedMeasurement(records: records)
    }
}
