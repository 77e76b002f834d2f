package import Layers
import Synchronization
package import Wire

/// Turns events of requests and pipelines into metrics. A pure value: events and their times in, sums out.
package struct MetricsCollector {
    package typealias Instant = ContinuousClock.Instant

    private struct UnderWay {
        var phase = ServiceMetrics.Phase.queue
        var since: Instant
        let accepted: Instant
        var firstToken: Instant?
        /// Time in the queue so far; `nil` once it has been recorded.
        var queued: Duration? = .zero
        /// Phases it has been counted in.
        var counted: Set<ServiceMetrics.Phase> = []
    }

    /// A worker in its place in a pipeline.
    package struct Placed: Equatable, Sendable {
        package var worker: String
        package var layers: LayerSpan
        /// 0: not said.
        package var threads: Int

        package init(worker: String, layers: LayerSpan, threads: Int) {
            self.worker = worker
            self.layers = layers
            self.threads = threads
        }
    }

    /// Workers that come and go under ever new names leave no more series behind than this.
    package static let maxStages = 1024
    /// More kinds of faults than this are counted as `other`.
    package static let maxFaultKinds = 32

    private var sums = ServiceMetrics()
    private var requests: [UInt64: UnderWay] = [:]

    package init() {}

    /// All sums and levels at this moment.
    package var metrics: ServiceMetrics {
        var metrics = sums
        for request in requests.values {
            switch request.phase {
            case .queue: metrics.waiting += 1
            case .speculate: metrics.speculating += 1
            case .prefill, .decode: metrics.running += 1
            }
        }
        metrics.stages.sort { ($0.pipeline, $0.stage, $0.worker) < ($1.pipeline, $1.stage, $1.worker) }
        return metrics
    }

    // MARK: Requests

    package mutating func refused() { sums.requests[.refused, default: 0] += 1 }

    package mutating func accepted(_ id: UInt64, now: Instant) { requests[id] = UnderWay(since: now, accepted: now) }

    /// The speculator begins with the request's prompt.
    package mutating func speculationBegan(_ id: UInt64, now: Instant) { enter(.speculate, id, now) }

    /// The speculator is done with a prompt, whether it scored it or gave it up.
    package mutating func speculationEnded(_ id: UInt64, busy: Duration, isScored: Bool, now: Instant) {
        sums.speculatorBusy += busy
        if isScored {
            sums.speculatorPrompts += 1
            sums.speculationTime.record(busy)
        }
        if requests[id]?.phase == .speculate { enter(.queue, id, now) }
    }

    /// The prompt is on its way to its first pipeline, pruned or not.
    package mutating func pruned(promptTokens: Int, keptTokens: Int) {
        sums.promptTokens += promptTokens
        sums.keptTokens += keptTokens
        if promptTokens > 0 { sums.keptShare.record(Double(keptTokens) / Double(promptTokens)) }
    }

    /// The request's first rows leave for the pipeline.
    package mutating func prefillBegan(_ id: UInt64, now: Instant) {
        enter(.prefill, id, now)
        if let queued = requests[id]?.queued { sums.queueTime.record(queued) }
        requests[id]?.queued = nil
    }

    /// The first token out of a pipeline; on a replay the first out of the next one.
    package mutating func firstToken(_ id: UInt64, now: Instant) {
        enter(.decode, id, now)
        guard let request = requests[id], request.firstToken == nil else { return }
        requests[id]?.firstToken = now
        sums.timeToFirstToken.record(request.accepted.duration(to: now))
    }

    /// The request's pipeline fell, and it waits for another.
    package mutating func replayed(_ id: UInt64, now: Instant) {
        guard requests[id] != nil else { return }
        sums.replays += 1
        enter(.queue, id, now)
    }

    /// So many guesses went down a pipeline, and so many of them were right.
    package mutating func drafted(proposed: Int, accepted: Int) {
        sums.acceptedDrafts += accepted
        sums.rejectedDrafts += max(0, proposed - accepted)
    }

    package mutating func generated(tokens: Int) { sums.generatedTokens += tokens }

    /// The request's one end. Unknown requests are ignored.
    ///
    /// - Parameter tokens: of its answer.
    package mutating func ended(
        _ id: UInt64, _ outcome: ServiceMetrics.Outcome, tokens: Int = 0, now: Instant
    ) {
        guard var request = requests.removeValue(forKey: id) else { return }
        leave(&request, now)
        sums.requests[outcome, default: 0] += 1
        // One that never left the queue has waited too.
        if let queued = request.queued { sums.queueTime.record(queued) }
        if outcome == .finished { sums.endToEnd.record(request.accepted.duration(to: now)) }
        if let first = request.firstToken, tokens > 1 {
            sums.timePerOutputToken.record(first.duration(to: now) / (tokens - 1))
        }
    }

    private mutating func enter(_ phase: ServiceMetrics.Phase, _ id: UInt64, _ now: Instant) {
        guard var request = requests[id] else { return }
        leave(&request, now)
        request.phase = phase
        request.since = now
        requests[id] = request
    }

    /// Adds the time in the phase that the request is in.
    private mutating func leave(_ request: inout UnderWay, _ now: Instant) {
        // Events of two threads may come a moment out of order.
        let time = max(.zero, request.since.duration(to: now))
        let isFirst = request.counted.insert(request.phase).inserted
        sums.phases[request.phase, default: .init()].time += time
        if isFirst { sums.phases[request.phase, default: .init()].requests += 1 }
        if request.phase == .queue, let queued = request.queued { request.queued = queued + time }
    }

    // MARK: Pipelines

    /// A worker, a link or a pipeline failed; `kind` is a word of ours, as `connection_closed`.
    package mutating func faulted(_ kind: String) {
        let isKnown = sums.faults[kind] != nil || sums.faults.count < Self.maxFaultKinds
        sums.faults[isKnown ? kind : "other", default: 0] += 1
    }

    /// So many connections of strangers were not let in.
    package mutating func refused(_ refusals: Refusals, at edge: ServiceMetrics.Edge) {
        for (reason, count) in refusals.counts {
            let before = sums.refusedConnections[edge]?[reason.rawValue] ?? 0
            sums.refusedConnections[edge, default: [:]][reason.rawValue] = Refusals.sum(before, count)
        }
    }

    /// A pipeline can serve, made of these stages. `kvRows`: the budget each of them keeps to.
    package mutating func stood(pipeline: Int, stages: [Placed], kvRows: Int) {
        fell(pipeline: pipeline)
        for (stage, placed) in stages.enumerated() {
            var entry = ServiceMetrics.Stage(pipeline: pipeline, stage: stage, worker: placed.worker)
            if let index = sums.stages.firstIndex(where: {
                $0.pipeline == pipeline && $0.stage == stage && $0.worker == placed.worker
            }) {
                entry = sums.stages.remove(at: index)
            }
            entry.holding = ServiceMetrics.Holding(
                layers: placed.layers, threads: placed.threads > 0 ? placed.threads : nil, kvRowsBudget: kvRows)
            sums.stages.append(entry)
        }
        while sums.stages.count > Self.maxStages, let oldest = sums.stages.firstIndex(where: { $0.holding == nil }) {
            sums.stages.remove(at: oldest)
        }
    }

    /// The pipeline is no more: its workers keep their sums and hold nothing.
    package mutating func fell(pipeline: Int) {
        for index in sums.stages.indices where sums.stages[index].pipeline == pipeline {
            sums.stages[index].holding = nil
        }
    }

    /// A micro-batch came out of the pipeline.
    ///
    /// - Parameter stageMicroseconds: each stage's compute time; ignored unless there is one for every stage.
    package mutating func completed(pipeline: Int, rows: Int, stageMicroseconds: [UInt64]) {
        let standing = sums.stages.indices.filter {
            sums.stages[$0].pipeline == pipeline && sums.stages[$0].holding != nil
        }
        guard standing.count == stageMicroseconds.count else { return }
        for index in standing {
            guard stageMicroseconds.indices.contains(sums.stages[index].stage) else { continue }
            // No micro-batch takes a day; sums of what a broken worker says must not overflow.
            let microseconds = min(stageMicroseconds[sums.stages[index].stage], 86_400_000_000)
            sums.stages[index].busy += .microseconds(Int64(microseconds))
            sums.stages[index].microBatches += 1
            sums.stages[index].rows += rows
        }
    }

    /// The pipeline had something to do for so much longer.
    package mutating func active(pipeline: Int, _ time: Duration) {
        for index in sums.stages.indices
        where sums.stages[index].pipeline == pipeline && sums.stages[index].holding != nil {
            sums.stages[index].active += time
        }
    }

    /// How long a micro-batch waited at each stage, and was on its way to it.
    package mutating func passed(pipeline: Int, waits: [Duration], wires: [Duration]) {
        for index in sums.stages.indices
        where sums.stages[index].pipeline == pipeline && sums.stages[index].holding != nil {
            let stage = sums.stages[index].stage
            guard waits.indices.contains(stage), wires.indices.contains(stage) else { continue }
            // What a broken worker says of its clock must not overflow.
            sums.stages[index].wait += min(waits[stage], .seconds(86_400))
            sums.stages[index].wire += min(wires[stage], .seconds(86_400))
        }
    }

    package mutating func kvRowsUsed(pipeline: Int, stage: Int, rows: Int) {
        for index in sums.stages.indices
        where sums.stages[index].pipeline == pipeline && sums.stages[index].stage == stage {
            sums.stages[index].holding?.kvRowsUsed = rows
        }
    }
}

extension RequestError {
    /// How a request that ended with this error is counted.
    var outcome: ServiceMetrics.Outcome {
        switch code {
        case .cancelled: .cancelled
        case .invalidRequest, .promptTooLong, .overloaded, .unavailable: .refused
        case .workerLost, .deadlineExceeded, .internalError: .failed
        }
    }
}

/// The metrics as several threads add to them: admission on any, the speculator on its own, the rest on the coordinator's.
package final class MetricsLedger: Sendable {
    private let collector = Mutex(MetricsCollector())

    package init() {}

    package func record(_ event: (inout MetricsCollector) -> Void) { collector.withLock { event(&$0) } }

    package var metrics: ServiceMetrics { collector.withLock { $0.metrics } }
}
