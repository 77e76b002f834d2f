import DequeModule
package import Logging
import Speculation
import Transformer
package import Wire

/// All that the coordinator decides, as one pure value: events and their times in, directives out.
///
/// It holds who is there (``Membership``), the pipelines and speculators that stand (``Line``), what each pipeline has to
/// do (``Scheduler``), and every request (``RequestTable``). After each event it makes what is like what should be; a
/// message that was lost is made good by the next one.
package struct ControlPlane: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package struct Settings: Sendable {
        package var incarnation: Incarnation
        package var pipelines: [PipelineShape]
        package var layerCount: Int
        /// What the last stage computes besides its layers, in layers.
        package var headLayers: Double
        package var vocabularySize: Int
        /// The main model's and the speculator's fingerprints, 32 bytes.
        package var fingerprint: [UInt8]
        package var speculatorFingerprint: [UInt8]?
        /// Prompts are scored by workers, not in this process.
        package var speculatorsAreWorkers: Bool
        /// The longest prompt the speculator can read; `nil`: there is none.
        package var speculatorContext: Int?
        package var kvRows: Int
        package var microBatchRows: Int
        package var wireType: WireType
        /// Bytes of a hidden row.
        package var rowBytes: Int
        /// Where last stages and speculators send what they made.
        package var resultsEndpoint: String
        /// What the coordinator's own data links are called.
        package var dataPeer: PeerID
        /// Its key; `nil` where links are plain text.
        package var ownKey: PublicKey?
        package var stall: Duration
        package var requests: RequestTable.Limits
        package var ends: Set<Int32>
        /// Tell what took how long.
        package var isTracing: Bool

        package init(
            incarnation: Incarnation, pipelines: [PipelineShape], layerCount: Int, headLayers: Double = 0,
            vocabularySize: Int,
            fingerprint: [UInt8], speculatorFingerprint: [UInt8]? = nil, speculatorsAreWorkers: Bool = false,
            speculatorContext: Int? = nil, kvRows: Int, microBatchRows: Int, wireType: WireType = .f32,
            rowBytes: Int = 0, resultsEndpoint: String, dataPeer: PeerID, ownKey: PublicKey? = nil,
            stall: Duration = .seconds(60),
            requests: RequestTable.Limits, ends: Set<Int32> = [], isTracing: Bool = false
        ) {
            self.isTracing = isTracing
            self.incarnation = incarnation
            self.pipelines = pipelines
            self.layerCount = layerCount
            self.headLayers = headLayers
            self.vocabularySize = vocabularySize
            self.fingerprint = fingerprint
            self.speculatorFingerprint = speculatorFingerprint
            self.speculatorsAreWorkers = speculatorsAreWorkers
            self.speculatorContext = speculatorContext
            self.kvRows = kvRows
            self.microBatchRows = microBatchRows
            self.wireType = wireType
            self.rowBytes = rowBytes
            self.resultsEndpoint = resultsEndpoint
            self.dataPeer = dataPeer
            self.ownKey = ownKey
            self.stall = stall
            self.requests = requests
            self.ends = ends
        }
    }

    package enum Directive: Sendable {
        case tell(PeerID, Desired)
        /// Connect to a line's first stage.
        case open(line: Int, to: String, key: PublicKey?)
        case close(line: Int)
        /// Packets wait to be sent to a line's first stage; see ``next(_:)``.
        case flush(line: Int)
        /// The only peers whose results are taken.
        case allow(Set<Guest>)
        case request(RequestTable.Directive)
        /// Score a prompt in this process.
        case score(UInt64)
        /// `nil`: requests can be served.
        case readiness(String?)
        /// The names of the stages of a pipeline that can serve from now on.
        case stands([String])
        /// A pipeline or a speculator was lost.
        case fault(place: String, kind: String, reason: String)
        case record(@Sendable (inout MetricsCollector) -> Void)
        case trace([TraceEvent])
        case log(Logger.Level, String, [String: String])
    }

    package let settings: Settings
    package internal(set) var membership: Membership
    package internal(set) var requests: RequestTable
    /// Pipelines by the number of their shape, speculators from ``firstSpeculator`` on.
    package internal(set) var lines: [Int: Line] = [:]
    var schedulers: [Int: Scheduler] = [:]
    /// Compute times of each stage, per pipeline.
    var costs: [Int: [CostFit]] = [:]
    /// What each micro-batch under way consists of.
    var underWay: [Int: [UInt64: UnderWay]] = [:]
    /// Since when a pipeline has something to do, as far as that is not counted yet.
    var activeSince: [Int: Instant] = [:]
    /// The prompt that each speculator scores.
    var jobs: [Int: UInt64] = [:]
    /// When traced requests began.
    var begun: [UInt64: Instant] = [:]
    var nextSpeculator = Self.firstSpeculator
    private var counter: UInt64 = 0
    /// Why a pipeline does not stand, and the moment from which on a member must have been heard to be placed in it.
    private var unfilled: [Int: String] = [:]
    private var notBefore: [Int: Instant] = [:]
    private var graceUntil: [Int: Instant] = [:]
    private var lastFall: [Int: String] = [:]
    private var preloads: [PeerID: Range<Int>] = [:]
    private var told: String?
    private var guests: Set<Guest> = []
    /// Whose keys may join; `nil` where links are plain text.
    private var allowed: AllowList?
    private(set) var isStopped = false
    var directives: [Directive] = []

    static let firstSpeculator = 1_000_000

    package init(settings: Settings) {
        self.settings = settings
        membership = Membership(limits: Membership.Limits(stall: settings.stall))
        requests = RequestTable(limits: settings.requests, ends: settings.ends)
        for index in settings.pipelines.indices {
            unfilled[index] = Placement.present(0, of: settings.pipelines[index].stageCount)
        }
        told = notReadyReason ?? "starting"
    }

    /// What is to be done, in order. Empty afterwards.
    package mutating func take() -> [Directive] {
        defer { directives.removeAll() }
        return directives
    }

    // MARK: Workers

    package mutating func hear(_ report: Report, from peer: PeerID, key: PublicKey? = nil, now: Instant) {
        guard !isStopped else { return }
        // Whoever calls itself what another one is called is not answered either: the answer would reach the other.
        if let member = membership[peer], member.key != key { return }
        do throws(Membership.Refused) {
            // Whose key was revoked may still be connected.
            try checkKey(key, role: report.role, name: membership[peer]?.profile.name)
            let (before, role) = (self, report.role)
            switch try membership.hear(
                report, from: peer, key: key, now: now,
                check: { profile throws(Membership.Refused) in try before.check(profile, role: role, key: key) })
            {
            case .unknown, .full: break
            case .known: judge(peer, now: now)
            case .joined(let replaced):
                for old in replaced { lose(old, why: "came back anew", now: now) }
            }
        } catch {
            directives.append(.log(.warning, "refused a worker", ["reason": error.reason]))
            directives.append(
                .tell(
                    peer,
                    Desired(
                        incarnation: settings.incarnation, knownProfile: report.profileHash, refusal: error.refusal,
                        reason: error.reason)))
            return
        }
        if let number = line(of: peer), case .pipeline(let pipeline)? = lines[number]?.kind,
            let stage = lines[number]?.index(of: peer)
        {
            directives.append(.record { $0.kvRowsUsed(pipeline: pipeline, stage: stage, rows: report.kvRowsUsed) })
        }
        reconcile(now: now)
        directives.append(.tell(peer, desired(peer)))
    }

    /// A control message that can't be read.
    package mutating func misheard(_ error: MessageError, from peer: PeerID?) {
        directives.append(.log(.warning, "dropped a control message", ["error": "\(error)"]))
        guard let peer else { return }
        directives.append(
            .tell(
                peer,
                Desired(incarnation: settings.incarnation, refusal: .badMessage, reason: "\(error)")))
    }

    /// Whether a worker's connection took the last message to it.
    package mutating func reached(_ peer: PeerID, _ isReached: Bool, now: Instant) {
        membership.reached(peer, isReached, now: now)
    }

    /// A stage must hold the main model's weights, a speculator the speculator's: those of the other would compute, and
    /// answer nonsense.
    private func check(_ profile: Profile, role: WorkerRole, key: PublicKey?) throws(Membership.Refused) {
        try checkKey(key, role: role, name: profile.name)
        guard let wanted = role == .stage ? settings.fingerprint : settings.speculatorFingerprint else {
            throw Membership.Refused(
                .otherWeights, "the coordinator has no speculator: start it with --speculator PATH --speculator-workers"
            )
        }
        guard profile.fingerprint == wanted else {
            throw Membership.Refused(
                .otherWeights,
                "its model \"\(profile.model)\" has fingerprint \(Self.short(profile.fingerprint)), "
                    + "the coordinator's \(role == .stage ? "model" : "speculator") has \(Self.short(wanted)): "
                    + "give every \(role == .stage ? "worker" : "speculator") the same model directory")
        }
        if let name = profile.pipeline, !settings.pipelines.contains(where: { $0.name == name }) {
            let names = settings.pipelines.map(\.name).joined(separator: ", ")
            throw Membership.Refused(.otherPipeline, "there is no pipeline \"\(name)\"; there are: \(names)")
        }
        guard let wish = profile.layers else { return }
        guard wish.upperBound <= settings.layerCount else {
            throw Membership.Refused(
                .badLayers,
                "layers \(wish.layersText) lie outside the model's \((0..<settings.layerCount).layersText)")
        }
        // In the only pipeline there is, a wish that overlaps another one can never be served beside it; the same twice
        // makes a spare.
        guard settings.pipelines.count == 1 else { return }
        for member in membership.alive {
            guard let other = member.profile.layers, other != wish, other.overlaps(wish),
                member.profile.dataEndpoint != profile.dataEndpoint
            else { continue }
            throw Membership.Refused(
                .badLayers,
                "layers \(wish.layersText) overlap \(other.layersText) of worker \(member.profile.name)")
        }
    }

    /// A key is one worker of one role.
    private func checkKey(_ key: PublicKey?, role: WorkerRole, name: String?) throws(Membership.Refused) {
        guard let allowed else { return }
        guard let entry = key.flatMap({ allowed[$0] }) else {
            throw Membership.Refused(.notAllowed, "its key is not on the coordinator's list")
        }
        guard entry.role == role else {
            throw Membership.Refused(
                .notAllowed, "its key is for a \(entry.role.rawValue), and it says it is a \(role.rawValue)")
        }
        guard let name, !entry.covers(name: name) else { return }
        throw Membership.Refused(
            .notAllowed, "its key is \(entry.name)'s, and it calls itself \(name): start it with --name \(entry.name)")
    }

    /// From now on these keys may join; whose key is not among them is lost at once.
    package mutating func allow(_ list: AllowList, now: Instant) {
        allowed = list
        for member in membership.all {
            do throws(Membership.Refused) {
                try checkKey(member.key, role: member.report.role, name: member.profile.name)
            } catch {
                directives.append(.log(.warning, "a worker may no longer take part", ["reason": error.reason]))
                lose(member.peer, why: "may no longer take part: \(error.reason)", now: now)
                membership.remove(member.peer)
            }
        }
        reconcile(now: now)
    }

    private static func short(_ fingerprint: [UInt8]) -> String {
        fingerprint.prefix(6).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private mutating func judge(_ peer: PeerID, now: Instant) {
        guard let number = line(of: peer), let index = lines[number]?.index(of: peer) else { return }
        let reports = reports(of: number)
        // What is on its way over a slow link is not lost: a second, and the time of a full message at 4 MB/s.
        let loss = Duration.seconds(1) + .seconds(Double(settings.microBatchRows * settings.rowBytes) / 4e6)
        if let reason = lines[number]?.judge(index, reports: reports, now: now, lossLimit: loss) {
            fell(number, reason: reason, now: now)
        }
    }

    private mutating func lose(_ peer: PeerID, why: String, now: Instant) {
        guard let number = line(of: peer), let line = lines[number], let index = line.index(of: peer) else { return }
        fell(number, reason: "worker \(line.slots[index].name) \(why)", now: now)
    }

    func line(of peer: PeerID) -> Int? { lines.first { $0.value.index(of: peer) != nil }?.key }

    func reports(of number: Int) -> [Report?] { lines[number]?.slots.map { membership[$0.peer]?.report } ?? [] }

    /// What a worker should have.
    package func desired(_ peer: PeerID) -> Desired {
        var desired = Desired(incarnation: settings.incarnation)
        // A coordinator that ends holds nobody back.
        desired.mayLeave = isStopped
        guard let member = membership[peer], !isStopped else { return desired }
        desired.knownProfile = member.report.profileHash
        guard let number = line(of: peer), let line = lines[number], let index = line.index(of: peer) else {
            desired.preload = preloads[peer]
            desired.mayLeave = member.report.isLeaving
            return desired
        }
        let slot = line.slots[index]
        let next = index + 1 < line.slots.count ? line.slots[index + 1] : nil
        desired.assignment = Assignment(
            epoch: line.epoch, stage: index, stageCount: line.slots.count, layers: slot.layers,
            nextEndpoint: next?.dataEndpoint ?? settings.resultsEndpoint,
            nextKey: next == nil ? settings.ownKey : next?.data.key,
            previous: index == 0
                ? Guest(settings.dataPeer, key: settings.ownKey) : line.slots[index - 1].data,
            maxRows: settings.microBatchRows, maxInFlight: maxInFlight(line.slots.count), kvRows: line.kvRows,
            wireType: settings.wireType)
        return desired
    }

    /// One micro-batch for each stage, and one on the way.
    func maxInFlight(_ stages: Int) -> Int { stages + 1 }

    // MARK: Lines

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
                settings.pipelines[index], layerCount: settings.layerCount, headLayers: settings.headLayers, free: free)
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
                places: [Placement.Place(peer: member.peer, layers: 0..<max(1, member.profile.layerCount))], now: now)
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
                    ["line": name, "epoch": "\(line.epoch)", "worker": slot.name, "layers": slot.layers.layersText]))
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

    // MARK: Readiness

    /// Why no request can be served; `nil` when one can.
    package var notReadyReason: String? {
        if isStopped { return "the coordinator is stopping" }
        let pipelines = lines.filter { $0.value.kind != .speculator }
        guard !pipelines.values.contains(where: \.isStanding) else { return nil }
        let reasons = settings.pipelines.indices.map { index -> String in
            let text = missing(index)
            return settings.pipelines.count == 1 ? text : "\(settings.pipelines[index].name): \(text)"
        }
        return reasons.joined(separator: "; ")
    }

    /// What a pipeline that does not stand lacks.
    func missing(_ index: Int) -> String {
        if let line = lines[index] {
            return line.missingText(
                reports(of: index), results: settings.resultsEndpoint, now: lastNow ?? line.since)
        }
        return [unfilled[index], lastFall[index].map { "(\($0))" }].compactMap(\.self).joined(separator: " ")
    }

    private var lastNow: Instant?

    private mutating func sayReadiness() {
        let reason = notReadyReason
        guard reason != told else { return }
        told = reason
        directives.append(.readiness(reason))
    }

    // MARK: Time

    /// - Parameter lateness: how much later than planned this call comes.
    package mutating func tick(now: Instant, lateness: Duration) {
        guard !isStopped else { return }
        lastNow = now
        if lateness > .zero {
            membership.late(by: lateness, now: now)
            if lateness > .milliseconds(200) { for number in lines.keys { lines[number]?.late(by: lateness) } }
        }
        for (peer, why) in membership.lost(now: now) { lose(peer, why: why, now: now) }
        for (number, line) in lines {
            if line.isBlocked(now: now) {
                fell(number, reason: "the link to worker \(line.slots[0].name) takes nothing", now: now)
            } else if !line.isStanding, !line.isLate, line.since.duration(to: now) >= Protocol.linkLimit,
                zip(line.slots, reports(of: number)).allSatisfy({ $1?.loaded == $0.layers })
            {
                lines[number]?.isLate = true
                let text = line.missingText(reports(of: number), results: settings.resultsEndpoint, now: now)
                directives.append(.log(.warning, "a stage can't be reached", ["reason": text]))
            }
        }
        perform(
            requests.tick(now: now, notReadyReason: notReadyReason, hasSpeculator: hasSpeculator), now: now)
        reconcile(now: now)
        route(now: now)
        dispatchScores(now: now)
        // Everyone is told again what should be; whether the connection takes it says whether it stands.
        for member in membership.all { directives.append(.tell(member.peer, desired(member.peer))) }
    }

    var hasSpeculator: Bool {
        settings.speculatorsAreWorkers
            ? lines.values.contains { $0.kind == .speculator && $0.isStanding } : settings.speculatorContext != nil
    }

    /// Ends every request and lets the workers go.
    package mutating func stop(now: Instant) {
        guard !isStopped else { return }
        isStopped = true
        sayReadiness()
        for id in requests.ids { end(id, .failed(RequestError(.unavailable, "the coordinator is stopping")), now: now) }
        let members = membership.all.map(\.peer)
        for number in lines.keys { directives.append(.close(line: number)) }
        lines.removeAll()
        for peer in members { directives.append(.tell(peer, desired(peer))) }
    }
}
