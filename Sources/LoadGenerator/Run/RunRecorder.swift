// Collects what the requests of a run report, and sees when the run's question is already answered.

import Synchronization

/// When more requests of a run can change nothing.
public struct StopRule: Sendable, Equatable {
    /// A promise, and how many requests may break it.
    public struct Limit: Sendable, Equatable {
        /// The promise.
        public let objective: Objective
        /// Requests that may break it.
        public let allowedMisses: Int

        /// Makes a limit.
        public init(_ objective: Objective, allowedMisses: Int) {
            self.objective = objective
            self.allowedMisses = allowedMisses
        }
    }

    /// The promises.
    public let limits: [Limit]
    /// Requests that may fail, whatever is promised.
    public let allowedFailures: Int

    /// Makes a rule.
    public init(limits: [Limit], allowedFailures: Int = .max) {
        self.limits = limits
        self.allowedFailures = allowedFailures
    }
}

/// Where a run stands, for a display.
public struct RunProgress: Sendable, Equatable {
    /// Requests in the schedule; nil in a closed loop.
    public var scheduled: Int?
    /// Time since the window's start.
    public var elapsed = Duration.zero
    /// Requests sent so far.
    public var sent = 0
    /// Whole answers.
    public var completed = 0
    /// Failures by kind.
    public var failed: [FailureKind: Int] = [:]
    /// Requests that are open.
    public var open = 0
    /// TTFT so far, of requests whose first token has come.
    public var timesToFirstToken = LatencyDistribution(samples: [])
    /// TPOT so far, of whole answers.
    public var timesPerOutputToken = LatencyDistribution(samples: [])

    /// Failures of all kinds.
    public var failedTotal: Int { failed.values.reduce(0, +) }
}

/// The shared state of a run, written by the tasks of its requests.
final class RunRecorder: Sendable {
    /// A request without an end.
    private struct OpenRequest {
        let due: ContinuousClock.Instant
        var hasStarted = false
        /// Which promises it has broken already, one bit each.
        var broken: UInt64 = 0
    }

    private struct State {
        var records: [RequestRecord] = []
        var start = ContinuousClock.now
        var sent = 0
        var completed = 0
        var failed: [FailureKind: Int] = [:]
        var open: [Int: OpenRequest] = [:]
        var misses: [Int]
        var firstTokens: [Duration] = []
        var perToken: [Duration] = []
        var isLost = false
        var isAllSent = false
    }

    private let state: Mutex<State>
    private let scheduled: Int?
    private let rule: StopRule?

    /// Set when everything is sent and no request is open.
    let idle = Latch()
    /// Set before the requests that are still open are given up.
    let givenUp = Latch()

    init(scheduled: Int?, rule: StopRule?) {
        state = Mutex(State(misses: Array(repeating: 0, count: rule?.limits.count ?? 0)))
        self.scheduled = scheduled
        self.rule = rule
    }

    /// Whether the stop rule says that the run is lost.
    var isLost: Bool { state.withLock { $0.isLost } }
    /// Requests that are open.
    var open: Int { state.withLock { $0.open.count } }

    func begin(at start: ContinuousClock.Instant) {
        state.withLock { $0.start = start }
    }

    /// The next index of a closed loop.
    func nextIndex() -> Int {
        state.withLock { state in
            defer { state.sent += 1 }
            return state.sent
        }
    }

    func sent(_ index: Int, due: ContinuousClock.Instant) {
        state.withLock { state in
            if scheduled != nil { state.sent += 1 }
            state.open[index] = OpenRequest(due: due)
        }
    }

    func firstToken(_ index: Int, at instant: ContinuousClock.Instant) {
        state.withLock { state in
            guard let request = state.open[index], !request.hasStarted else { return }
            state.open[index]?.hasStarted = true
            state.firstTokens.append(instant - request.due)
            note(instant - request.due, .ttft, of: index, in: &state)
        }
    }

    /// Takes the record of a request. One that was never sent is not open.
    func ended(_ record: RequestRecord, wasOpen: Bool = true) {
        let isIdle = state.withLock { state in
            state.records.append(record)
            if !wasOpen { state.open[record.index] = OpenRequest(due: state.start + record.scheduled) }
            switch record.outcome {
            case .completed:
                state.completed += 1
                note(record.endToEnd, .e2e, of: record.index, in: &state)
                if let time = record.timePerOutputToken {
                    state.perToken.append(time)
                    note(time, .tpot, of: record.index, in: &state)
                }
            case .failed(let kind, _):
                state.failed[kind, default: 0] += 1
                for metric in LatencyMetric.allCases { note(nil, metric, of: record.index, in: &state) }
                let failures = state.failed.reduce(0) { $0 + ($1.key == .unfinished ? 0 : $1.value) }
                if let rule, failures > rule.allowedFailures { state.isLost = true }
            case .interrupted: break
            }
            state.open[record.index] = nil
            return state.isAllSent && state.open.isEmpty
        }
        if isIdle { idle.set() }
    }

    func allSent() {
        let isIdle = state.withLock { state in
            state.isAllSent = true
            return state.open.isEmpty
        }
        if isIdle { idle.set() }
    }

    /// Counts the open requests that have waited longer than a promise allows: their answers can mend nothing.
    func sweep(at now: ContinuousClock.Instant) {
        guard rule != nil else { return }
        state.withLock { state in
            for (index, request) in state.open {
                if !request.hasStarted { note(now - request.due, .ttft, of: index, in: &state) }
                note(now - request.due, .e2e, of: index, in: &state)
            }
        }
    }

    /// All records so far, in schedule order.
    var records: [RequestRecord] {
        state.withLock { $0.records }.sorted { $0.index < $1.index }
    }

    /// Where the run stands. It sorts, so it is for a display, not for every request.
    func progress() -> RunProgress {
        let copy = state.withLock { $0 }
        return RunProgress(
            scheduled: scheduled, elapsed: .now - copy.start, sent: copy.sent, completed: copy.completed,
            failed: copy.failed, open: copy.open.count,
            timesToFirstToken: LatencyDistribution(samples: copy.firstTokens),
            timesPerOutputToken: LatencyDistribution(samples: copy.perToken))
    }

    /// Holds a latency against the promises on it; nil is a failure, and breaks them all.
    private func note(
        _ latency: Duration?, _ metric: LatencyMetric, of index: Int, in state: inout State
    ) {
        guard let rule, var request = state.open[index] else { return }
        for (number, limit) in rule.limits.enumerated() where limit.objective.metric == metric {
            let bit: UInt64 = 1 << UInt64(number & 63)
            guard request.broken & bit == 0, latency.map({ $0 > limit.objective.bound }) ?? true else { continue }
            request.broken |= bit
            state.misses[number] += 1
            if state.misses[number] > limit.allowedMisses { state.isLost = true }
        }
        state.open[index] = request
    }
}
