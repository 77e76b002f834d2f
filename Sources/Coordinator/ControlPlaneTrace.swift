// What the stages say of their time: on the coordinator's clock, for metrics and traces.

import Transformer
import Wire

/// A micro-batch on its way.
package struct UnderWay: Sendable {
    package var rows: Int
    package var segments: [CostSegment]
    package var requests: [UInt64]
    package var sent: ContinuousClock.Instant
}

extension ControlPlane {
    /// A stage's share of a micro-batch's way.
    struct Passage {
        var arrived: Instant
        var started: Instant
        var ended: Instant
        /// From where it was before: another stage, or the coordinator.
        var wire: Duration
        /// Between its arrival and its start.
        var wait: Duration { max(.zero, arrived.duration(to: started)) }
    }

    /// When a micro-batch was where; `nil` unless every stage said so and its clock is known.
    func passages(
        _ times: [WireStageTime], _ microseconds: [UInt64], of number: Int, sent: Instant
    ) -> [Passage]? {
        guard let line = lines[number], times.count == line.slots.count, microseconds.count == times.count else {
            return nil
        }
        var passages: [Passage] = []
        var before = sent
        for (index, time) in times.enumerated() {
            guard let origin = membership[line.slots[index].peer]?.clockOrigin else { return nil }
            func instant(_ value: UInt64) -> Instant {
                origin + .microseconds(Int64(clamping: min(value, 1 << 50)))
            }
            let started = instant(time.started)
            let ended = started + .microseconds(Int64(min(microseconds[index], 86_400_000_000)))
            let arrived = instant(time.received)
            passages.append(
                Passage(
                    arrived: arrived, started: started, ended: ended,
                    // Clocks agree to the time of a message's way, so a short way may come out as none.
                    wire: max(.zero, before.duration(to: arrived))))
            before = ended
        }
        return passages
    }

    /// Adds what a micro-batch's way took to the metrics, and to the trace.
    mutating func note(_ outcome: WireOutcome, _ work: UnderWay, of number: Int, now: Instant) {
        let active = activeSince[number].map { max(.zero, $0.duration(to: now)) } ?? .zero
        activeSince[number] = underWay[number]?.isEmpty == false ? now : nil
        guard
            let passages = passages(outcome.stageTimes, outcome.stageMicroseconds, of: number, sent: work.sent),
            let line = lines[number]
        else {
            directives.append(.record { $0.active(pipeline: number, active) })
            return
        }
        let waits = passages.map(\.wait)
        let wires = passages.map(\.wire)
        directives.append(
            .record {
                $0.active(pipeline: number, active)
                $0.passed(pipeline: number, waits: waits, wires: wires)
            })
        guard settings.isTracing else { return }
        var events: [TraceEvent] = []
        let name = "micro-batch \(outcome.microBatch), \(work.rows) rows"
        for (index, passage) in passages.enumerated() {
            let process = "\(line.name) stage \(index): \(line.slots[index].name)"
            events.append(
                TraceEvent(
                    process: process, row: "compute", name: name, start: passage.started,
                    duration: passage.started.duration(to: passage.ended), requests: work.requests))
            events.append(
                TraceEvent(
                    process: process, row: "wire", name: name, start: passage.arrived - passage.wire,
                    duration: passage.wire, requests: work.requests))
            events.append(
                TraceEvent(
                    process: process, row: "wait", name: name, start: passage.arrived, duration: passage.wait,
                    requests: work.requests))
        }
        events.append(
            TraceEvent(
                process: "coordinator", row: "\(line.name) under way", name: name, start: work.sent,
                duration: work.sent.duration(to: now), requests: work.requests, isPhase: false))
        directives.append(.trace(events))
    }

    /// A part of a request's life is over.
    mutating func note(phase: String, of id: UInt64, since start: Instant, now: Instant) {
        guard settings.isTracing else { return }
        directives.append(
            .trace([
                TraceEvent(
                    process: "coordinator", row: "requests", name: phase, start: start,
                    duration: start.duration(to: now), requests: [id], isPhase: true)
            ]))
    }
}
