// Collects what the requests of a run report, and sees when the run's question is already answered.

import Synchronization

/// When more requests of a run can change nothing: the bound's quantile is lost already.
public struct StopRule: Sendable, Equatable {
    /// The promise on TTFT.
    public let bound: Duration
    /// How many requests may break it.
    public let allowedMisses: Int

    /// Makes a rule.
    public init(bound: Duration, allowedMisses: Int) {
        self.bound = bound
        self.allowedMisses = allowedMisses
    }

    /// Whether a run that has seen this much has lost. Any failure loses.
    func isLost(slow: Int, failed: Int) -> Bool { failed > 0 || slow > allowedMisses }
}

/// Where a run stands, for a progress display.
public struct RunProgress: Sendable, Equatable {
    /// Requests in the schedule.
    public var scheduled: Int
    /// Requests sent so far.
    public var sent = 0
    /// Requests whose first token has come.
    public var started = 0
    /// Whole answers.
    public var completed = 0
    /// Failures of all kinds.
    public var failed = 0
    /// Requests that are open.
    public var open = 0
    /// The latest TTFT.
    public var latestTimeToFirstToken: Duration?
}

/// The shared state of a run, written by the tasks of its requests.
final class RunRecorder: Sendable {
    private struct State {
        var records: [RequestRecord] = []
        var progress: RunProgress
        var slow = 0
        var isAllSent = false
    }

    private let state: Mutex<State>
    private let rule: StopRule?
    private let report: (@Sendable (RunProgress) -> Void)?

    /// Set when the stop rule says that the run is lost.
    let lost = Latch()
    /// Set when everything is sent and no request is open.
    let idle = Latch()
    /// Set before the requests that are still open are given up.
    let givenUp = Latch()

    init(scheduled: Int, rule: StopRule?, report: (@Sendable (RunProgress) -> Void)?) {
        state = Mutex(State(progress: RunProgress(scheduled: scheduled)))
        self.rule = rule
        self.report = report
    }

    /// Where the run stands.
    var progress: RunProgress { state.withLock { $0.progress } }

    func sent() {
        update { state in
            state.progress.open += 1
            state.progress.sent += 1
        }
    }

    func firstToken(after latency: Duration) {
        update { state in
            state.progress.started += 1
            state.progress.latestTimeToFirstToken = latency
            if let rule, latency > rule.bound { state.slow += 1 }
        }
    }

    /// Takes the record of a request. One that was never sent is not open.
    func ended(_ record: RequestRecord, wasOpen: Bool = true) {
        update { state in
            state.records.append(record)
            if wasOpen { state.progress.open -= 1 }
            switch record.outcome {
            case .completed: state.progress.completed += 1
            case .failed: state.progress.failed += 1
            case .interrupted: break
            }
        }
    }

    func allSent() {
        update { $0.isAllSent = true }
    }

    /// All records so far, in schedule order.
    var records: [RequestRecord] {
        state.withLock { $0.records }.sorted { $0.index < $1.index }
    }

    private func update(_ change: (inout State) -> Void) {
        let (progress, isLost, isIdle) = state.withLock { state in
            change(&state)
            let isLost = rule?.isLost(slow: state.slow, failed: state.progress.failed) ?? false
            return (state.progress, isLost, state.isAllSent && state.progress.open == 0)
        }
        if isLost { lost.set() }
        if isIdle { idle.set() }
        report?(progress)
    }
}
