// Several modes measured in turns on one machine: what the policies decide, done.

import Synchronization

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
        var deadline: ContinuousClock.Instant?
    }

    /// No run is begun with less of the time given.
    private static let leastTime = Duration.seconds(1)

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
        let (copy, run, end, later, deadline) = state.withLock {
            ($0.progress, $0.run, $0.runEnd, $0.later, $0.deadline)
        }
        var progress = copy
        progress.run = run?.progress
        if let end {
            let remaining = max(.zero, end - .now) + later
            progress.remaining = deadline.map { min(remaining, max(.zero, $0 - .now)) } ?? remaining
        }
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
        var open = Set(modes.indices.filter { policies[$0].next != nil })
        var outOfTime: Set<Int> = []
        func noteTime() {
            if let deadline, deadline - .now < Self.leastTime { outOfTime.formUnion(open) }
            open.subtract(outOfTime)
        }
        noteTime()
        while !open.isEmpty, !Task.isCancelled {
            for index in open.sorted() {
                guard open.contains(index), let step = policies[index].next, !Task.isCancelled else { continue }
                let load = try plan.shape.load(of: step)
                let end = end(of: step, deadline, modes: open.count)
                foretell(policies, at: index, step, deadline)
                let rule = stopRule(load, step, objectives, policies[index])
                let run = await self.run(modes[index], step, load, objectives, rule, end)
                results[index].runs.append(run)
                results[index].lastEnd = .now
                let outcome = StepOutcome(run.judgement)
                policies[index].record(outcome, run.judgement.objectives.map(Evidence.init))
                results[index].finding = policies[index].finding
                if policies[index].next == nil { open.remove(index) }
                if run.result.ending == .deadline, outcome == .ended { outOfTime.insert(index) }
                noteTime()
                onRun(results, objectives)
            }
        }
        for index in modes.indices {
            results[index].finding = policies[index].finding
            if outOfTime.contains(index) { results[index].finding.endInTime() }
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
            guard let best = unloaded.minimum(objective.metric), best > objective.bound else { continue }
            return
                "\(objective.name) is broken even without load: the best of \(unloaded.records.count) requests "
                + "took \(best.shortText)"
        }
        return nil
    }

    /// When a step's run must end: with the time given, or, where it is too long for that, with the mode's share of what is
    /// left. Such a run proves nothing, but a promise that breaks is certain early; meanwhile other modes get their turn.
    private func end(
        of step: RateStep, _ deadline: ContinuousClock.Instant?, modes: Int
    ) -> ContinuousClock.Instant? {
        guard let deadline else { return nil }
        let now = ContinuousClock.now
        return now + plan.shape.span(of: step) < deadline ? deadline : now + (deadline - now) / max(modes, 1)
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
    private func foretell(
        _ policies: [any RatePolicy], at current: Int, _ step: RateStep, _ deadline: ContinuousClock.Instant?
    ) {
        var later = Duration.zero
        for (index, policy) in policies.enumerated() {
            for step in policy.ahead.dropFirst(index == current ? 1 : 0) {
                later += plan.shape.span(of: step) + plan.pause
            }
        }
        state.withLock { state in
            state.later = later
            state.deadline = deadline
        }
    }
}
