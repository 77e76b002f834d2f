// A control plane and workers that are nothing but what they report, for tests without sockets and clock.

import Coordinator
import Speculation
import Transformer
import Wire

/// A control plane, its workers' reports, and what its clients were told.
struct Fleet {
    struct Member {
        let peer = PeerID.random()
        let profile: Profile
        let role: WorkerRole
        var key: PublicKey?
        var report: Report
        /// What it is told reaches it, and what it reports arrives.
        var isReached = true
        /// Its connection takes what it is told, and loses it.
        var isDeaf = false
        var desired: Desired?
    }

    static let weights = [UInt8](repeating: 7, count: 32)
    static let speculatorWeights = [UInt8](repeating: 8, count: 32)

    let start = ContinuousClock.now
    private(set) var now = ContinuousClock.now
    var plane: ControlPlane
    var members: [Member] = []
    /// Packets that went to each line's first stage, by the line's number.
    private(set) var sent: [Int: [Packet]] = [:]
    private(set) var tokens: [UInt64: [Int32]] = [:]
    private(set) var reports: [UInt64: SpeculationReport] = [:]
    private(set) var replays: [UInt64: Int] = [:]
    private(set) var ends: [UInt64: [RequestTable.Ending]] = [:]
    private(set) var stood: [[String]] = []
    private(set) var logs: [String] = []
    private var changed: Set<Int> = []

    init(
        incarnation: Incarnation = 1, pipelines: [PipelineShape] = [PipelineShape(name: "main", stageCount: 2)],
        kvRows: Int = 1000, speculators: Bool = false
    ) {
        plane = ControlPlane(
            settings: ControlPlane.Settings(
                incarnation: incarnation, pipelines: pipelines, work: [Double](repeating: 1, count: 8),
                vocabularySize: 500,
                fingerprint: Self.weights, speculatorFingerprint: Self.speculatorWeights,
                speculatorsAreWorkers: speculators, speculatorContext: speculators ? 10_000 : nil, kvRows: kvRows,
                microBatchRows: 64, resultsEndpoint: "tcp://127.0.0.1:900", dataPeer: .random(),
                requests: RequestTable.Limits(timeout: .seconds(600), replayWait: .seconds(30), maxReplays: 5)))
    }

    mutating func add(
        _ name: String, role: WorkerRole = .stage, weights: [UInt8]? = nil, endpoint: String? = nil,
        key: PublicKey? = nil
    ) {
        let profile = Profile(
            name: name, fingerprint: weights ?? (role == .stage ? Self.weights : Self.speculatorWeights), model: name,
            layerCount: role == .stage ? 4 : 1,
            dataEndpoint: endpoint ?? "tcp://127.0.0.1:\(1000 + members.count)", dataPeer: .random())
        let id = UInt64(members.count + 1)
        members.append(
            Member(
                profile: profile, role: role, key: key,
                report: Report(incarnation: id, role: role, profileHash: id, profile: profile)))
    }

    func index(_ name: String) -> Int { members.lastIndex { $0.profile.name == name } ?? 0 }

    /// A fleet whose pipelines and speculators stand.
    static func standing(
        incarnation: Incarnation = 1, spares: Int = 0, speculators: Int = 0, kvRows: Int = 1000
    ) -> Fleet {
        var fleet = Fleet(incarnation: incarnation, kvRows: kvRows, speculators: speculators > 0)
        for index in 0..<2 + spares { fleet.add("w\(index)") }
        for index in 0..<speculators { fleet.add("s\(index)", role: .speculator) }
        fleet.pass(.milliseconds(600))
        return fleet
    }

    // MARK: Time

    /// Reports, ticks and what follows of them, every quarter of a second.
    mutating func pass(_ time: Duration) {
        let end = now + time
        while now < end {
            now += .milliseconds(250)
            hearAll()
            plane.tick(now: now, lateness: .zero)
            settle()
        }
    }

    mutating func hearAll() { for index in members.indices where members[index].isReached { hear(index) } }

    /// One worker's report.
    mutating func hear(_ index: Int) {
        plane.hear(members[index].report, from: members[index].peer, key: members[index].key, now: now)
        settle()
    }

    /// Does all that is to be done, links included.
    mutating func settle() {
        while true {
            let directives = plane.take()
            for directive in directives { perform(directive) }
            for (line, epoch) in plane.unlinked where isReachable(line) { plane.linked(line, epoch: epoch, now: now) }
            for line in plane.lines.keys.sorted() {
                while let packet = plane.next(line) {
                    sent[line, default: []].append(packet)
                    plane.didSend(line)
                }
            }
            // What changed is reported at once.
            let changed = self.changed
            self.changed = []
            if !changed.isEmpty { now += .milliseconds(1) }
            for index in changed where members[index].isReached {
                plane.hear(members[index].report, from: members[index].peer, key: members[index].key, now: now)
            }
            if directives.isEmpty, changed.isEmpty { return }
        }
    }

    /// Lines whose first stage the coordinator can't connect to.
    var unreachable: Set<Int> = []
    private func isReachable(_ line: Int) -> Bool { !unreachable.contains(line) }

    private mutating func perform(_ directive: ControlPlane.Directive) {
        switch directive {
        case .tell(let peer, let desired):
            guard let index = members.firstIndex(where: { $0.peer == peer }) else { return }
            plane.reached(peer, members[index].isReached, now: now)
            guard members[index].isReached, !members[index].isDeaf else { return }
            obey(index, desired)
        case .request(.emit(let id, .token(let token))): tokens[id, default: []].append(token.token)
        case .request(.emit(let id, .prompt(let report))): reports[id] = report
        case .request(.emit(let id, .replayed(let count))): replays[id] = count
        case .request(.end(let id, let ending, _, _)): ends[id, default: []].append(ending)
        case .stands(let names): stood.append(names)
        case .log(_, let text, let details): logs.append("\(text) \(details)")
        default: break
        }
    }

    /// Workers that are assigned something are loading it until this ends.
    var isLoading = false

    /// All that is being loaded is there now; links come later.
    mutating func load() {
        isLoading = false
        for index in members.indices { members[index].report.loaded = members[index].desired?.assignment?.layers }
    }

    /// All links stand.
    mutating func link() {
        for index in members.indices { members[index].report.isLinked = members[index].desired?.assignment != nil }
    }

    /// A worker becomes at once what it should be.
    private mutating func obey(_ index: Int, _ desired: Desired) {
        members[index].desired = desired
        if desired.knownProfile == members[index].report.profileHash {
            members[index].report.profile = nil
        } else {
            members[index].report.profile = members[index].profile
        }
        guard desired.assignment?.epoch != members[index].report.epoch else { return }
        changed.insert(index)
        var report = members[index].report
        report.epoch = desired.assignment?.epoch
        report.loaded = isLoading ? nil : desired.assignment?.layers ?? report.loaded
        report.isLinked = desired.assignment != nil && !isLoading
        (report.received, report.computed, report.sent, report.fault) = (0, 0, 0, nil)
        members[index].report = report
    }

    // MARK: Requests

    mutating func begin(_ id: UInt64, prompt: Int = 4, maxTokens: Int = 3, prunes: Bool = false) {
        plane.begin(
            id,
            GenerationRequest(
                prompt: (0..<Int32(prompt)).map { $0 + 1 }, maxTokens: maxTokens,
                speculation: SpeculationParameters(
                    enabled: prunes, keepRate: 0.5, chunk: 2, stride: 1, pool: 1, tail: 1, threshold: 0)), now: now)
        settle()
    }

    var line: Line? { plane.lines[0] }
    var epoch: Epoch? { line?.epoch }

    /// Packets of the present epoch of a line.
    func packets(_ number: Int = 0) -> [Packet] {
        (sent[number] ?? []).filter { $0.epoch == plane.lines[number]?.epoch }
    }

    var microBatches: [WireMicroBatch] {
        packets().compactMap { if case .microBatch(let microBatch) = $0.message { microBatch } else { nil } }
    }

    /// Something comes back from a line's last stage, counted on as its next message.
    mutating func answer(_ message: Message, tensors: [Frame] = [], line number: Int = 0) {
        guard let line = plane.lines[number], let peer = line.last?.peer else { return }
        plane.receive(
            Packet(epoch: line.epoch, sequence: line.check.received + 1, message, tensors: tensors), from: peer,
            now: now)
        settle()
    }

    /// What a last stage makes of a micro-batch: each row that is sampled becomes this token.
    func outcome(_ microBatch: WireMicroBatch, token: Int32 = 42) -> WireOutcome {
        WireOutcome(
            microBatch: microBatch.id,
            samples: microBatch.segments.filter(\.sample).map {
                WireSample(request: $0.request, step: $0.step, token: token + Int32($0.step), logProbability: -1)
            }, stageMicroseconds: [10, 10])
    }

    /// The pipeline works off all that it was given, and keeps its counters in step.
    mutating func work(limit: Int = 100) {
        var done = 0
        for _ in 0..<limit {
            guard done < packets().count else { break }
            let packet = packets()[done]
            done += 1
            switch packet.message {
            case .microBatch(let microBatch): answer(.outcome(outcome(microBatch)))
            case .release(let ids): answer(.release(ids))
            default: break
            }
        }
        count()
    }

    /// All stages report that they have received and sent what went down the line.
    mutating func count() {
        let number = UInt64(packets().count)
        for slot in line?.slots ?? [] {
            guard let index = members.firstIndex(where: { $0.peer == slot.peer }) else { continue }
            members[index].report.received = number
            members[index].report.sent = slot == line?.slots.last ? line?.check.received ?? 0 : number
        }
    }

    /// How a request ended, in a word.
    func end(_ id: UInt64) -> String {
        let all = ends[id] ?? []
        guard all.count < 2 else { return "ended \(all.count) times" }
        switch all.first {
        case nil: return "runs"
        case .finished(let reason): return reason.rawValue
        case .failed(let error): return error.code.rawValue
        }
    }

    func error(_ id: UInt64) -> RequestError? {
        if case .failed(let error) = ends[id]?.first { error } else { nil }
    }
}
