// The shell around `LaunchSession`: real processes, real time.

/// Runs the processes of a plan until they are asked to end or it can't go on.
public actor Launch {
    /// How long the launch waits for what.
    public struct Patience: Sendable {
        /// Until the cluster serves.
        public var ready: Duration
        /// For the coordinator to end its running requests after SIGTERM, before SIGKILL.
        public var drain: Duration
        /// For the other processes after SIGTERM, before SIGKILL.
        public var grace: Duration
        /// After SIGKILL.
        public var reap: Duration

        /// Ten minutes to load a large model, what the coordinator takes by default and 5 s more to drain, 5 s to end, 5 s
        /// to be reaped.
        public init(
            ready: Duration = .seconds(600), drain: Duration = .seconds(15), grace: Duration = .seconds(5),
            reap: Duration = .seconds(5)
        ) {
            self.ready = ready
            self.drain = drain
            self.grace = grace
            self.reap = reap
        }
    }

    /// Where the launch's words go.
    public struct Output: Sendable {
        /// A line of a process.
        public var log: @Sendable (_ process: String, _ text: String) -> Void
        /// A line of the launcher itself.
        public var say: @Sendable (String) -> Void
        /// The cluster serves at this URL; called once at most.
        public var ready: @Sendable (String) -> Void

        /// Creates an output from its three ways.
        public init(
            log: @escaping @Sendable (_ process: String, _ text: String) -> Void,
            say: @escaping @Sendable (String) -> Void, ready: @escaping @Sendable (String) -> Void
        ) {
            self.log = log
            self.say = say
            self.ready = ready
        }
    }

    private let plan: LaunchPlan
    private let patience: Patience
    private let output: Output
    private var session: LaunchSession
    private var children: [String: ChildProcess] = [:]
    private var timers: [Int: Task<Void, Never>] = [:]
    private var timerCount = 0
    private let began = ContinuousClock.now
    private var outcome: LaunchOutcome?
    private var waiters: [CheckedContinuation<LaunchOutcome, Never>] = []

    /// A launch that has not begun.
    public init(plan: LaunchPlan, patience: Patience = Patience(), output: Output) {
        self.plan = plan
        self.patience = patience
        self.output = output
        session = LaunchSession(plan: plan)
    }

    /// Starts everything and returns when every process has ended. Cancelling the task ends the launch.
    public func run() async -> LaunchOutcome {
        handle(.begin)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                if let outcome { waiter.resume(returning: outcome) } else { waiters.append(waiter) }
            }
        } onCancel: {
            Task { await self.stop(.terminate) }
        }
    }

    /// Asks the launch to end; asked twice, it no longer waits for anyone.
    public func stop(_ reason: StopReason) { handle(.stop(reason)) }

    private func handle(_ event: LaunchSession.Event) {
        for directive in session.handle(event, at: began.duration(to: .now)) { perform(directive) }
    }

    private func perform(_ directive: LaunchSession.Directive) {
        switch directive {
        case .start(let process):
            children[process.name] = ChildProcess(executable: plan.executable, cluster: plan.name, plan: process) {
                event in
                await self.handle(event)
            }
        case .log(let process, let text): output.log(process, text)
        case .say(let text): output.say(text)
        case .announceReady(let url): output.ready(url)
        case .terminate(let name): children[name]?.terminate()
        case .kill(let name): children[name]?.kill()
        case .arm(let deadline): arm(deadline)
        case .finish(let outcome): finish(outcome)
        }
    }

    private func arm(_ deadline: LaunchSession.Deadline) {
        let time =
            switch deadline {
            case .ready: patience.ready
            case .drain: patience.drain
            case .grace: patience.grace
            case .reap: patience.reap
            case .restart(_, let wait): wait
            }
        let number = timerCount
        timerCount += 1
        timers[number] = Task {
            do { try await Task.sleep(for: time) } catch { return }
            self.timers[number] = nil
            self.handle(.deadline(deadline))
        }
    }

    private func finish(_ outcome: LaunchOutcome) {
        self.outcome = outcome
        for timer in timers.values { timer.cancel() }
        timers = [:]
        for waiter in waiters { waiter.resume(returning: outcome) }
        waiters = []
    }
}
