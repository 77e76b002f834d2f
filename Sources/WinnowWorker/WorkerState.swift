import DequeModule
package import Layers
package import Wire

/// What a worker has and what it should have: a pure value. Events and their times in, actions out.
///
/// Nothing here depends on one message's arrival: the coordinator says again and again what should be, the worker says
/// again and again what is, and both act on the difference (DESIGN, the control plane).
package struct WorkerState: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// Indirect, as lists of them are made and copied all the time: else each had the size of the largest, and its tag in bits of
    /// a word that the others leave as they found it.
    package indirect enum Action: Sendable {
        /// Say what you have, at once.
        case report
        /// Only these peers may send from now on.
        case allow(Set<Guest>)
        /// Forget every request; hold the layers and the bounds of this assignment.
        case begin(Assignment)
        /// Hold these layers ready. No assignment stands.
        case preload(LayerSpan)
        /// Forget every request.
        case forget
        /// Connect to the next stage, instead of whatever was connected before; `nil`: to nobody.
        case link(to: String?, key: PublicKey?)
        case compute(Message, [Frame], Epoch)
        case release([UInt64], Epoch)
        /// Packets wait to be sent; see ``next``.
        case flush
        case end(Result<Void, WorkerError>)
        case log(LogLine)
    }

    /// Something an operator may want to know.
    package struct LogLine: Sendable, Equatable {
        package enum Level: Sendable { case debug, info, notice, warning, error }
        package var level: Level
        package var text: String
        package var details: [String: String]

        package init(_ level: Level, _ text: String, _ details: [String: String] = [:]) {
            self.level = level
            self.text = text
            self.details = details
        }
    }

    /// What the computing half says of itself with every report.
    package struct Load: Sendable, Equatable {
        package var progress: UInt64 = 0
        package var isBusy = false
        package var kvRowsUsed = 0
        package var requests = 0
        /// The layers whose weights are held.
        package var loaded: LayerSpan?
        /// Of weights being loaded, how much is there, 0 to 1.
        package var loading: Float = 0
        /// Time that computing threads have waited for a CPU, since the beginning.
        package var cpuWait = Duration.zero
        /// Messages, token rows and microseconds of computing, since the beginning.
        package var messages: UInt64 = 0
        package var rows: UInt64 = 0
        package var busyMicroseconds: UInt64 = 0

        package init() {}
    }

    private struct Served {
        let assignment: Assignment
        var check: SequenceCheck
        var isLoaded = false
        var isLinked = false
        var fault: String?
        var inFlight = 0
        var computed: UInt64 = 0
        var sent: UInt64 = 0
        /// Since when it is loaded and the next stage is not reached.
        var unlinkedSince: Instant?
        var isLate = false
    }

    /// A coordinator silent for this long is gone, and what it gave is dropped: the memory may be wanted by another.
    private static let forgetAfter = Duration.seconds(10)
    /// A worker that wants to leave and is not let go does so after this long.
    private static let leaveLimit = Duration.seconds(10)

    private let incarnation: Incarnation
    private let role: WorkerRole
    private let profile: Profile
    private let profileHash: UInt64
    private var served: Served?
    private var preloaded: LayerSpan?
    private var outbox: Deque<(message: Message, tensors: [Frame])> = []
    /// Since when something can't be sent.
    private var blockedSince: Instant?
    private var coordinator: Incarnation?
    private var knownProfile: UInt64 = 0
    private var lastHeard: Instant?
    private var leavingSince: Instant?
    private var lateness = Duration.zero
    private var isEnded = false

    /// - Parameter profileHash: not zero, and another one for another profile.
    package init(incarnation: Incarnation, role: WorkerRole, profile: Profile, profileHash: UInt64) {
        self.incarnation = incarnation
        self.role = role
        self.profile = profile
        self.profileHash = profileHash == 0 ? 1 : profileHash
    }

    package var epoch: Epoch? { served?.assignment.epoch }
    /// The assignment is loaded and its link has not stood yet: try it.
    package var wantsProbe: Bool { served.map { $0.isLoaded && !$0.isLinked && $0.fault == nil } ?? false }

    // MARK: What it has

    /// The report of this moment. The lateness starts anew.
    package mutating func report(load: Load) -> Report {
        defer { lateness = .zero }
        return Report(
            incarnation: incarnation, role: role, profileHash: profileHash,
            profile: knownProfile == profileHash ? nil : profile, epoch: served?.assignment.epoch,
            loaded: load.loaded, loading: load.loaded == nil ? load.loading : 1, isLinked: served?.isLinked ?? false,
            fault: served?.fault, received: served?.check.received ?? 0, computed: served?.computed ?? 0,
            sent: served?.sent ?? 0, progress: load.progress, isBusy: load.isBusy, kvRowsUsed: load.kvRowsUsed,
            requests: load.requests, lateness: lateness, cpuWait: load.cpuWait, isLeaving: leavingSince != nil)
    }

    /// How things stand, for whoever watches.
    func status(load: Load) -> WorkerStatus {
        var status = WorkerStatus()
        status.isRegistered = lastHeard != nil
        status.isDraining = leavingSince != nil
        var wanted = preloaded
        if let served {
            let assignment = served.assignment
            let isStage = role == .stage
            wanted = isStage ? assignment.layers : LayerSpan(0..<profile.layerCount)
            status.epoch = "\(assignment.epoch)"
            status.assignment = WorkerAssignment(
                stage: isStage ? assignment.stage : 0, stageCount: isStage ? assignment.stageCount : 1,
                layers: (wanted ?? assignment.layers).layers,
                layerSpan: (wanted ?? assignment.layers).description)
            status.isLoaded = served.isLoaded
            status.isReady = served.isLoaded && served.isLinked && served.fault == nil
            status.fault = served.fault
        }
        if let wanted, load.loaded != wanted, status.fault == nil {
            status.loadingLayers = wanted.layers
            status.loadingStep = Int((min(1, max(0, load.loading)) * Float(WorkerStatus.steps)).rounded(.down))
        }
        return status
    }

    /// The loop's own timer fired this much after it should have.
    package mutating func late(by duration: Duration) { lateness = max(lateness, duration) }

    // MARK: What it should have

    package mutating func hear(_ desired: Desired, now: Instant) -> [Action] {
        guard !isEnded else { return [] }
        lastHeard = now
        var actions: [Action] = []
        if coordinator != desired.incarnation {
            if coordinator != nil { actions.append(.log(LogLine(.notice, "another coordinator answers"))) }
            coordinator = desired.incarnation
        }
        if knownProfile != desired.knownProfile {
            knownProfile = desired.knownProfile
            if knownProfile != profileHash { actions.append(.report) }
        }
        switch desired.refusal {
        case nil: break
        case .badMessage:
            actions.append(.log(LogLine(.error, "the coordinator dropped a message", ["reason": desired.reason])))
        case .otherWeights, .badLayers, .otherPipeline, .notAllowed:
            return actions + end(.failure(.refused(desired.reason)))
        }
        if desired.mayLeave, leavingSince != nil { return actions + end(.success(())) }
        if let assignment = desired.assignment {
            actions += take(assignment)
        } else {
            actions += drop()
            if let layers = desired.preload, layers != preloaded, isWithin(layers) {
                preloaded = layers
                actions.append(.preload(layers))
            }
        }
        return actions
    }

    private func isWithin(_ layers: LayerSpan) -> Bool { layers.isWithin(layerCount: profile.layerCount) }

    private mutating func take(_ assignment: Assignment) -> [Action] {
        guard served?.assignment != assignment else { return [] }
        outbox.removeAll()
        preloaded = nil
        var now = Served(assignment: assignment, check: SequenceCheck(epoch: assignment.epoch))
        guard isWithin(assignment.layers) else {
            now.fault = "layers \(assignment.layers) lie outside the model's \(profile.layerCount)"
            served = now
            return [.forget, .report, .log(LogLine(.error, "can't serve", ["reason": now.fault ?? ""]))]
        }
        served = now
        let place = role == .stage ? "\(assignment.stage) of \(assignment.stageCount)" : "speculator"
        return [
            .log(
                LogLine(
                    .info, "assigned",
                    [
                        "epoch": "\(assignment.epoch)", "stage": place, "layers": assignment.layers.description,
                    ])),
            .allow([assignment.previous]), .begin(assignment),
            .link(to: assignment.nextEndpoint, key: assignment.nextKey), .report,
        ]
    }

    /// Nothing is assigned any more: what was held for requests is dropped at once.
    private mutating func drop() -> [Action] {
        guard served != nil else { return [] }
        served = nil
        outbox.removeAll()
        return [.allow([]), .link(to: nil, key: nil), .forget, .report]
    }

    // MARK: Its own half

    /// The layers of an epoch are loaded, or can't be.
    package mutating func loaded(_ result: Result<Void, WorkerError>, epoch: Epoch, now: Instant) -> [Action] {
        guard served?.assignment.epoch == epoch else { return [] }
        switch result {
        case .success:
            served?.isLoaded = true
            served?.unlinkedSince = now
            return [.report]
        case .failure(let error):
            // Another assignment would fail as well: the files or the memory of this host are at fault.
            return fail("\(error)") + end(.failure(error))
        }
    }

    /// The link took a probe: the next stage's end of it stands.
    package mutating func linked() -> [Action] {
        guard wantsProbe else { return [] }
        served?.isLinked = true
        return [.report, .flush]
    }

    private mutating func fail(_ reason: String) -> [Action] {
        guard served != nil, served?.fault == nil else { return [] }
        served?.fault = reason
        return [.log(LogLine(.error, "can't go on in this epoch", ["reason": reason])), .report]
    }

    // MARK: Data

    /// What the neighbour before sent.
    package mutating func receive(_ packet: Packet, from peer: PeerID) -> [Action] {
        guard let current = served, current.fault == nil, peer == current.assignment.previous.peer else { return [] }
        let verdict = served?.check.check(packet)
        switch verdict {
        case nil, .stale, .doubled: return []
        case .gap(let expected, let found):
            return fail("the link from the stage before lost messages: expected \(expected), found \(found)")
        case .inOrder: break
        }
        switch (packet.message, role) {
        case (.microBatch, .stage), (.score, .speculator):
            guard current.inFlight < current.assignment.maxInFlight else {
                return fail("more than the agreed \(current.assignment.maxInFlight) messages under way")
            }
            served?.inFlight += 1
            return [.compute(packet.message, packet.tensors, current.assignment.epoch)]
        case (.release(let requests), _): return [.release(requests, current.assignment.epoch)]
        default: return fail("a message came that is not for a \(role.rawValue)")
        }
    }

    /// What a message came to, to be passed on.
    package mutating func computed(_ result: Result<(Message, [Frame]), MessageError>, epoch: Epoch) -> [Action] {
        guard served?.assignment.epoch == epoch else { return [] }
        served?.inFlight -= 1
        served?.computed += 1
        switch result {
        case .success((let message, let tensors)):
            outbox.append((message, tensors))
            return [.flush]
        case .failure(let error): return fail("\(error)")
        }
    }

    /// The requests of an epoch are freed here; the next stage frees them too. A speculator tells nobody.
    package mutating func released(_ requests: [UInt64], epoch: Epoch) -> [Action] {
        guard served?.assignment.epoch == epoch, role == .stage else { return [] }
        outbox.append((.release(requests), []))
        return [.flush]
    }

    /// What is to be sent next, if anything. ``sent()`` says that it was.
    package var next: Packet? {
        guard let served, served.isLinked, served.fault == nil, let first = outbox.first else { return nil }
        return Packet(
            epoch: served.assignment.epoch, sequence: served.sent + 1, first.message, tensors: first.tensors)
    }

    package mutating func sent() {
        served?.sent += 1
        blockedSince = nil
        _ = outbox.popFirst()
    }

    // MARK: Time

    package mutating func tick(now: Instant) -> [Action] {
        guard !isEnded else { return [] }
        var actions: [Action] = []
        if let heard = lastHeard, heard.duration(to: now) > Self.forgetAfter {
            lastHeard = nil
            knownProfile = 0
            actions.append(.log(LogLine(.warning, "the coordinator is silent; waiting for it")))
            actions += drop()
        }
        if let served, !served.isLinked, !served.isLate, let since = served.unlinkedSince,
            since.duration(to: now) >= Protocol.linkLimit
        {
            self.served?.isLate = true
            actions.append(
                .log(
                    LogLine(
                        .warning,
                        "can't reach the next stage, still trying; is the address one this host can connect to?",
                        ["endpoint": served.assignment.nextEndpoint])))
        }
        if next == nil { blockedSince = nil } else { blockedSince = blockedSince ?? now }
        if let since = blockedSince, since.duration(to: now) >= Protocol.linkLimit, let served {
            actions += fail("the link to \(served.assignment.nextEndpoint) takes nothing")
        }
        if let since = leavingSince, lastHeard == nil || since.duration(to: now) >= Self.leaveLimit {
            actions += end(.success(()))
        }
        return actions
    }

    /// Asks to be relieved; the second call ends at once.
    package mutating func leave(now: Instant) -> [Action] {
        guard !isEnded else { return [] }
        guard leavingSince == nil, lastHeard != nil else { return end(.success(())) }
        leavingSince = now
        return [.log(LogLine(.info, "leaving: waiting to be relieved")), .report]
    }

    /// Ends at once; the coordinator finds out.
    package mutating func stop() -> [Action] { end(.success(())) }

    /// The coordinator's connection does not take a report. Whoever wants to leave has nobody to ask.
    package mutating func unreached() -> [Action] { leavingSince == nil ? [] : end(.success(())) }

    private mutating func end(_ result: Result<Void, WorkerError>) -> [Action] {
        guard !isEnded else { return [] }
        isEnded = true
        return drop() + [.end(result)]
    }
}
