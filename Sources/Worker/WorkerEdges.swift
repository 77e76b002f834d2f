import Foundation
import Logging
import OutsideText
import Synchronization
import Wire

/// The talking half of a worker: its control edge to the coordinator, its data edges to its neighbours.
///
/// An actor on the thread that owns its sockets. Everything that arrives is checked here or in the runner; whatever is
/// wrong becomes a fault that names the field, never a crash.
actor WorkerEdges {
    /// How the worker ended; told once.
    typealias Ending = @Sendable (Result<Void, WorkerError>) -> Void

    private struct Served {
        let epoch: UInt64
        let assignment: Assignment
        var edge: OutgoingEdge
        var check: SequenceCheck
        var isLinked = false
        var inFlight = 0
        /// When its layers were loaded; the link to the next stage should stand soon after.
        var loadedAt: ContinuousClock.Instant?
        /// The link has not come up for so long that the operator was told.
        var isLate = false
    }

    /// A link that does not come up within this time is named.
    private static let linkLimit = Duration.seconds(3)

    private let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let configuration: WorkerConfiguration
    private let context: ZeroMQContext
    private let runner: StageRunner
    private let hello: Hello
    private let data: Socket
    private let ending: Ending
    private var logger: Logger
    private var control: Socket?
    private var served: Served?
    private var lastHeard: ContinuousClock.Instant?
    private var lastHello: ContinuousClock.Instant?
    private var isEnded = false
    private let clock = ContinuousClock()

    init(
        loop: SocketLoop, configuration: WorkerConfiguration, context: ZeroMQContext, runner: StageRunner,
        hello: Hello, data: Socket, logger: Logger, ending: @escaping Ending
    ) {
        self.loop = loop
        self.configuration = configuration
        self.context = context
        self.runner = runner
        self.hello = hello
        self.data = data
        self.logger = logger
        self.ending = ending
    }

    // MARK: Life

    func start() {
        loop.watch(data) { [unowned self] in assumeIsolated { $0.readData() } }
        loop.every(.milliseconds(10)) { [unowned self] in assumeIsolated { $0.link() } }
        loop.every(Protocol.heartbeatInterval) { [unowned self] in assumeIsolated { $0.beat() } }
        greet()
    }

    /// Says goodbye and ends.
    func stop() {
        var goodbye = Goodbye()
        goodbye.reason = "stopped"
        tell(.goodbye(goodbye))
        end(.success(()))
    }

    private func end(_ result: Result<Void, WorkerError>) {
        guard !isEnded else { return }
        isEnded = true
        leave()
        if let control { loop.unwatch(control) }
        control = nil
        loop.unwatch(data)
        ending(result)
    }

    private func leave() {
        served = nil
        runner.reset()
    }

    // MARK: Control edge

    /// Opens a fresh control edge and says hello. The identity is new each time, so that a coordinator can't take this
    /// life for an earlier one.
    private func greet() {
        guard !isEnded else { return }
        if let control { loop.unwatch(control) }
        control = nil
        leave()
        lastHello = clock.now
        lastHeard = nil
        do {
            let socket = try Socket(
                .dealer, context: context, limits: Socket.Limits(maxFrameBytes: Protocol.maxControlBytes))
            try socket.setIdentity(Array("\(configuration.name)-\(UUID().uuidString)".utf8.prefix(200)))
            try socket.setTransportHeartbeat(intervalMilliseconds: 1000, timeoutMilliseconds: 3000)
            try socket.connect(configuration.coordinator.description)
            control = socket
            loop.watch(socket) { [unowned self] in assumeIsolated { $0.readControl() } }
        } catch {
            end(.failure(.transport("\(error)")))
        }
    }

    private func beat() {
        guard !isEnded else { return }
        let now = clock.now
        guard let lastHeard else {
            // Nothing heard on this edge yet: the link may only just be up, or the coordinator not there at all.
            _ = tell(.hello(hello))
            return
        }
        if lastHeard.duration(to: now) > Protocol.silenceLimit {
            logger.warning("the coordinator is silent; saying hello again")
            greet()
            return
        }
        var heartbeat = Heartbeat()
        heartbeat.progress = runner.progress.load(ordering: .relaxed)
        heartbeat.busy = runner.pending.load(ordering: .relaxed) > 0
        heartbeat.kvRowsUsed = UInt64(max(0, runner.rowsInUse.load(ordering: .relaxed)))
        heartbeat.requests = UInt32(clamping: runner.requestsHeld.load(ordering: .relaxed))
        tell(.heartbeat(heartbeat))
    }

    @discardableResult
    private func tell(_ body: Envelope.OneOf_Body) -> Bool {
        guard let control else { return false }
        do {
            return try control.send(try Message(epoch: served?.epoch ?? 0, body).frames()) == .sent
        } catch {
            logger.error("cannot send to the coordinator", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func readControl() {
        while let control, !isEnded {
            do {
                guard let frames = try control.receive() else { return }
                hear(try Message(frames: frames))
            } catch let error as MessageError where error.field == "envelope.version" {
                end(.failure(.refused("\(error)")))
            } catch {
                logger.warning("dropped a message of the coordinator", metadata: ["error": "\(error)"])
                if error is ZeroMQError { return }
            }
        }
    }

    private func hear(_ message: Message) {
        lastHeard = clock.now
        switch message.envelope.body {
        case .heartbeatReply: break
        case .assignment(let assignment): take(assignment, epoch: message.envelope.epoch)
        case .refusal(let refusal): heed(refusal)
        case .goodbye(let goodbye):
            logger.info("the coordinator left", metadata: ["reason": "\(goodbye.reason.shown(upTo: 200))"])
            leave()
            lastHeard = nil
        default: logger.warning("dropped a message of the coordinator that is not for workers")
        }
    }

    private func heed(_ refusal: Refusal) {
        switch refusal.code {
        case .unknownWorker: greet()
        case .badMessage:
            logger.error(
                "the coordinator dropped a message", metadata: ["reason": "\(refusal.reason.shown(upTo: 1000))"])
        default: end(.failure(.refused(refusal.reason.shown(upTo: 1000))))
        }
    }

    private func take(_ assignment: Assignment, epoch: UInt64) {
        let layers = Int(assignment.layerFirst)..<max(Int(assignment.layerFirst), Int(assignment.layerEnd))
        guard !layers.isEmpty, layers.upperBound <= Int(hello.layerCount), assignment.maxRows > 0,
            assignment.maxRows <= Protocol.maxRows, assignment.maxInFlight > 0, assignment.maxInFlight <= 1024,
            assignment.kvRows <= UInt64(UInt32.max)
        else {
            fault(
                .pipeline,
                reason: "the assignment is out of range: layers \(layers.layersText), \(assignment.maxRows) rows")
            return
        }
        do {
            let edge = try OutgoingEdge(
                to: assignment.nextEndpoint, identity: "stage-\(assignment.stage)-\(epoch)", context: context,
                limits: Socket.Limits(maxFrameBytes: Protocol.maxDataBytes))
            served = Served(
                epoch: epoch, assignment: assignment, edge: edge, check: SequenceCheck(epoch: epoch))
        } catch {
            fault(.pipeline, reason: "\(error)")
            return
        }
        logger.info(
            "assigned",
            metadata: ["epoch": "\(epoch)", "stage": "\(assignment.stage)", "layers": "\(layers.layersText)"])
        runner.assign(layers: layers, maxRows: Int(assignment.maxRows), kvRows: Int(assignment.kvRows)) { result in
            self.loop.submit { self.assumeIsolated { $0.loaded(result, epoch: epoch) } }
        }
    }

    private var loadedEpoch: UInt64 = 0

    private func loaded(_ result: Result<Void, WorkerError>, epoch: UInt64) {
        guard served?.epoch == epoch else { return }
        switch result {
        case .success:
            loadedEpoch = epoch
            served?.loadedAt = clock.now
        case .failure(let error):
            fault(.pipeline, reason: "\(error)")
            end(.failure(error))
        }
    }

    /// Reports ready once the weights are loaded and the next stage's end of the data edge answers.
    private func link() {
        guard let served, !served.isLinked, loadedEpoch == served.epoch, !isEnded else { return }
        var ready = Ready()
        ready.stage = served.assignment.stage
        // Sent along the data edge first: with ZMQ_IMMEDIATE it is accepted only over a link that stands. Its number is
        // 0, so the sequence check does not count it.
        let probe = Message(epoch: served.epoch, sequence: 0, .ready(ready))
        guard let frames = try? probe.frames(), (try? served.edge.socket.send(frames)) == .sent else {
            guard !served.isLate, let since = served.loadedAt, since.duration(to: clock.now) >= Self.linkLimit else {
                return
            }
            self.served?.isLate = true
            logger.warning(
                "can't reach the next stage, still trying; is the address one this host can connect to?",
                metadata: ["endpoint": "\(served.edge.endpoint)"])
            return
        }
        self.served?.isLinked = true
        tell(.ready(ready))
    }

    private func fault(_ scope: Fault.Scope, microBatch: UInt64 = 0, reason: String) {
        logger.error("fault", metadata: ["scope": "\(scope)", "micro_batch": "\(microBatch)", "reason": "\(reason)"])
        var fault = Fault()
        fault.scope = scope
        fault.microBatch = microBatch
        fault.reason = reason
        tell(.fault(fault))
    }

    // MARK: Data edges

    private func readData() {
        while !isEnded {
            do {
                guard let frames = try data.receive() else { return }
                // The first frame is the sender's identity, which the router added.
                try accept(try Message(frames: frames.dropFirst()))
            } catch let error as MessageError {
                logger.warning("dropped a data message", metadata: ["error": "\(error)"])
            } catch {
                logger.error("cannot read the data socket", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func accept(_ message: Message) throws(MessageError) {
        guard message.envelope.sequence != 0 else { return }
        guard var current = served else { return }
        switch current.check.check(epoch: message.envelope.epoch, sequence: message.envelope.sequence) {
        case .stale: return
        case .gap(let expected, let found):
            fault(
                .pipeline, reason: "the link from the stage before lost messages: expected \(expected), found \(found)")
            served = nil
            return
        case .inOrder: served = current
        }
        let epoch = current.epoch
        switch message.envelope.body {
        case .microBatch(let microBatch):
            guard current.inFlight < Int(current.assignment.maxInFlight) else {
                fault(.pipeline, reason: "more than the agreed \(current.assignment.maxInFlight) micro-batches")
                served = nil
                return
            }
            served?.inFlight += 1
            runner.run(microBatch, tensors: message.tensors) { result in
                self.loop.submit { self.assumeIsolated { $0.computed(result, id: microBatch.id, epoch: epoch) } }
            }
        case .release(let release):
            runner.release(release.requests) {
                self.loop.submit { self.assumeIsolated { $0.pass(.release(release), epoch: epoch) } }
            }
        default: throw MessageError("envelope.body", "not a data message")
        }
    }

    private func computed(_ result: Result<StageRunner.Output, MessageError>, id: UInt64, epoch: UInt64) {
        guard served?.epoch == epoch else { return }
        served?.inFlight -= 1
        switch result {
        case .success(.hidden(let message, let frame)): pass(.microBatch(message), tensors: [frame], epoch: epoch)
        case .success(.samples(let outcome)): pass(.outcome(outcome), epoch: epoch)
        case .failure(let error): fault(.microBatch, microBatch: id, reason: "\(error)")
        }
    }

    private func pass(_ body: Envelope.OneOf_Body, tensors: [Frame] = [], epoch: UInt64) {
        guard let served, served.epoch == epoch else { return }
        do {
            let result = try served.edge.send(epoch: epoch, body, tensors: tensors)
            guard result != .sent else { return }
            fault(.pipeline, reason: "the link to \(served.edge.endpoint) is down")
        } catch {
            fault(.pipeline, reason: "\(error)")
        }
        self.served = nil
    }
}
