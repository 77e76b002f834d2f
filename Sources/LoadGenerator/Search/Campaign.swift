// Several modes measured in turns on one machine: what the policies decide, done.

import Synchronization

/// One way of asking one server: what is compared with what.
public struct CampaignMode: Sendable {
    /// How tables and reports call it.
    public let name: String
    /// The server's address.
    public let address: String
    /// The model asked for.
    public let model: String
    /// The server.
    public let target: any LoadTarget
    /// Its requests.
    public let source: any RequestSource

    /// Makes a mode.
    public init(name: String, address: String, model: String, target: any LoadTarget, source: any RequestSource) {
        self.name = name
        self.address = address
        self.model = model
        self.target = target
        self.source = source
    }
}

/// When the requests of each step are sent.
public enum LoadShape: Sendable {
    /// At the step's rate, for this long.
    case timed(ArrivalProcess, Duration)
    /// At the step's rate, so many of them on average in this time, and at least so many; bracketing runs are content
    /// with the second number, because the first rates are far from the answer.
    case counted(ArrivalProcess, Duration, minimum: Int, bracket: Int? = nil)
    /// As recorded, whatever the step's rate.
    case recorded(ArrivalSchedule)
    /// By users in turn, whatever the step's rate.
    case closed(concurrency: Int, Duration)

    /// The load of a step.
    ///
    /// - Throws: a usage error when the rate and the length make too many requests.
    public func load(of step: RateStep) throws(LoadGeneratorError) -> Load {
        switch self {
        case .timed(let process, let duration):
            return .open(try ArrivalSchedule(process, rate: step.rate, duration: duration, seed: step.seed))
        case .counted(let process, let duration, let minimum, let bracket):
            // Up: a run that is a hair too short proves nothing.
            let wanted = max(Double(minimum), (step.rate * duration.seconds).rounded(.up))
            guard wanted <= Double(ArrivalSchedule.maximumCount) else {
                throw LoadGeneratorError(.usage, "duration", "makes too many requests at \(step.rate)/s: shorten it")
            }
            let inTime = (step.rate * duration.seconds).rounded(.up)
            let count =
                step.purpose == .bracket
                ? Int(min(wanted, max(Double(bracket ?? minimum), inTime))) : Int(wanted)
            return .open(try ArrivalSchedule(process, rate: step.rate, count: count, seed: step.seed))
        case .recorded(let schedule): return .open(schedule)
        case .closed(let concurrency, let duration): return .closed(concurrency: concurrency, duration: duration)
        }
    }

    /// How long a step's window is.
    func span(of step: RateStep) -> Duration {
        switch self {
        case .timed(_, let duration), .closed(_, let duration): duration
        case .recorded(let schedule): schedule.span
        case .counted(_, let duration, let minimum, let bracket):
            max(
                duration,
                .seconds(
                    min(1e9, Double(step.purpose == .bracket ? min(minimum, bracket ?? minimum) : minimum) / step.rate))
            )
        }
    }
}

/// What is done to every mode.
public struct CampaignPlan: Sendable {
    /// How rates are chosen.
    public enum Way: Sendable {
        /// One run at this rate.
        case single(rate: Double)
        /// A ladder.
        case ladder(LadderRates)
        /// A search; a start of nil begins at half of what one request after the other gives.
        case search(start: Double?, ceiling: Double, precision: Double, confirmations: Int)
        /// The paper's ladder and rule; no ladder makes one around what one request after the other gives.
        case paper(LadderRates?)
    }

    /// How rates are chosen.
    public var way: Way
    /// When requests are sent.
    public var shape: LoadShape
    /// The promises.
    public var levels: [ServiceLevel]
    /// How sure a verdict must be, 0...1.
    public var confidence: Double
    /// How long a run must last for a verdict.
    public var minimumDuration: Duration
    /// The seed of everything.
    public var seed: UInt64
    /// Requests of each mode before anything counts.
    public var warmUp: Int
    /// How long a request may take.
    public var timeout: Duration
    /// How long open requests are waited for at a run's end.
    public var drainLimit: Duration
    /// Rest between runs.
    public var pause: Duration
    /// How long all of it may take.
    public var budget: Duration?
    /// Requests that may be open at a time.
    public var openLimit: Int
    /// How late the generator may be; see ``VerdictRules/maximumLateness``.
    public var maximumLateness: Duration?

    /// Requests of the unloaded measurement of each mode.
    public static let unloadedRequests = 3

    /// Makes a plan.
    public init(
        way: Way, shape: LoadShape, levels: [ServiceLevel] = [], confidence: Double = 0.99,
        minimumDuration: Duration = .zero, seed: UInt64 = 1, warmUp: Int = 1, timeout: Duration = .seconds(60),
        drainLimit: Duration = .seconds(60), pause: Duration = .zero, budget: Duration? = nil, openLimit: Int = 10_000,
        maximumLateness: Duration? = nil
    ) {
        self.way = way
        self.shape = shape
        self.levels = levels
        self.confidence = confidence
        self.minimumDuration = minimumDuration
        self.seed = seed
        self.warmUp = warmUp
        self.timeout = timeout
        self.drainLimit = drainLimit
        self.pause = pause
        self.budget = budget
        self.openLimit = openLimit
        self.maximumLateness = maximumLateness
    }

    /// Whether the modes must be measured without load first.
    var needsUnloaded: Bool {
        if levels.contains(where: \.isRelative) { return true }
        if case .single = way { return false }
        return true
    }

    fileprivate func policy(unloaded: Duration?) -> any RatePolicy {
        // What one request after the other gives, or anything at all.
        let sequential = 1 / max(unloaded?.seconds ?? 1, 1e-4)
        switch way {
        case .single(let rate): return SingleRate(rate: rate, seed: seed)
        case .ladder(let rates): return LadderClimb(rates, seed: seed)
        case .paper(let rates): return LadderClimb(rates ?? LadderRates(around: sequential), seed: seed)
        case .search(let start, let ceiling, let precision, let confirmations):
            return MaximalRateSearch(
                .init(
                    start: start ?? sequential / 2, ceiling: ceiling, precision: precision,
                    confirmations: confirmations, confidence: confidence, seed: seed))
        }
    }
}

/// One finished run of a mode.
public struct CampaignRun: Sendable {
    /// Why and at which rate it was made.
    public let step: RateStep
    /// When its requests were due.
    public let load: Load
    /// What it measured.
    public let result: RunResult
    /// What that says.
    public let judgement: Judgement
    /// Where the server's time went, if it says.
    public let server: ServerWork?
}

/// What is known about one mode.
public struct CampaignModeResult: Sendable {
    /// The mode's name.
    public let name: String
    /// The server's address.
    public let address: String
    /// The model asked for.
    public let model: String
    /// Its latency without load.
    public internal(set) var unloaded: UnloadedMeasurement?
    /// Its runs, in the order they were made.
    public internal(set) var runs: [CampaignRun] = []
    /// What the policy found.
    public internal(set) var finding = RateFinding(verdict: .interrupted)

    /// When its last run ended; for telling which mode ran last.
    public internal(set) var lastEnd: ContinuousClock.Instant?

    init(_ mode: CampaignMode) {
        (name, address, model) = (mode.name, mode.address, mode.model)
    }
}

/// Where a campaign stands, for a display.
public struct CampaignProgress: Sendable {
    /// What is being done, in words.
    public var activity = ""
    /// The mode at work.
    public var mode = ""
    /// The run under way.
    public var step: RateStep?
    /// Its numbers.
    public var run: RunProgress?
    /// The promises, once they are times.
    public var objectives: [Objective] = []
    /// How long it may still take, all modes together.
    public var remaining: Duration?
}

/// Measures modes in turns.
public final class Campaign: Sendable {
    private let plan: CampaignPlan
    private let modes: [CampaignMode]
    private let onRun: @Sendable ([CampaignModeResult], Objectives) -> Void
    private let state = Mutex(State())

    /// The promises in times.
    public typealias Objectives = [Objective]

    private struct State {
        var progress = CampaignProgress()
        var run: LoadRun?
        var runEnd: ContinuousClock.Instant?
        var later = Duration.zero
    }

    /// - Parameters:
    ///   - modes: at least one; the first is what relative promises and comparisons refer to.
    ///   - onRun: called after every run with all there is so far.
    public init(
        _ plan: CampaignPlan, modes: [CampaignMode],
        onRun: @escaping @Sendable ([CampaignModeResult], Objectives) -> Void = { _, _ in }
    ) {
        self.plan = plan
        self.modes = modes
        self.onRun = onRun
    }

    /// Where it stands; to be asked at any time, from any task.
    public var progress: CampaignProgress {
        let (copy, run, end, later) = state.withLock { ($0.progress, $0.run, $0.runEnd, $0.later) }
        var progress = copy
        progress.run = run?.progress
        if let end { progress.remaining = max(.zero, end - .now) + later }
        return progress
    }

    /// Measures every mode to its end. Cancelling the task ends it early and keeps what was measured.
    ///
    /// - Throws: a usage error when a schedule cannot be made, an unreachable error when a server has no connection.
    public func run() async throws(LoadGeneratorError) -> (modes: [CampaignModeResult], objectives: Objectives) {
        let deadline = plan.budget.map { ContinuousClock.now + $0 }
        var results = modes.map(CampaignModeResult.init)
        for (index, mode) in modes.enumerated() {
            results[index].unloaded = try await prepare(mode, deadline: deadline)
        }
        let objectives = try objectives(results.first?.unloaded)
        state.withLock { $0.progress.objectives = objectives }
        var policies = results.map { result in
            hopelessness(result.unloaded, objectives).map { NoRate(reason: $0) as any RatePolicy }
                ?? plan.policy(unloaded: result.unloaded?.median(.e2e))
        }
        var isStopped = Task.isCancelled
        while !isStopped, policies.contains(where: { $0.next != nil }) {
            for index in modes.indices {
                guard !isStopped, let step = policies[index].next else { continue }
                let load = try plan.shape.load(of: step)
                // A run that cannot end in time is not begun: half a run says nothing.
                if Task.isCancelled || !fits(step, deadline) {
                    isStopped = true
                    break
                }
                foretell(policies, at: index, step)
                let rule = stopRule(load, step, objectives, policies[index])
                let run = await self.run(modes[index], step, load, objectives, rule, deadline)
                results[index].runs.append(run)
                results[index].lastEnd = .now
                policies[index].record(StepOutcome(run.judgement), run.judgement.objectives.map(Evidence.init))
                results[index].finding = policies[index].finding
                onRun(results, objectives)
                if run.result.ending == .interrupted || run.result.ending == .deadline { isStopped = true }
            }
        }
        for index in modes.indices {
            results[index].finding = policies[index].finding
            if let deadline, policies[index].next != nil, !Task.isCancelled, deadline - .now < .seconds(1) || isStopped
            {
                results[index].finding.verdict = .inconclusive
                results[index].finding.reasons = ["the time given ended it before it had found its answer"]
            }
        }
        state.withLock { $0.run = nil }
        return (results, objectives)
    }

    /// What no rate can mend: requests that fail, or are too slow, even one after the other.
    private func hopelessness(_ unloaded: UnloadedMeasurement?, _ objectives: Objectives) -> String? {
        guard let unloaded, !unloaded.records.isEmpty else { return nil }
        if let failure = unloaded.firstFailure, unloaded.records.allSatisfy({ $0.outcome != .completed }) {
            return "requests fail even without load: \(failure.detail)"
        }
        for objective in objectives {
            guard let median = unloaded.median(objective.metric), median > objective.bound else { continue }
            return "\(objective.name) is broken even without load: the median is \(median.shortText)"
        }
        return nil
    }

    private func fits(_ step: RateStep, _ deadline: ContinuousClock.Instant?) -> Bool {
        deadline.map { ContinuousClock.now + plan.shape.span(of: step) < $0 } ?? true
    }

    private func objectives(_ unloaded: UnloadedMeasurement?) throws(LoadGeneratorError) -> Objectives {
        var objectives: Objectives = []
        for level in plan.levels {
            guard let objective = level.objective(unloaded: unloaded?.median(level.metric)) else {
                if Task.isCancelled { return [] }
                let cause = unloaded?.firstFailure.map { ": \($0.detail)" } ?? ""
                throw LoadGeneratorError(
                    .unreachable, "SLO in multiples of the unloaded \(level.metric.name)",
                    "there is no unloaded \(level.metric.name) to multiply\(cause)")
            }
            objectives.append(objective)
        }
        return objectives
    }

    private func prepare(
        _ mode: CampaignMode, deadline: ContinuousClock.Instant?
    ) async throws(LoadGeneratorError) -> UnloadedMeasurement? {
        show("warming up", mode)
        let warmUp = await UnloadedMeasurement.measure(
            mode.source, count: plan.warmUp, target: mode.target, timeout: plan.timeout, deadline: deadline)
        if let failure = warmUp.firstFailure, failure.kind == .connection {
            throw LoadGeneratorError(.unreachable, mode.address, failure.detail)
        }
        guard plan.needsUnloaded else { return nil }
        show("latency without load", mode)
        return await UnloadedMeasurement.measure(
            mode.source, from: plan.warmUp, count: CampaignPlan.unloadedRequests, target: mode.target,
            timeout: plan.timeout, deadline: deadline)
    }

    private func run(
        _ mode: CampaignMode, _ step: RateStep, _ load: Load, _ objectives: Objectives, _ rule: StopRule?,
        _ deadline: ContinuousClock.Instant?
    ) async -> CampaignRun {
        if step.purpose != .run {
            // One request, to see that the server has put the last run behind it.
            show("settling", mode, step)
            if plan.pause > .zero { try? await Task.sleep(for: plan.pause) }
            _ = await UnloadedMeasurement.measure(
                mode.source, count: 1, target: mode.target, timeout: plan.timeout, deadline: deadline)
        }
        let run = LoadRun(
            RunPlan(
                load: load, timeout: plan.timeout, drainLimit: plan.drainLimit,
                stopRule: rule, deadline: deadline, openLimit: plan.openLimit),
            source: mode.source, target: mode.target)
        let before = await mode.target.counters()
        let start = ContinuousClock.now
        state.withLock { state in
            state.run = run
            state.runEnd = start + plan.shape.span(of: step)
            state.progress.activity = step.purpose.rawValue
            state.progress.mode = mode.name
            state.progress.step = step
        }
        let result = await run.run()
        let seconds = (ContinuousClock.now - start).seconds
        var server: ServerWork?
        if let before, let after = await mode.target.counters() {
            server = ServerWork(before: before, after: after, seconds: seconds)
        }
        let judgement: Judgement
        if case .paper = plan.way {
            judgement = Judgement(paper: result, maximumLateness: plan.maximumLateness)
        } else {
            judgement = Judgement(
                result,
                VerdictRules(
                    objectives: objectives, confidence: plan.confidence, minimumDuration: plan.minimumDuration,
                    maximumLateness: plan.maximumLateness))
        }
        return CampaignRun(step: step, load: load, result: result, judgement: judgement, server: server)
    }

    /// A run that can no longer pass is ended. A single run is asked for its own sake and goes on.
    private func stopRule(
        _ load: Load, _ step: RateStep, _ objectives: Objectives, _ policy: any RatePolicy
    ) -> StopRule? {
        guard step.purpose != .run, case .open(let schedule) = load else { return nil }
        if case .paper = plan.way { return StopRule(limits: [], allowedFailures: PaperRule.allowedTimeouts) }
        let count = schedule.offsets.count
        return StopRule(
            limits: objectives.enumerated().map { index, objective in
                let allowed =
                    policy.allowedMisses(index, objective.percentile, of: count)
                    ?? LatencyDistribution.allowedMisses(objective.percentile, of: count)
                return .init(objective, allowedMisses: allowed)
            })
    }

    private func show(_ activity: String, _ mode: CampaignMode, _ step: RateStep? = nil) {
        state.withLock { state in
            state.progress.activity = activity
            state.progress.mode = mode.name
            state.progress.step = step
            state.run = nil
            state.runEnd = nil
        }
    }

    /// Works out what is to come after this step.
    private func foretell(_ policies: [any RatePolicy], at current: Int, _ step: RateStep) {
        var later = Duration.zero
        for (index, policy) in policies.enumerated() {
            for step in policy.ahead.dropFirst(index == current ? 1 : 0) {
                later += plan.shape.span(of: step) + plan.pause
            }
        }
        state.withLock { $0.later = later }
    }
}
