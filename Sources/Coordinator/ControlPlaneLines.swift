// Pipelines and speculators: how they are formed, stand and fall.

import Layers
import Logging
package import Wire

extension ControlPlane {
    /// Makes what is like what should be.
    mutating func reconcile(now: Instant) {
        guard !isStopped else { return }
        for (number, line) in lines where !line.isStanding && line.isComplete(reports(of: number)) {
            stand(number, now: now)
        }
        relieve(now: now)
        for index in settings.pipelines.indices where lines[index] == nil { form(index, now: now) }
        formSpeculators(now: now)
        let spares = membership.alive.filter { $0.report.role == .stage && line(of: $0.peer) == nil }
        preloads = Placement.preloads(
            spares: spares,
            stages: lines.sorted { $0.key < $1.key }.flatMap { number, line in
                line.kind == .speculator ? [] : line.slots.map { (pipeline: line.name, layers: $0.layers) }
            })
        let wanted = Set(lines.values.compactMap(\.last))
        if wanted != guests {
            guests = wanted
            directives.append(.allow(wanted))
        }
        sayReadiness()
    }

    /// Workers that want to leave are relieved at once: a replay costs less than waiting would.
    private mutating func relieve(now: Instant) {
        for member in membership.all where member.report.isLeaving {
            guard let number = line(of: member.peer) else { continue }
            fell(number, reason: "worker \(member.profile.name) leaves", isOrderly: true, now: now)
        }
    }

    /// At the start those who were told to serve this pipeline are waited for, before others take their places.
    private static let grace = Duration.seconds(2)

    private mutating func form(_ index: Int, now: Instant) {
        let since = notBefore[index]
        let name = settings.pipelines[index].name
        var free = membership.alive.filter { member in
            member.report.role == .stage && member.closedSince == nil && line(of: member.peer) == nil
                && since.map { member.lastHeard > $0 } ?? true
        }
        if since == nil, free.contains(where: { $0.profile.pipeline == name }) {
            let until = graceUntil[index] ?? now + Self.grace
            graceUntil[index] = until
            if now < until { free.removeAll { $0.profile.pipeline == nil } }
        }
        do throws(Placement.Unfilled) {
            let places = try Placement.fill(
                settings.pipelines[index], work: settings.work, free: free)
            open(number: index, kind: .pipeline(index), name: name, places: places, now: now)
            unfilled[index] = nil
        } catch {
            unfilled[index] = error.reason
        }
    }

    private mutating func formSpeculators(now: Instant) {
        guard settings.speculatorsAreWorkers else { return }
        for member in membership.alive
        where member.report.role == .speculator && !member.report.isLeaving && member.closedSince == nil
            && line(of: member.peer) == nil
        {
            open(
                number: nextSpeculator, kind: .speculator, name: member.profile.name,
                places: [Placement.Place(peer: member.peer, layers: LayerSpan(0..<max(1, member.profile.layerCount)))],
                now: now)
            nextSpeculator += 1
        }
    }

    private mutating func open(
        number: Int, kind: Line.Kind, name: String, places: [Placement.Place], now: Instant
    ) {
        counter += 1
        let members = places.compactMap { membership[$0.peer] }
        let slots = zip(places, members).map { place, member in
            Line.Slot(
                peer: place.peer, data: Guest(member.profile.dataPeer, key: member.key),
                dataEndpoint: member.profile.dataEndpoint,
                name: member.profile.name, layers: place.layers)
        }
        guard slots.count == places.count, let first = slots.first else { return }
        let kvRows = members.map(\.profile.kvRows).filter { $0 > 0 }.min().map { min($0, settings.kvRows) }
        let line = Line(
            kind: kind, name: name, epoch: Epoch(incarnation: settings.incarnation, counter: counter), slots: slots,
            kvRows: kvRows ?? settings.kvRows,
            arithmetic: Set(members.map(\.profile.arithmetic)).sorted().joined(separator: "; "), since: now)
        lines[number] = line
        for slot in slots {
            directives.append(
                .log(
                    .info, "assigning",
                    ["line": name, "epoch": "\(line.epoch)", "worker": slot.name, "layers": slot.layers.description]))
        }
        directives.append(.allow(Set(lines.values.compactMap(\.last))))
        guests = Set(lines.values.compactMap(\.last))
        directives.append(.open(line: number, to: first.dataEndpoint, key: first.data.key))
        for slot in slots { directives.append(.tell(slot.peer, desired(slot.peer))) }
    }

    /// The link to a line's first stage took a probe.
    package mutating func linked(_ number: Int, epoch: Epoch, now: Instant) {
        guard lines[number]?.epoch == epoch else { return }
        lines[number]?.isLinked = true
        reconcile(now: now)
    }

    /// Lines whose link to the first stage has not stood yet.
    package var unlinked: [(line: Int, epoch: Epoch)] {
        lines.filter { !$0.value.isLinked }.map { ($0.key, $0.value.epoch) }
    }

    private mutating func stand(_ number: Int, now: Instant) {
        guard let line = lines[number] else { return }
        lines[number]?.isStanding = true
        guard case .pipeline(let index) = line.kind else {
            directives.append(.log(.info, "a speculator is ready", ["worker": line.name]))
            dispatchScores(now: now)
            return
        }
        lastFall[index] = nil
        var scheduler = Scheduler(
            limits: Scheduler.Limits(
                maxRows: settings.microBatchRows, maxInFlight: maxInFlight(line.slots.count),
                stageCount: line.slots.count, kvRows: line.kvRows))
        // The same split as before computes as fast as before.
        if costs[number]?.count == line.slots.count {
            scheduler.cost = PipelineCost(costs[number] ?? [])
        } else {
            costs[number] = line.slots.map { _ in CostFit() }
        }
        schedulers[number] = scheduler
        underWay[number] = [:]
        let stages = line.slots.map { slot in
            MetricsCollector.Placed(
                worker: slot.name, layers: slot.layers, threads: membership[slot.peer]?.profile.threads ?? 0)
        }
        directives.append(.record { $0.stood(pipeline: index, stages: stages, kvRows: line.kvRows) })
        directives.append(
            .log(.info, "the pipeline stands", ["pipeline": line.name, "epoch": "\(line.epoch)"]))
        directives.append(.stands(line.slots.map(\.name)))
        sayReadiness()
        route(now: now)
    }

    /// A line is no more: its requests go elsewhere, its workers drop what they held.
    mutating func fell(_ number: Int, reason: String, isOrderly: Bool = false, now: Instant) {
        guard let line = lines.removeValue(forKey: number) else { return }
        schedulers[number] = nil
        underWay[number] = nil
        activeSince[number] = nil
        directives.append(.close(line: number))
        directives.append(
            .fault(place: line.name, kind: isOrderly ? "left" : Self.kind(of: reason), reason: reason))
        for slot in line.slots { directives.append(.tell(slot.peer, desired(slot.peer))) }
        switch line.kind {
        case .pipeline(let index):
            // A link failed, so one of its ends may be dead: whoever is heard from now on is not.
            notBefore[index] = now
            lastFall[index] = reason
            let kind = isOrderly ? "left" : Self.kind(of: reason)
            directives.append(
                .record {
                    $0.fell(pipeline: index)
                    $0.faulted(kind)
                })
            directives.append(
                .log(
                    isOrderly ? .notice : .error, "a pipeline is down", ["pipeline": line.name, "reason": reason]))
            unfilled[index] = unfilled[index] ?? reason
            perform(requests.fell(number, reason: reason, now: now), now: now)
        case .speculator:
            directives.append(.log(isOrderly ? .notice : .warning, "a speculator is lost", ["reason": reason]))
            if let id = jobs.removeValue(forKey: number) {
                perform(requests.scoringFailed(id, reason: reason, isFinal: false, now: now), now: now)
            }
        }
        sayReadiness()
        route(now: now)
        dispatchScores(now: now)
    }

    /// What a fault is counted as.
    private static func kind(of reason: String) -> String {
        let kinds = [
            ("closed its connection", "connection_closed"), ("silent", "silence"), ("progress", "stall"),
            ("lost", "messages_lost"), ("takes nothing", "link"), ("anew", "restart"),
        ]
        return kinds.first { reason.contains($0.0) }?.1 ?? "reported"
    }
}
