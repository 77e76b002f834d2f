// The ladder climbed against a real server.

/// What a ladder does.
public struct LadderPlan: Sendable {
    /// Requests of the unloaded measurement of each mode, after one to warm up.
    public static let unloadedRequests = 3
    /// A rung sends at least this many requests.
    public static let minimumRequests = 3

    /// The rates.
    public var ladder: LadderRates
    /// The promise on the p99 TTFT.
    public var bound: Duration
    /// The kind of arrivals.
    public var arrivals: ArrivalProcess
    /// The seed of every rung: the modes see the same arrivals.
    public var seed: UInt64
    /// How long a rung lasts on average: it sends rate x duration requests.
    public var rungDuration: Duration
    /// How long a request may take.
    public var timeout: Duration
    /// How long open requests are waited for at a rung's end.
    public var drainLimit: Duration
    /// How long the whole ladder may take.
    public var budget: Duration?
    /// Requests that may be open at a time.
    public var openLimit: Int

    /// Makes a plan.
    public init(
        ladder: LadderRates, bound: Duration, arrivals: ArrivalProcess, seed: UInt64, rungDuration: Duration,
        timeout: Duration, drainLimit: Duration, budget: Duration? = nil, openLimit: Int = 10_000
    ) {
        self.ladder = ladder
        self.bound = bound
        self.arrivals = arrivals
        self.seed = seed
        self.rungDuration = rungDuration
        self.timeout = timeout
        self.drainLimit = drainLimit
        self.budget = budget
        self.openLimit = openLimit
    }

    /// The schedule of a rung: a fixed number of arrivals, so that rungs of one rate have equally many samples.
    ///
    /// - Throws: a usage error when the rate and duration make too many.
    public func schedule(rate: Double) throws(LoadGeneratorError) -> ArrivalSchedule {
        let expected = (rate * rungDuration.seconds).rounded()
        guard expected <= Double(ArrivalSchedule.maximumCount) else {
            throw LoadGeneratorError(
                .usage, "ladder", "\(rate) requests/s make too many requests: shorten the duration")
        }
        return try ArrivalSchedule(arrivals, rate: rate, count: max(Self.minimumRequests, Int(expected)), seed: seed)
    }
}

/// One mode of a ladder: its name and its requests.
public struct LadderMode: Sendable {
    /// How it is called.
    public let name: String
    /// Its requests, at least one.
    public let requests: [PreparedRequest]

    /// Makes a mode.
    public init(name: String, requests: [PreparedRequest]) {
        self.name = name
        self.requests = requests
    }
}

/// What a ladder found about one mode.
public struct LadderModeResult: Sendable {
    /// Why a mode climbed no further.
    public enum Ending: String, Sendable, Codable {
        /// A rung's p99 TTFT broke the bound.
        case slow
        /// A request of a rung failed.
        case failures
        /// The highest rate passed: the mode may sustain more.
        case top
        /// The time budget was used up.
        case budget
        /// The user ended the ladder.
        case interrupted
    }

    /// One run.
    public struct Rung: Sendable {
        /// Its schedule.
        public let schedule: ArrivalSchedule
        /// What it measured.
        public let result: RunResult
        /// What that says.
        public let verdict: RungVerdict
    }

    /// The mode's name.
    public let name: String
    /// Its TTFT without load.
    public internal(set) var unloaded: UnloadedMeasurement?
    /// Its runs, by ascending rate.
    public internal(set) var rungs: [Rung] = []
    /// The highest rate that passed, requests per second; nil when none did.
    public internal(set) var highestPassing: Double?
    /// Why it climbed no further.
    public internal(set) var ending: Ending = .interrupted
}

/// Where a ladder stands, for a progress display.
public enum LadderProgress: Sendable, Equatable {
    /// The unloaded TTFT of a mode is being measured.
    case unloaded(mode: String)
    /// One request before a rung, to see that the server has put the last rung behind it.
    case settling(mode: String, rate: Double)
    /// A rung is being run.
    case running(mode: String, rate: Double, RunProgress)
}

/// Climbs the ladder with every mode.
public struct LadderRun: Sendable {
    private let plan: LadderPlan
    private let modes: [LadderMode]
    private let target: any LoadTarget
    private let report: (@Sendable (LadderProgress) -> Void)?

    /// - Parameter report: called at every change, from many tasks: it must be quick.
    public init(
        _ plan: LadderPlan, modes: [LadderMode], target: any LoadTarget,
        report: (@Sendable (LadderProgress) -> Void)? = nil
    ) {
        self.plan = plan
        self.modes = modes
        self.target = target
        self.report = report
    }

    /// Measures every mode unloaded, then climbs. Cancelling the task ends it early and keeps what was measured.
    ///
    /// - Throws: a usage error when a rung's schedule cannot be made; an unreachable error when there is no connection.
    public func run() async throws(LoadGeneratorError) -> [LadderModeResult] {
        let deadline = plan.budget.map { ContinuousClock.now + $0 }
        var results = modes.map { LadderModeResult(name: $0.name) }
        let schedules = try plan.ladder.rates.map { rate throws(LoadGeneratorError) in try plan.schedule(rate: rate) }
        for (index, mode) in modes.enumerated() {
            report?(.unloaded(mode: mode.name))
            results[index].unloaded = try await measureUnloaded(mode, deadline: deadline)
        }
        var climb = LadderClimb(plan.ladder, modes: modes.count)
        while let rung = climb.next, let schedule = schedules.first(where: { $0.rate == rung.rate }) {
            // A rung that cannot end in time is not begun: half a rung says nothing.
            let fits = deadline.map { ContinuousClock.now + schedule.span < $0 } ?? true
            guard fits, !Task.isCancelled else {
                results[rung.mode].ending = Task.isCancelled ? .interrupted : .budget
                climb.record(.incomplete)
                continue
            }
            let result = await run(modes[rung.mode], schedule: schedule, deadline: deadline)
            let verdict = RungVerdict(result, bound: plan.bound)
            results[rung.mode].rungs.append(.init(schedule: schedule, result: result, verdict: verdict))
            results[rung.mode].ending = Self.ending(after: verdict, result)
            climb.record(verdict)
        }
        for index in results.indices { results[index].highestPassing = climb.highestPassing[index] }
        return results
    }

    private static func ending(after verdict: RungVerdict, _ result: RunResult) -> LadderModeResult.Ending {
        switch verdict {
        // It stays so unless a higher rung says otherwise.
        case .pass: .top
        case .slow: .slow
        case .failures: .failures
        case .incomplete: result.ending == .interrupted ? .interrupted : .budget
        }
    }

    private func measureUnloaded(
        _ mode: LadderMode, deadline: ContinuousClock.Instant?
    ) async throws(LoadGeneratorError) -> UnloadedMeasurement {
        let warmUp = await UnloadedMeasurement.measure(
            mode.requests, count: 1, target: target, timeout: plan.timeout, deadline: deadline)
        if let failure = warmUp.firstFailure, failure.kind == .connection {
            throw LoadGeneratorError(.unreachable, "target", failure.detail)
        }
        return await UnloadedMeasurement.measure(
            mode.requests, count: LadderPlan.unloadedRequests, target: target, timeout: plan.timeout, deadline: deadline
        )
    }

    private func run(
        _ mode: LadderMode, schedule: ArrivalSchedule, deadline: ContinuousClock.Instant?
    ) async -> RunResult {
        report?(.settling(mode: mode.name, rate: schedule.rate))
        _ = await UnloadedMeasurement.measure(
            mode.requests, count: 1, target: target, timeout: plan.timeout, deadline: deadline)
        let count = schedule.offsets.count
        let rule = StopRule(
            bound: plan.bound, allowedMisses: LatencyDistribution.allowedMisses(perThousand: 990, of: count))
        let runPlan = RunPlan(
            schedule: schedule, timeout: plan.timeout, drainLimit: plan.drainLimit, stopRule: rule, deadline: deadline,
            openLimit: plan.openLimit)
        let report = report
        let run = LoadRun(runPlan, requests: mode.requests, target: target) { progress in
            report?(.running(mode: mode.name, rate: schedule.rate, progress))
        }
        return await run.run()
    }
}
