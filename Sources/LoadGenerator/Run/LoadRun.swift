// One run: the schedule's requests sent in time, whatever the server does.

/// When a run's requests are sent.
public enum Load: Sendable, Equatable {
    /// At times that are known before: users who do not wait for each other.
    case open(ArrivalSchedule)
    /// By so many users for so long, each of whom sends as soon as the last answer has come (after a failure, see
    /// ``BackOff``): the server sets the rate.
    case closed(concurrency: Int, duration: Duration)
}

/// What a run does.
public struct RunPlan: Sendable {
    /// When each request is due.
    public var load: Load
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
        load: Load, timeout: Duration, drainLimit: Duration, stopRule: StopRule? = nil,
        deadline: ContinuousClock.Instant? = nil, openLimit: Int = 10_000
    ) {
        self.load = load
        self.timeout = timeout
        self.drainLimit = drainLimit
        self.stopRule = stopRule
        self.deadline = deadline
        self.openLimit = openLimit
    }
}

/// Sends the requests of a plan.
public struct LoadRun: Sendable {
    /// The longest a wait goes on without looking whether the run is lost or over.
    private static let glance = Duration.milliseconds(50)
    /// The longest a lost run waits for answers that show how slow the server was.
    private static let curiosity = Duration.seconds(5)

    private let plan: RunPlan
    private let source: any RequestSource
    private let target: any LoadTarget
    private let recorder: RunRecorder

    /// Where the run stands; to be asked at any time, from any task.
    public var progress: RunProgress { recorder.progress() }

    /// - Parameters:
    ///   - source: makes the request of each index; asked before the request is due.
    public init(_ plan: RunPlan, source: any RequestSource, target: any LoadTarget) {
        self.plan = plan
        self.source = source
        self.target = target
        let scheduled: Int? = if case .open(let schedule) = plan.load { schedule.offsets.count } else { nil }
        recorder = RunRecorder(scheduled: scheduled, rule: plan.stopRule)
    }

    /// Runs to the end of the schedule and the drain.
    ///
    /// Cancelling the task ends the run early and keeps what was measured; this never throws anything away.
    public func run() async -> RunResult {
        let start = ContinuousClock.now
        recorder.begin(at: start)
        var sendingEnd = start
        await withDiscardingTaskGroup { group in
            switch plan.load {
            case .open(let schedule): await sendAll(schedule, from: start, in: &group)
            case .closed(let concurrency, let duration):
                await sendInTurn(concurrency, until: start + duration, from: start, in: &group)
            }
            sendingEnd = .now
            recorder.allSent()
            await drain(from: start)
            if !Task.isCancelled { recorder.givenUp.set() }
            group.cancelAll()
        }
        return result(sentFor: sendingEnd - start)
    }

    private func result(sentFor sending: Duration) -> RunResult {
        let records = recorder.records
        let (planned, span): (Int, Duration) =
            switch plan.load {
            // Nothing was sent in the rest of a window that was left early.
            case .open(let schedule):
                (
                    schedule.offsets.count,
                    records.count < schedule.offsets.count ? min(schedule.span, sending) : schedule.span
                )
            case .closed(_, let duration): (records.count, min(duration, sending))
            }
        let isShort = records.count < planned || records.contains { $0.isUnfinished }
        let isPastDeadline = plan.deadline.map { $0 <= .now } ?? false
        let ending: RunResult.Ending =
            if Task.isCancelled {
                .interrupted
            } else if recorder.isLost, isShort {
                .lost
            } else if isPastDeadline, isShort {
                .deadline
            } else {
                .complete
            }
        return RunResult(records: records, ending: ending, planned: planned, span: span)
    }

    /// Waits for the open requests, for as long as that can tell anything.
    private func drain(from start: ContinuousClock.Instant) async {
        let now = ContinuousClock.now
        let patience = recorder.isLost ? min(plan.drainLimit, Self.curiosity) : plan.drainLimit
        var end = plan.deadline.map { min($0, now + patience) } ?? now + patience
        while !recorder.idle.isSet, !Task.isCancelled, ContinuousClock.now < end {
            await recorder.idle.wait(until: min(end, .now + Self.glance))
            let wasLost = recorder.isLost
            recorder.sweep(at: .now)
            if recorder.isLost, !wasLost { end = min(end, .now + Self.curiosity) }
        }
    }

    /// Whether there is any use in sending more.
    private var goesOn: Bool {
        !Task.isCancelled && !recorder.isLost && (plan.deadline.map { ContinuousClock.now < $0 } ?? true)
    }

    private func sendAll(
        _ schedule: ArrivalSchedule, from start: ContinuousClock.Instant, in group: inout DiscardingTaskGroup
    ) async {
        for (index, offset) in schedule.offsets.enumerated() {
            // Made before its time comes, so that it can be sent on time.
            let request = source.request(index)
            let due = start + offset
            while due > .now {
                // A promise that is lost, or a deadline, does not wait for the next arrival.
                try? await Task.sleep(until: min(due, .now + Self.glance), tolerance: .zero, clock: .continuous)
                recorder.sweep(at: .now)
                guard goesOn else { return }
            }
            guard goesOn else { return }
            guard recorder.open < plan.openLimit else {
                refuse(index, offset, request, start: start)
                continue
            }
            recorder.sent(index, due: due)
            group.addTask { await perform(index, offset, request, start: start) }
        }
    }

    private func sendInTurn(
        _ concurrency: Int, until end: ContinuousClock.Instant, from start: ContinuousClock.Instant,
        in group: inout DiscardingTaskGroup
    ) async {
        await withDiscardingTaskGroup { users in
            for user in 0..<concurrency {
                users.addTask {
                    var backOff = BackOff(seed: UInt64(user))
                    while ContinuousClock.now < end, goesOn {
                        let index = recorder.nextIndex()
                        let request = source.request(index)
                        // A user who waited for the last answer sends at once: no schedule could be late.
                        let due = ContinuousClock.now
                        recorder.sent(index, due: due)
                        let response = await perform(index, due - start, request, start: start)
                        let pause = backOff.pause(after: response.outcome, retryAfter: response.retryAfter)
                        guard pause > .zero else { continue }
                        let next = min(.now + pause, end)
                        try? await Task.sleep(
                            until: plan.deadline.map { min($0, next) } ?? next, clock: .continuous)
                    }
                }
            }
        }
    }

    private func refuse(_ index: Int, _ offset: Duration, _ request: PreparedRequest, start: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        let outcome = Outcome.failed(.unsent, detail: "\(plan.openLimit) requests were open")
        let response = Response(outcome: outcome, end: now)
        recorder.ended(record(index, offset, request, sent: now - start, response, start: start), wasOpen: false)
    }

    @discardableResult
    private func perform(
        _ index: Int, _ offset: Duration, _ request: PreparedRequest, start: ContinuousClock.Instant
    ) async -> Response {
        let sent = ContinuousClock.now
        var response = await target.send(request, timeout: plan.timeout) { instant in
            recorder.firstToken(index, at: instant)
        }
        if response.outcome == .interrupted, recorder.givenUp.isSet {
            response.outcome = .failed(.unfinished, detail: "still open when the run's drain limit passed")
        }
        recorder.ended(record(index, offset, request, sent: sent - start, response, start: start))
        return response
    }

    private func record(
        _ index: Int, _ offset: Duration, _ request: PreparedRequest, sent: Duration, _ response: Response,
        start: ContinuousClock.Instant
    ) -> RequestRecord {
        RequestRecord(
            index: index, scheduled: offset, sent: sent, firstToken: response.firstToken.map { $0 - start },
            end: response.end - start, tokens: response.tokens, firstTokens: response.firstTokens,
            outcome: response.outcome,
            isCorrect: response.outcome == .completed
                ? request.expected.map { RequestRecord.isCorrect(response.text, expected: $0) } : nil,
            promptTokens: response.promptTokens ?? response.report?.promptTokens, report: response.report)
    }
}
