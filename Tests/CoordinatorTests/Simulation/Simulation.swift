// A whole cluster in one value of time: a coordinator, workers and speculators over the in-process transport.

import Coordinator
import Logging
import Speculation
import Transformer
import WinnowWorker
import Wire

/// One run, decided by its seed alone.
final class Simulation {
    typealias Instant = ContinuousClock.Instant

    private final class Process {
        let name: String
        let role: WorkerRole
        let peers: [PeerID]
        let endpoint: String
        let shell: WorkerShell
        let stage: SimulatedStage?
        var isAlive = true
        var isStopped = false
        /// What would have happened while it was stopped.
        var putOff: [() -> Void] = []
        let control: any Link
        let data: any Listener

        init(
            name: String, role: WorkerRole, peers: [PeerID], endpoint: String, shell: WorkerShell,
            stage: SimulatedStage?, control: any Link, data: any Listener
        ) {
            self.name = name
            self.role = role
            self.peers = peers
            self.endpoint = endpoint
            self.shell = shell
            self.stage = stage
            self.control = control
            self.data = data
        }
    }

    /// Used from one thread.
    private final class Clock: @unchecked Sendable {
        var now: Instant
        init(_ now: Instant) { self.now = now }
    }

    private struct Event {
        let due: Instant
        let order: Int
        let act: () -> Void
    }

    /// What a client saw of one request.
    final class Client: @unchecked Sendable {
        let request: GenerationRequest
        var kept: [Int32] = []
        var tokens: [Int32] = []
        var ends = 0
        var error: RequestError?
        var isCancelled = false

        init(request: GenerationRequest) { self.request = request }
    }

    /// Nothing goes wrong any more after this.
    private static let lastFault = Duration.milliseconds(4500)

    let plan: SimulationPlan
    private var random: Seeded
    private let network: InProcessTransport
    private let clock: Clock
    private let start: Instant
    private var events: [Event] = []
    private var order = 0
    private var processes: [Process] = []
    private var coordinator: CoordinatorShell?
    private let ledger = MetricsLedger()
    private var controlEndpoint = ""
    private var resultsEndpoint = ""
    private(set) var clients: [UInt64: Client] = [:]
    private(set) var complaints: [String] = []
    private let ends: Set<Int32> = [7, 11]
    private(set) var record: [String] = []

    init(seed: UInt64, plan: SimulationPlan) throws {
        self.plan = plan
        random = Seeded(state: seed)
        let start = ContinuousClock.now
        self.start = start
        clock = Clock(start)
        network = InProcessTransport(now: start)
        network.setConditions { [unowned self] _, _ in conditions() }
        try startCoordinator()
        let stages = plan.pipelines.reduce(0) { $0 + $1.stageCount }
        for index in 0..<stages + plan.spares { try startWorker("worker-\(index)", .stage) }
        for index in 0..<plan.speculators { try startWorker("speculator-\(index)", .speculator) }
        schedule()
    }

    // MARK: Time

    private var time: Instant { clock.now }

    private func at(_ delay: Duration, _ act: @escaping () -> Void) {
        order += 1
        let event = Event(due: time + delay, order: order, act: act)
        // Sorted from last to first; most events come soon.
        var low = 0
        var high = events.count
        while low < high {
            let middle = (low + high) / 2
            if (events[middle].due, events[middle].order) > (event.due, event.order) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        events.insert(event, at: low)
    }

    private func conditions() -> [Duration] {
        let delay = plan.delay * Double.random(in: 0...1, using: &random)
        // Some transports double.
        if plan.kills, Int.random(in: 0..<200, using: &random) == 0 { return [delay, delay] }
        return [delay]
    }

    /// Runs to the end. Returns what was found wrong.
    func run() -> [String] {
        while step() {
            let elapsed = start.duration(to: time)
            if elapsed > Self.lastFault, clients.count == plan.requests,
                clients.values.allSatisfy({ $0.ends > 0 })
            {
                return settle()
            }
            if elapsed > .seconds(300) {
                let hung = clients.filter { $0.value.ends == 0 }.map(\.key).sorted()
                return complaints + ["requests \(hung) hang"]
            }
        }
        return complaints + ["nothing happens any more"]
    }

    /// The next thing that happens. `false`: nothing ever will.
    private func step() -> Bool {
        guard let next = [events.last?.due, network.nextArrival].compactMap(\.self).min() else { return false }
        clock.now = max(clock.now, next)
        network.advance(to: next)
        while let event = events.last, event.due <= next {
            events.removeLast()
            event.act()
        }
        coordinator?.readControl()
        coordinator?.readResults()
        for process in processes where process.isAlive && !process.isStopped {
            process.shell.readControl()
            process.shell.readData()
        }
        return true
    }

    /// Lets things come to rest, and looks at what is left.
    private func settle() -> [String] {
        let until = time + .seconds(15)
        while time < until, processes.contains(where: { $0.isAlive && $0.stage?.heldRequests ?? 0 > 0 }), step() {}
        for process in processes where process.isAlive {
            if let held = process.stage?.heldRequests, held > 0 {
                complaints.append("\(process.name) holds \(held) requests when all have ended")
            }
        }
        for (id, client) in clients { judge(id, client) }
        return complaints
    }

    private func judge(_ id: UInt64, _ client: Client) {
        if client.ends != 1 { complaints.append("request \(id) ended \(client.ends) times") }
        let expected = Arithmetic.answer(client.request, kept: client.kept, ends: ends)
        if let error = client.error {
            guard client.isCancelled, error.code == .cancelled else {
                complaints.append("request \(id) was lost: \(error)")
                return
            }
            if !expected.starts(with: client.tokens) { complaints.append("request \(id) told wrong tokens") }
        } else if client.tokens != expected {
            complaints.append("request \(id) told \(client.tokens), not \(expected)")
        }
    }

    var faultsSeen: [String: Int] { ledger.metrics.faults }
    var replays: Int { ledger.metrics.replays }
    var acceptedDrafts: Int { ledger.metrics.acceptedDrafts }

    // MARK: Processes

    private func startCoordinator() throws {
        let control = try network.listen(at: Endpoint("tcp://127.0.0.1:*"), as: .control)
        let results = try network.listen(at: Endpoint("tcp://127.0.0.1:*"), as: .data(maxFrameBytes: 1 << 20))
        controlEndpoint = control.endpoint.description
        resultsEndpoint = results.endpoint.description
        let fingerprint = [UInt8](repeating: 1, count: 32)
        let plane = ControlPlane(
            settings: ControlPlane.Settings(
                incarnation: .random(in: 1 ... .max, using: &random), pipelines: plan.pipelines,
                work: Arithmetic.work, vocabularySize: Arithmetic.vocabulary, fingerprint: fingerprint,
                speculatorFingerprint: [UInt8](repeating: 2, count: 32), speculatorsAreWorkers: true,
                speculatorContext: plan.speculators > 0 ? 100_000 : nil, kvRows: 400, microBatchRows: 32,
                resultsEndpoint: resultsEndpoint, dataPeer: .random(using: &random),
                requests: RequestTable.Limits(
                    timeout: .seconds(280), replayWait: .seconds(200), maxReplays: plan.maxReplays),
                ends: ends, drafts: plan.drafts > 0 ? DraftPolicy(most: plan.drafts) : nil))
        let drafter = SimulatedDrafter(
            seed: random.next(), later: { [unowned self] delay, work in at(delay, work) },
            answer: { [unowned self] id in
                clients[id].map { Arithmetic.answer($0.request, kept: $0.kept, ends: []) } ?? []
            })
        coordinator = CoordinatorShell(
            plane: plane, control: control, results: results, transport: network,
            admission: Admission(
                limits: Admission.Limits(
                    contextLength: 4096, vocabularySize: Arithmetic.vocabulary, maxRequests: 1000,
                    maxQueuedTokens: 1 << 20), notReadyReason: "starting"), ledger: ledger,
            drafter: drafter,
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
            now: { [clock] in clock.now }, hop: { $0() }, onStands: { _ in })
        tickCoordinator()
    }

    private func tickCoordinator() {
        coordinator?.tick()
        at(.milliseconds(50)) { [unowned self] in tickCoordinator() }
    }

    private func startWorker(_ name: String, _ role: WorkerRole) throws {
        let controlPeer = PeerID.random(using: &random)
        let dataPeer = PeerID.random(using: &random)
        let data = try network.listen(at: Endpoint("tcp://127.0.0.1:*"), as: .data(maxFrameBytes: 1 << 20))
        let control = try network.connect(to: controlEndpoint, named: controlPeer, key: nil, as: .control)
        let alive = Alive()
        let later: Later = { [unowned self] delay, work in
            self.at(delay) { if alive.value { self.whenRunning(alive, work) } }
        }
        let stage = SimulatedStage(
            rowTime: .microseconds(Int64.random(in: 20...400, using: &random)), now: { [clock] in clock.now },
            later: later,
            complain: { [unowned self] in complaints.append("\(name): \($0)") })
        let profile = Profile(
            name: name, fingerprint: [UInt8](repeating: role == .stage ? 1 : 2, count: 32), model: "hashes",
            layerCount: role == .stage ? Arithmetic.layers : 1, dataEndpoint: data.endpoint.description,
            dataPeer: dataPeer, kvRows: 400)
        let shell = WorkerShell(
            state: WorkerState(
                incarnation: .random(in: 1 ... .max, using: &random), role: role, profile: profile,
                profileHash: .random(in: 1 ... .max, using: &random)), control: control, data: data,
            transport: network, dataPeer: dataPeer,
            executor: role == .stage ? stage : SimulatedSpeculator(later: later), maxFrameBytes: 1 << 20,
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
            now: { [clock] in clock.now }, hop: { $0() }, ending: { _ in })
        let process = Process(
            name: name, role: role, peers: [controlPeer, dataPeer], endpoint: data.endpoint.description, shell: shell,
            stage: role == .stage ? stage : nil, control: control, data: data)
        alive.process = process
        processes.append(process)
        tick(process)
    }

    /// Whether work that was put off still has somebody to do it.
    private final class Alive {
        weak var process: Process?
        var value: Bool { process?.isAlive ?? false }
    }

    /// A stopped process computes when it is let go on, in the order in which it would have.
    private func whenRunning(_ alive: Alive, _ work: @escaping () -> Void) {
        guard let process = alive.process, process.isAlive else { return }
        if process.isStopped { process.putOff.append(work) } else { work() }
    }

    private func goOn(_ process: Process) {
        process.isStopped = false
        let work = process.putOff
        process.putOff = []
        if process.isAlive { for act in work { act() } }
    }

    private func tick(_ process: Process) {
        guard process.isAlive else { return }
        if !process.isStopped { process.shell.tick() }
        at(.milliseconds(100)) { [unowned self] in tick(process) }
    }

    // MARK: What happens

    private func schedule() {
        for index in 0..<plan.requests {
            at(.milliseconds(Int.random(in: 0..<4000, using: &random))) { [unowned self] in
                submit(UInt64(index + 1))
            }
        }
        for _ in 0..<plan.faults {
            at(.milliseconds(300) + (Self.lastFault - .milliseconds(300)) * Double.random(in: 0..<1, using: &random)) {
                [unowned self] in fault()
            }
        }
    }

    private func submit(_ id: UInt64) {
        let count = Int.random(in: 4...80, using: &random)
        let isPruned = plan.speculators > 0 && Bool.random(using: &random)
        let request = GenerationRequest(
            prompt: (0..<count).map { _ in Int32.random(in: 0..<Int32(Arithmetic.vocabulary), using: &random) },
            maxTokens: Int.random(in: 1...30, using: &random),
            sampling: SamplingParameters(temperature: 1, seed: UInt64.random(in: 0...100, using: &random)),
            speculation: SpeculationParameters(
                enabled: isPruned, keepRate: 0.4, chunk: 4, stride: 2, tail: 3, threshold: 0))
        let client = Client(request: request)
        clients[id] = client
        ledger.record { $0.accepted(id, now: time) }
        coordinator?.begin(
            id, request,
            sink: Generation.Sink(
                onEvent: { event in
                    switch event {
                    case .prompt(let report): client.kept = report.keptSpans.flatMap { $0.map(Int32.init) }
                    case .token(let token): client.tokens.append(token.token)
                    default: break
                    }
                },
                onEnd: { error in
                    client.ends += 1
                    client.error = error
                }))
        if Int.random(in: 0..<6, using: &random) == 0 {
            at(.milliseconds(Int.random(in: 0..<800, using: &random))) { [unowned self] in
                guard client.ends == 0 else { return }
                client.isCancelled = true
                coordinator?.cancel(id)
            }
        }
    }

    private func fault() {
        let living = processes.filter(\.isAlive)
        guard plan.kills, let process = living.randomElement(using: &random) else { return }
        let length = Duration.milliseconds(Int.random(in: 50...6000, using: &random))
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            record.append("\(start.duration(to: time)) kill \(process.name), back after \(length)")
            process.isAlive = false
            network.kill(peers: process.peers, endpoint: process.endpoint)
            at(length) { [unowned self] in
                do { try startWorker(process.name, process.role) } catch { complaints.append("\(error)") }
            }
        case 1:
            record.append("\(start.duration(to: time)) stop \(process.name) for \(length)")
            process.isStopped = true
            at(length) { [unowned self] in goOn(process) }
        case 2:
            record.append("\(start.duration(to: time)) leave \(process.name)")
            process.shell.leave()
            at(length) { [unowned self] in
                guard process.isAlive else { return }
                process.isAlive = false
                network.kill(peers: process.peers, endpoint: process.endpoint)
                do { try startWorker(process.name, process.role) } catch { complaints.append("\(error)") }
            }
        default:
            let edges = edges(of: process)
            guard let edge = edges.randomElement(using: &random) else { return }
            let isReset = Bool.random(using: &random)
            let both = Int.random(in: 0..<3, using: &random) == 0
            for (peer, endpoint) in both ? edges : [edge] {
                record.append("\(start.duration(to: time)) \(isReset ? "reset" : "cut") \(process.name) \(endpoint)")
                network.reset(peer: peer, endpoint: endpoint)
                guard !isReset else { continue }
                network.setCut(true, peer: peer, endpoint: endpoint)
                at(length) { [unowned self] in network.setCut(false, peer: peer, endpoint: endpoint) }
            }
        }
    }

    /// Its control edge, and every data edge that begins there.
    private func edges(of process: Process) -> [(PeerID, String)] {
        [(process.peers[0], controlEndpoint), (process.peers[1], resultsEndpoint)]
            + processes.filter { $0.isAlive && $0 !== process }.map { (process.peers[1], $0.endpoint) }
    }
}
