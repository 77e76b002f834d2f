// The decisions of a launch, without any process, clock or terminal: an event in, directives out.

/// The life of one launch from start to the end of its last process.
public struct LaunchSession: Sendable {
    /// What happened.
    public enum Event: Equatable, Sendable {
        /// The launch begins.
        case begin
        /// A process wrote a line to its standard output (`output`) or its log.
        case line(process: String, text: String, output: Bool)
        /// A process ended or could not be started.
        case ended(process: String, ProcessEnd)
        /// Someone asked the launch to end.
        case stop(StopReason)
        /// A deadline passed.
        case deadline(Deadline)
    }

    /// What the launch waits for with a bound.
    public enum Deadline: Equatable, Sendable {
        /// The cluster serves.
        case ready
        /// The coordinator has ended after SIGTERM, its running requests before it.
        case drain
        /// Processes have ended after SIGTERM.
        case grace
        /// Processes have ended after SIGKILL.
        case reap
        /// A process that ended by itself has waited this long for its next start.
        case restart(process: String, after: Duration)
    }

    /// What to do.
    public enum Directive: Equatable, Sendable {
        /// Start this process.
        case start(ProcessPlan)
        /// Show a line of this process.
        case log(process: String, text: String)
        /// Say something in the launcher's own name.
        case say(String)
        /// The cluster serves at this URL (once per launch).
        case announceReady(String)
        /// Send SIGTERM to this process.
        case terminate(String)
        /// Send SIGKILL to this process.
        case kill(String)
        /// Report this deadline when its time has passed.
        case arm(Deadline)
        /// The launch is over.
        case finish(LaunchOutcome)
    }

    /// Log lines kept of each process for a report.
    public static let tailLimit = 20

    private enum Phase: Equatable {
        case idle
        case waitingForEndpoint
        case waitingForStages
        case serving
        /// The coordinator ends the requests it has, with the workers still at work.
        case draining(LaunchOutcome)
        case ending(LaunchOutcome)
        case over
    }

    private let plan: LaunchPlan
    private var phase = Phase.idle
    /// Processes started and not ended, in the order they were started.
    private var running: [String] = []
    private var tails: [String: [String]] = [:]
    private var now = Duration.zero
    private var records: [String: RestartPolicy.Record] = [:]
    /// Processes that ended and are not started again.
    private var givenUp: Set<String> = []
    /// Where the coordinator listened first and serves; it comes back there.
    private var endpoint: String?
    private var url: String?

    /// A launch of `plan` that has not begun.
    public init(plan: LaunchPlan) { self.plan = plan }

    /// Takes an event and says what to do, in order.
    ///
    /// - Parameter now: Time since the launch began.
    public mutating func handle(_ event: Event, at now: Duration) -> [Directive] {
        self.now = now
        return switch event {
        case .begin: begin()
        case .line(let process, let text, let output): line(process, text, output: output)
        case .ended(let process, let end): ended(process, end)
        case .stop(let reason): stop(reason)
        case .deadline(let deadline): passed(deadline)
        }
    }

    private mutating func begin() -> [Directive] {
        guard phase == .idle else { return [] }
        phase = .waitingForEndpoint
        return [.arm(.ready)] + start([plan.coordinator])
    }

    private mutating func start(_ processes: [ProcessPlan]) -> [Directive] {
        running += processes.map(\.name)
        for process in processes { records[process.name, default: .init()].started = now }
        return processes.map { .start($0) }
    }

    private mutating func line(_ process: String, _ text: String, output: Bool) -> [Directive] {
        tails[process, default: []].append(text)
        if tails[process, default: []].count > Self.tailLimit { tails[process]?.removeFirst() }
        let log = Directive.log(process: process, text: text)
        guard output, process == plan.coordinator.name else { return [log] }
        let words = text.split(separator: " ")
        switch (phase, words.first) {
        case (.waitingForEndpoint, "listening") where words.count == 2:
            phase = .waitingForStages
            endpoint = String(words[1])
            return [log] + start(plan.workers(coordinatorAt: String(words[1])))
        case (.waitingForStages, "ready") where words.count == 2:
            phase = .serving
            url = String(words[1])
            return [log, .announceReady(String(words[1]))]
        default:
            return [log]
        }
    }

    private mutating func ended(_ process: String, _ end: ProcessEnd) -> [Directive] {
        guard let index = running.firstIndex(of: process) else { return [] }
        running.remove(at: index)
        switch phase {
        case .ending(let outcome): return finishIfEmpty(outcome)
        // A worker that goes now takes its requests with it; what the coordinator tells their clients is awaited.
        case .draining(let outcome): return process == plan.coordinator.name ? endAll(outcome) : []
        default: break
        }
        let decision = plan.restart.decision(
            after: end, at: now, hasServed: phase == .serving, &records[process, default: .init()])
        switch decision {
        case .restart(let wait):
            return [
                .say("\(process) ended: \(end); starting it again in \(wait)"),
                .arm(.restart(process: process, after: wait)),
            ]
        case .giveUp(let reason):
            let failure = ProcessFailure(name: process, end: end, lastLines: tails[process] ?? [])
            givenUp.insert(process)
            guard canGoOn else { return endAll(.failed(failure)) }
            return [
                .say("\(LaunchOutcome.failed(failure))"),
                .say("\(process) is not started again: \(reason); the launch goes on without it"),
            ]
        }
    }

    /// Whether some pipeline can be served without the processes given up. Before it has served, the launch goes on with
    /// all it was told to start or not at all.
    private var canGoOn: Bool {
        guard phase == .serving, !givenUp.contains(plan.coordinator.name) else { return false }
        var lost: [String: Int] = [:]
        var spares = 0
        for worker in plan.workers {
            let isLost = givenUp.contains(worker.name)
            switch worker.part {
            case .stage(let pipeline): lost[pipeline, default: 0] += isLost ? 1 : 0
            case .spare: spares += isLost ? 0 : 1
            case .speculator, .coordinator: break
            }
        }
        return lost.values.contains { $0 <= spares }
    }

    private mutating func startAgain(_ process: String) -> [Directive] {
        if process == plan.coordinator.name {
            return start([plan.coordinator(listeningAt: endpoint, servingAt: url)])
        }
        return start(plan.workers(coordinatorAt: endpoint ?? "").filter { $0.name == process })
    }

    private mutating func stop(_ reason: StopReason) -> [Directive] {
        switch phase {
        case .idle, .over: []
        // A second Ctrl-C means "now".
        case .draining(let outcome): askedAgain(outcome)
        case .ending(let outcome): askedAgain(outcome)
        case .waitingForEndpoint, .waitingForStages: endAll(.stopped(reason))
        case .serving: drain(.stopped(reason))
        }
    }

    private mutating func askedAgain(_ outcome: LaunchOutcome) -> [Directive] {
        phase = .ending(outcome)
        return [.say("asked again: killing what is left")] + killAll()
    }

    /// The coordinator first: it takes no more requests and ends those it has, which needs the workers.
    private mutating func drain(_ outcome: LaunchOutcome) -> [Directive] {
        guard running.contains(plan.coordinator.name) else { return endAll(outcome) }
        phase = .draining(outcome)
        return [.terminate(plan.coordinator.name), .arm(.drain)]
    }

    private mutating func passed(_ deadline: Deadline) -> [Directive] {
        switch (deadline, phase) {
        case (.ready, .waitingForEndpoint):
            return endAll(.notReady("the coordinator has not said `listening ENDPOINT`; its log above says why"))
        case (.ready, .waitingForStages):
            let last = tails[plan.coordinator.name]?.last.map { "; the coordinator's last line: \($0)" } ?? ""
            return endAll(
                .notReady("the coordinator has not said `ready URL`: a stage is missing or still loading\(last)"))
        case (.restart(let process, _), .waitingForEndpoint), (.restart(let process, _), .waitingForStages),
            (.restart(let process, _), .serving):
            return startAgain(process)
        case (.drain, .draining(let outcome)):
            return [
                .say("\(plan.coordinator.name) did not end after SIGTERM: killing it"), .kill(plan.coordinator.name),
            ] + endAll(outcome)
        case (.grace, .ending):
            return running.map { .say("\($0) did not end after SIGTERM: killing it") } + killAll()
        case (.reap, .ending(let outcome)):
            // A process in an uninterruptible wait can't be ended by anyone; the launch must not hang with it.
            let left = running
            running = []
            return left.map { .say("\($0) does not end even after SIGKILL: leaving it") } + finishIfEmpty(outcome)
        default:
            return []
        }
    }

    private mutating func endAll(_ outcome: LaunchOutcome) -> [Directive] {
        phase = .ending(outcome)
        guard !running.isEmpty else { return finishIfEmpty(outcome) }
        return running.reversed().map { .terminate($0) } + [.arm(.grace)]
    }

    private func killAll() -> [Directive] {
        running.reversed().map { .kill($0) } + [.arm(.reap)]
    }

    private mutating func finishIfEmpty(_ outcome: LaunchOutcome) -> [Directive] {
        guard running.isEmpty else { return [] }
        phase = .over
        return [.finish(outcome)]
    }
}
