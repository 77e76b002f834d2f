// One run: the schedule's requests sent in time, whatever the server does.

/// What a run does.
public struct RunPlan: Sendable {
    /// When each request is due.
    public var schedule: ArrivalSchedule
    /// How long a request may take, from its sending.
    public var timeout: Duration
    /// How long open requests are waited for after the last arrival.
    public var drainLimit: Duration
    /// Ends the run early once it is lost; nil runs to the end.
    public var stopRule: StopRule?
    /// No request is waited for beyond this instant.
    public var deadline: ContinuousClock.Instant?
    /// Requests that may be open at a time; what is due beyond it is not sent, and counts as a failure.
    public var openLimit: Int

    /// Makes a plan.
    public init(
        schedule: ArrivalSchedule, timeout: Duration, drainLimit: Duration, stopRule: StopRule? = nil,
        deadline: ContinuousClock.Instant? = nil, openLimit: Int = 10_000
    ) {
        self.schedule = schedule
        self.timeout = timeout
        self.drainLimit = drainLimit
        self.stopRule = stopRule
        self.deadline = deadline
        self.openLimit = openLimit
    }
}

/// What a run measured.
public struct RunResult: Sendable, Equatable {
    /// Why a run ended.
    public enum Ending: String, Sendable, Codable {
        /// Every request of the schedule was sent and waited for.
        case complete
        /// Its stop rule said that more requests could change nothing.
        case lost
        /// Its deadline came first.
        case deadline
        /// Its user ended it.
        case interrupted
    }

    /// One record per request that was due before the run ended, in schedule order.
    public let records: [RequestRecord]
    /// Why it ended.
    public let ending: Ending

    /// Makes a result.
    public init(records: [RequestRecord], ending: Ending) {
        self.records = records
        self.ending = ending
    }
}

/// Sends the requests of a schedule in an open loop.
public struct LoadRun: Sendable {
    private let plan: RunPlan
    private let requests: [PreparedRequest]
    private let target: any LoadTarget
    private let recorder: RunRecorder

    /// - Parameters:
    ///   - requests: at least one; they are sent in order and round again.
    ///   - report: called at every change, from many tasks: it must be quick.
    public init(
        _ plan: RunPlan, requests: [PreparedRequest], target: any LoadTarget,
        report: (@Sendable (RunProgress) -> Void)? = nil
    ) {
        self.plan = plan
        self.requests = requests
        self.target = target
        recorder = RunRecorder(scheduled: plan.schedule.offsets.count, rule: plan.stopRule, report: report)
    }

    /// Runs to the end of the schedule and the drain.
    ///
    /// Cancelling the task ends the run early and keeps what was measured; this never throws anything away.
    public func run() async -> RunResult {
        let start = ContinuousClock.now
        await withDiscardingTaskGroup { group in
            await sendAll(from: start, in: &group)
            recorder.allSent()
            await recorder.idle.wait(until: drainEnd(after: .now))
            if !Task.isCancelled { recorder.givenUp.set() }
            group.cancelAll()
        }
        let records = recorder.records
        let isWhole = records.count == plan.schedule.offsets.count
        let isPastDeadline = plan.deadline.map { $0 <= .now } ?? false
        let wasGivenUp = records.contains { $0.isUnfinished }
        let ending: RunResult.Ending =
            if Task.isCancelled {
                .interrupted
            } else if recorder.lost.isSet, !isWhole || wasGivenUp {
                .lost
            } else if isPastDeadline, !isWhole || wasGivenUp {
                .deadline
            } else {
                .complete
            }
        return RunResult(records: records, ending: ending)
    }

    /// A lost run is waited for only as long as its bound, so that the slow answers can still be seen.
    private func drainEnd(after now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        var patience = plan.drainLimit
        if let rule = plan.stopRule, recorder.lost.isSet { patience = min(patience, rule.bound) }
        return plan.deadline.map { min($0, now + patience) } ?? now + patience
    }

    private func sendAll(from start: ContinuousClock.Instant, in group: inout DiscardingTaskGroup) async {
        for (index, offset) in plan.schedule.offsets.enumerated() {
            let due = start + offset
            await sleep(until: plan.deadline.map { min($0, due) } ?? due)
            guard !Task.isCancelled, !recorder.lost.isSet else { return }
            if let deadline = plan.deadline, deadline <= .now { return }
            guard recorder.progress.open < plan.openLimit else {
                refuse(index, offset, start: start)
                continue
            }
            recorder.sent()
            group.addTask { await perform(index, offset, start: start) }
        }
    }

    private func refuse(_ index: Int, _ offset: Duration, start: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        let outcome = Outcome.failed(.unsent, detail: "\(plan.openLimit) requests were open")
        let response = Response(outcome: outcome, end: now)
        recorder.ended(record(index, offset, sent: now - start, response, start: start), wasOpen: false)
    }

    private func sleep(until due: ContinuousClock.Instant) async {
        guard due > .now else { return }
        if plan.stopRule == nil {
            try? await Task.sleep(until: due, tolerance: .zero, clock: .continuous)
        } else {
            await recorder.lost.wait(until: due)
        }
    }

    private func perform(_ index: Int, _ offset: Duration, start: ContinuousClock.Instant) async {
        let sent = ContinuousClock.now
        let due = start + offset
        var response = await target.send(requests[index % requests.count], timeout: plan.timeout) { instant in
            recorder.firstToken(after: instant - due)
        }
        if response.outcome == .interrupted, recorder.givenUp.isSet {
            response.outcome = .failed(.unfinished, detail: "still open when the run's drain limit passed")
        }
        recorder.ended(record(index, offset, sent: sent - start, response, start: start))
    }

    private func record(
        _ index: Int, _ offset: Duration, sent: Duration, _ response: Response, start: ContinuousClock.Instant
    ) -> RequestRecord {
        let expected = requests[index % requests.count].expected
        return RequestRecord(
            index: index, scheduled: offset, sent: sent, firstToken: response.firstToken.map { $0 - start },
            end: response.end - start, tokens: response.tokens, outcome: response.outcome,
            isCorrect: response.outcome == .completed
                ? expected.map { RequestRecord.isCorrect(response.text, expected: $0) } : nil,
            report: response.report)
    }
}
