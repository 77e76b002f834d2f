// A control plane as it stands, for the status.

import Foundation
import Layers
import Wire

extension ControlPlane {
    /// A stage that takes so many times as long for the same rows and layers as the pipelines' median stage is called slow.
    static let slowFactor = 1.5
    /// A worker whose own timer is so late has a host that is overloaded.
    static let lateLimit = Duration.milliseconds(250)
    /// The most workers without a place that are told.
    static let mostSpares = 100

    /// What there is now, and from `history` what was.
    ///
    /// - Parameter takenAt: the time of day at `now`, seconds since 1970.
    package func status(_ history: RecentHistory, takenAt: Double, now: Instant) -> FleetStatus {
        var status = FleetStatus()
        status.takenAt = takenAt
        status.notReady = notReadyReason
        let growth = history.growth
        status.pipelines = settings.pipelines.indices.map { pipeline($0, growth, takenAt: takenAt, now: now) }
        markSlow(&status.pipelines)
        status.speculators = speculators
        status.speculatorsBusy = growth?.speculatorsBusy ?? 0
        status.spares = membership.alive.filter { line(of: $0.peer) == nil }.prefix(Self.mostSpares).map { member in
            FleetStatus.Spare(
                worker: member.profile.name, role: member.report.role == .stage ? "stage" : "speculator",
                layers: member.report.loaded?.description, isLeaving: member.report.isLeaving)
        }
        for id in requests.ids {
            switch requests[id]?.phase {
            case .waitingToBeScored, .waiting: status.queue.waiting += 1
            case .scoring: status.queue.scoring += 1
            case .running: status.queue.running += 1
            case nil: break
            }
        }
        history.fill(&status, now: now) { id, request in
            guard let entry = requests[id] else { return }
            request.generatedTokens = entry.given.count
            switch entry.phase {
            case .waitingToBeScored, .waiting: request.state = .waiting
            case .scoring: request.state = .scoring
            case .running(let number):
                request.state = entry.given.isEmpty ? .prefill : .decode
                request.pipeline = lines[number]?.name
            }
        }
        return status
    }

    private func pipeline(_ number: Int, _ growth: Growth?, takenAt: Double, now: Instant) -> FleetStatus.Pipeline {
        var pipeline = FleetStatus.Pipeline(name: settings.pipelines[number].name)
        guard let line = lines[number] else {
            pipeline.reason = missing(number)
            return pipeline
        }
        pipeline.epoch = "\(line.epoch)"
        pipeline.isStanding = line.isStanding
        pipeline.since = takenAt - line.since.duration(to: now) / .seconds(1)
        if !line.isStanding { pipeline.reason = missing(number) }
        var rows: [Double] = []
        for (index, slot) in line.slots.enumerated() {
            var stage = FleetStatus.Stage(worker: slot.name, layers: slot.layers)
            stage.kvRows = line.kvRows
            if let member = membership[slot.peer] {
                let report = member.report
                stage.threads = member.profile.threads
                stage.loaded =
                    report.loaded == slot.layers
                    ? 1 : Double(report.loading.isFinite ? min(1, max(0, report.loading)) : 0)
                stage.isLinked = report.epoch == line.epoch && report.isLinked
                stage.kvRowsUsed = report.kvRowsUsed
                stage.silentSeconds = max(0, member.lastHeard.duration(to: now) / .seconds(1))
                if member.lateness >= Self.lateLimit, member.latenessAt.duration(to: now) < .seconds(15) {
                    let milliseconds = Int(min(member.lateness, .seconds(3600)) / .milliseconds(1))
                    stage.slow = "its timer is late by \(milliseconds) ms: its host has too much to do"
                }
            }
            if let growth { rows.append(growth.fill(&stage, pipeline: number, index: index)) }
            pipeline.stages.append(stage)
        }
        pipeline.rowsPerSecond = rows.min() ?? 0
        if let scheduler = schedulers[number] {
            let queued = scheduler.queuedRows
            pipeline.queuedRows = queued.prompt
            pipeline.decoding = queued.decoding
            pipeline.rowsInFlight = scheduler.rowsInFlight
        }
        pipeline.microBatchesInFlight = underWay[number]?.count ?? 0
        pipeline.requests = requests.ids.count { requests[$0]?.phase == .running(pipeline: number) }
        return pipeline
    }

    /// Compares all stages by what they would take for the same micro-batch, per layer.
    private func markSlow(_ pipelines: inout [FleetStatus.Pipeline]) {
        var times: [(pipeline: Int, stage: Int, seconds: Double)] = []
        for number in settings.pipelines.indices {
            guard let fits = costs[number], let slots = lines[number]?.slots, fits.count == slots.count else {
                continue
            }
            for (index, fit) in fits.enumerated() {
                guard let model = fit.model else { continue }
                let seconds = model.seconds(cached: 256, rows: 128) / max(0.01, settings.work(of: slots[index].layers))
                if seconds > 0, seconds.isFinite { times.append((number, index, seconds)) }
            }
        }
        // The lower one of two: of two stages the slow one must be seen.
        let sorted = times.map(\.seconds).sorted()
        guard sorted.count > 1 else { return }
        let median = sorted[(sorted.count - 1) / 2]
        for time in times where time.seconds >= Self.slowFactor * median {
            let factor = (time.seconds / median * 10).rounded() / 10
            pipelines[time.pipeline].stages[time.stage].slow =
                pipelines[time.pipeline].stages[time.stage].slow
                ?? "takes \(factor) times as long for a layer as the median stage"
        }
    }

    private var speculators: [FleetStatus.Speculator] {
        guard settings.speculatorsAreWorkers else {
            guard settings.speculatorContext != nil else { return [] }
            let scored = requests.ids.first { if case .scoring = requests[$0]?.phase { true } else { false } }
            return [
                FleetStatus.Speculator(
                    name: "coordinator", isWorker: false, isReady: true, scoring: scored.map(called))
            ]
        }
        return lines.filter { $0.value.kind == .speculator }.sorted { $0.key < $1.key }.map { number, line in
            FleetStatus.Speculator(
                name: line.name, isWorker: true, isReady: line.isStanding, scoring: jobs[number].map(called))
        }
    }

    private func called(_ id: UInt64) -> String { requests[id]?.request.name ?? "\(id)" }
}
