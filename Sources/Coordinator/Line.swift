import DequeModule
package import Layers
package import Wire

/// A way from the coordinator through workers and back: the stages of a pipeline, or one speculator. One life of it.
package struct Line: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Kind: Sendable, Equatable {
        /// The number of its shape among the configured ones.
        case pipeline(Int)
        case speculator
    }

    package struct Slot: Sendable, Equatable {
        package let peer: PeerID
        package let data: Guest
        package let dataEndpoint: String
        package let name: String
        package let layers: LayerSpan
        /// It has said that it serves this epoch: if it says otherwise later, its KV is gone.
        package var hasAdopted = false

        package init(peer: PeerID, data: Guest, dataEndpoint: String, name: String, layers: LayerSpan) {
            self.peer = peer
            self.data = data
            self.dataEndpoint = dataEndpoint
            self.name = name
            self.layers = layers
        }
    }

    /// Two ends of an edge count differently since then.
    private struct Missing: Sendable {
        var received: UInt64
        var since: Instant
    }

    package let kind: Kind
    package let name: String
    package let epoch: Epoch
    package private(set) var slots: [Slot]
    package let kvRows: Int
    /// What the last digits of its results depend on.
    package let arithmetic: String
    package let since: Instant
    /// Since when every stage holds its layers; links are waited for from there on, however long the loading took.
    private var loadedSince: Instant?
    /// Of what comes back from the last stage.
    package var check: SequenceCheck
    /// The coordinator's own link to the first stage has stood.
    package var isLinked = false
    package var isStanding = false
    /// What can't be reached was told.
    package var isLate = false
    package private(set) var sent: UInt64 = 0
    private var outbox: Deque<Message> = []
    /// Since when something can't be sent.
    private var blockedSince: Instant?
    private var missing: [Int: Missing] = [:]

    package init(
        kind: Kind, name: String, epoch: Epoch, slots: [Slot], kvRows: Int, arithmetic: String, since: Instant
    ) {
        self.kind = kind
        self.name = name
        self.epoch = epoch
        self.slots = slots
        self.kvRows = kvRows
        self.arithmetic = arithmetic
        self.since = since
        check = SequenceCheck(epoch: epoch)
    }

    /// Who sends what comes out.
    package var last: Guest? { slots.last?.data }
    package func index(of peer: PeerID) -> Int? { slots.firstIndex { $0.peer == peer } }

    // MARK: Sending

    package mutating func send(_ message: Message) { outbox.append(message) }

    /// What is to be sent next to the first stage.
    package var next: Packet? {
        guard isStanding, let message = outbox.first else { return nil }
        return Packet(epoch: epoch, sequence: sent + 1, message)
    }

    package mutating func didSend() {
        sent += 1
        blockedSince = nil
        _ = outbox.popFirst()
    }

    package mutating func couldNotSend(now: Instant) { blockedSince = blockedSince ?? now }

    // MARK: Judging

    /// What a member's report means for the line; a text when it can't go on.
    ///
    /// - Parameters:
    ///   - reports: of each slot, the newest.
    ///   - lossLimit: for how long what one end sent may not have come to the other.
    package mutating func judge(
        _ index: Int, reports: [Report?], now: Instant, lossLimit: Duration
    ) -> String? {
        guard let report = reports[index] else { return nil }
        let name = slots[index].name
        guard report.epoch == epoch else {
            return slots[index].hasAdopted ? "worker \(name) has left its place" : nil
        }
        slots[index].hasAdopted = true
        if let fault = report.fault { return "worker \(name) reports: \(fault)" }
        // The edge into it, and for the last stage the edge out of it.
        let before = index == 0 ? sent : reports[index - 1].flatMap { $0.epoch == epoch ? $0.sent : nil } ?? 0
        let from = index == 0 ? "the coordinator" : "worker \(slots[index - 1].name)"
        if isLost(edge: index, sent: before, received: report.received, now: now, limit: lossLimit) {
            return "messages from \(from) to worker \(name) were lost"
        }
        if index == slots.count - 1,
            isLost(edge: slots.count, sent: report.sent, received: check.received, now: now, limit: lossLimit)
        {
            return "messages from worker \(name) to the coordinator were lost"
        }
        return nil
    }

    private mutating func isLost(edge: Int, sent: UInt64, received: UInt64, now: Instant, limit: Duration) -> Bool {
        guard sent > received else {
            missing[edge] = nil
            return false
        }
        guard let known = missing[edge], known.received == received else {
            missing[edge] = Missing(received: received, since: now)
            return false
        }
        return known.since.duration(to: now) >= limit
    }

    /// The coordinator itself did not run for a while.
    package mutating func late(by lateness: Duration) {
        for edge in missing.keys { missing[edge]?.since += lateness }
        blockedSince? += lateness
    }

    /// Whether every stage holds its layers and its link.
    package func isComplete(_ reports: [Report?]) -> Bool {
        isLinked
            && zip(slots, reports).allSatisfy { slot, report in
                guard let report, report.epoch == epoch, report.fault == nil, report.isLinked else { return false }
                return report.loaded == slot.layers
            }
    }

    /// The link to the first stage takes nothing for too long.
    package func isBlocked(now: Instant) -> Bool {
        blockedSince.map { $0.duration(to: now) >= Protocol.linkLimit } ?? false
    }

    private func loadedCount(_ reports: [Report?]) -> Int {
        zip(slots, reports).count { slot, report in report?.epoch == epoch && report?.loaded == slot.layers }
    }

    /// Notes whether every stage holds its layers.
    package mutating func look(at reports: [Report?], now: Instant) {
        loadedSince = loadedCount(reports) == slots.count ? loadedSince ?? now : nil
    }

    /// Every stage holds its layers, and a link takes too long to come.
    package func isUnreached(now: Instant) -> Bool {
        !isStanding && (loadedSince.map { $0.duration(to: now) >= Protocol.linkLimit } ?? false)
    }

    /// What is missing while it does not stand, by name.
    package func missingText(_ reports: [Report?], results: String, now: Instant) -> String {
        let loaded = loadedCount(reports)
        guard loaded == slots.count else {
            return "workers are loading their layers: \(loaded) of \(slots.count) are ready"
        }
        guard isUnreached(now: now) else { return "the pipeline is being linked" }
        for (index, slot) in slots.enumerated() where reports[index]?.isLinked != true {
            guard index + 1 < slots.count else {
                return "worker \(slot.name) does not reach the coordinator's results endpoint \(results): "
                    + "is it an address that worker's host can connect to (--advertise of the coordinator)?"
            }
            let next = slots[index + 1]
            return "worker \(slot.name) does not reach worker \(next.name) at \(next.dataEndpoint): "
                + "is it an address the other hosts can connect to (--advertise of that worker)?"
        }
        guard !isLinked, let first = slots.first else { return "the pipeline is being linked" }
        return "the coordinator does not reach worker \(first.name) at \(first.dataEndpoint): "
            + "is it an address the coordinator's host can connect to (--advertise of that worker)?"
    }
}
