import Foundation
package import Logging
import OutsideText
import Speculation
package import Wire

/// Carries between the coordinator's sockets, its clock, its clients and the control plane that decides.
///
/// Used from one thread (`@unchecked Sendable` for the scores that find their way back to it through `hop`).
package final class CoordinatorShell: @unchecked Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// A client of a request, and what stops its scoring in this process.
    private struct Client {
        let sink: Generation.Sink
        /// By which logs know the request.
        let name: String
        let cancellation = SpeculatorRunner.Cancellation()
    }

    private var plane: ControlPlane
    private let control: any Listener
    private let results: any Listener
    private let transport: any Transport
    private let admission: Admission
    private let ledger: MetricsLedger
    private let speculator: SpeculatorRunner?
    private let drafter: (any DraftSource)?
    private let trace: TraceWriter?
    /// Whose keys may join; `nil` where links are plain text.
    private let allowed: AllowListFile?
    private let logger: Logger
    private let now: @Sendable () -> Instant
    private let hop: @Sendable (@escaping @Sendable () -> Void) -> Void
    private let onStands: @Sendable ([String]) -> Void
    private var links: [Int: any Link] = [:]
    private var clients: [UInt64: Client] = [:]
    private let board: StatusBoard
    private var history = RecentHistory()
    private var lastSample: Instant?
    private var lastStatus: Instant?
    private let start: Instant
    private var lastTick: Instant?
    private var lastLook: Instant?
    private var lastGuard: Instant?
    private var brokenLines = LogRation()

    package convenience init(
        plane: ControlPlane, control: any Listener, results: any Listener, transport: any Transport,
        admission: Admission, ledger: MetricsLedger, drafter: (any DraftSource)? = nil,
        allowed: AllowListFile? = nil, logger: Logger,
        now: @escaping @Sendable () -> Instant,
        hop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        onStands: @escaping @Sendable ([String]) -> Void
    ) {
        self.init(
            plane: plane, control: control, results: results, transport: transport, admission: admission,
            ledger: ledger, board: StatusBoard(model: ""), speculator: nil, drafter: drafter, trace: nil,
            allowed: allowed, logger: logger, now: now, hop: hop, onStands: onStands)
    }

    /// - Parameters:
    ///   - speculator: scores prompts in this process.
    ///   - drafter: guesses tokens in this process.
    init(
        plane: ControlPlane, control: any Listener, results: any Listener, transport: any Transport,
        admission: Admission, ledger: MetricsLedger, board: StatusBoard, speculator: SpeculatorRunner?,
        drafter: (any DraftSource)?, trace: TraceWriter?, allowed: AllowListFile?, logger: Logger,
        now: @escaping @Sendable () -> Instant,
        hop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        onStands: @escaping @Sendable ([String]) -> Void
    ) {
        self.plane = plane
        self.control = control
        self.results = results
        self.transport = transport
        self.admission = admission
        self.ledger = ledger
        self.board = board
        start = now()
        self.speculator = speculator
        self.drafter = drafter
        self.trace = trace
        self.allowed = allowed
        self.logger = logger
        self.now = now
        self.hop = hop
        self.onStands = onStands
        if let allowed { self.plane.allow(allowed.list, now: now()) }
    }

    /// How often ``tick()`` wants to be called, and how often the control plane's own clock goes on.
    package static let tickInterval = Duration.milliseconds(25)
    private static let lookInterval = Duration.milliseconds(100)

    // MARK: Time

    /// Looks after links, silence and deadlines.
    package func tick() {
        let now = now()
        let lateness = lastTick.map { $0.duration(to: now) - Self.tickInterval } ?? .zero
        lastTick = now
        for (number, epoch) in plane.unlinked where (try? links[number]?.send(Packet(epoch: epoch, .probe))) == .sent {
            plane.linked(number, epoch: epoch, now: now)
            perform()
        }
        for number in links.keys.sorted() { flush(number) }
        if lateness > .milliseconds(200) || lastLook.map({ $0.duration(to: now) >= Self.lookInterval }) ?? true {
            lastLook = now
            plane.tick(now: now, lateness: max(.zero, lateness))
            perform()
            tellStatus(now: now)
            guardDoors(now: now)
        }
    }

    private static let guardInterval = Duration.seconds(1)

    /// Takes over changes of the list of keys, and tells of strangers: once a second, however many there are.
    private func guardDoors(now: Instant) {
        guard lastGuard.map({ $0.duration(to: now) >= Self.guardInterval }) ?? true else { return }
        lastGuard = now
        switch allowed?.reload() {
        case .success(let list):
            logger.notice("the list of keys changed", metadata: ["keys": "\(list.entries.count)"])
            plane.allow(list, now: now)
            perform()
        case .failure(let error):
            logger.error("the list of keys stays as it was", metadata: ["error": "\(error)"])
        case nil: break
        }
        for (edge, listener) in [(ServiceMetrics.Edge.control, control), (.results, results)] {
            let refusals = listener.takeRefusals()
            guard !refusals.isEmpty else { continue }
            ledger.record { $0.refused(refusals, at: edge) }
            logger.warning(
                "refused connections",
                metadata: [
                    "edge": "\(edge.rawValue)", "count": "\(refusals.count)", "reasons": "\(refusals.summary)",
                    "last": "\(refusals.last)",
                ])
        }
    }

    private func tellStatus(now: Instant) {
        if lastSample.map({ $0.duration(to: now) >= RecentHistory.sampleInterval }) ?? true {
            lastSample = now
            history.sample(ledger.metrics, now: now)
        }
        guard lastStatus.map({ $0.duration(to: now) >= StatusBoard.interval }) ?? true else { return }
        lastStatus = now
        var status = plane.status(history, takenAt: Date().timeIntervalSince1970, now: now)
        status.uptimeSeconds = start.duration(to: now) / .seconds(1)
        board.publish(status)
    }

    // MARK: Clients

    package func begin(_ id: UInt64, _ request: GenerationRequest, sink: Generation.Sink) {
        let name = request.name ?? "\(id)"
        clients[id] = Client(sink: sink, name: name)
        history.began(id, name: name, promptTokens: request.prompt.count, now: now())
        trace?.know(id, as: name)
        logger.debug("request", metadata: ["request": "\(name)", "number": "\(id)"])
        plane.begin(id, request, now: now())
        perform()
    }

    package func cancel(_ id: UInt64) { end(id, .failed(RequestError(.cancelled, "cancelled by the client"))) }

    /// Ends a request whose consumer has all it wanted.
    package func conclude(_ id: UInt64) { end(id, .finished(.stop)) }

    private func end(_ id: UInt64, _ ending: RequestTable.Ending) {
        plane.end(id, ending, now: now())
        perform()
    }

    /// Ends every request and lets the workers go.
    package func stop() {
        admission.stop()
        plane.stop(now: now())
        perform()
    }

    // MARK: Sockets

    package func readControl() {
        do {
            while let reception = try control.receive(isWanted: { _ in true }) {
                switch reception {
                case .packet(let packet, let peer, let key):
                    if case .report(let report) = packet.message {
                        plane.hear(report, from: peer, key: key, now: now())
                    } else {
                        plane.misheard(MessageError("header.kind", "not a message of a worker"), from: peer, now: now())
                    }
                case .broken(let error, let peer): plane.misheard(error, from: peer, now: now())
                case .unwanted: break
                }
                perform()
            }
        } catch {
            logger.error("cannot read the control socket", metadata: ["error": "\(error)"])
        }
    }

    package func readResults() {
        do {
            while let reception = try results.receive(isWanted: { plane.isWanted($0) }) {
                switch reception {
                case .packet(let packet, let peer, _):
                    plane.receive(packet, from: peer, now: now())
                    perform()
                case .broken(let error, _):
                    guard let count = brokenLines.admit(now: now()) else { continue }
                    logger.warning(
                        "dropped a message on the results edge", metadata: ["error": "\(error)", "count": "\(count)"])
                case .unwanted: break
                }
            }
        } catch {
            logger.error("cannot read the results socket", metadata: ["error": "\(error)"])
        }
    }

    private func flush(_ number: Int) {
        guard let link = links[number] else { return }
        while let packet = plane.next(number) {
            do {
                guard try link.send(packet) == .sent else {
                    plane.couldNotSend(number, now: now())
                    return
                }
                plane.didSend(number)
            } catch {
                logger.error("cannot send to a first stage", metadata: ["error": "\(error)"])
                plane.couldNotSend(number, now: now())
                return
            }
        }
    }

    // MARK: Directives

    private func perform() {
        defer { speculator?.pipelines(compute: plane.isComputing) }
        for directive in plane.take() {
            switch directive {
            case .tell(let peer, let desired): tell(peer, desired)
            case .open(let number, let endpoint, let key):
                do {
                    links[number] = try transport.connect(
                        to: endpoint, named: plane.settings.dataPeer, key: key,
                        as: .data(maxFrameBytes: Protocol.maxResultBytes))
                } catch {
                    logger.error("cannot connect to a first stage", metadata: ["error": "\(error)"])
                }
            case .close(let number): links[number] = nil
            case .flush(let number): flush(number)
            case .allow(let guests): results.allow(guests)
            case .request(let directive): serve(directive)
            case .score(let id): score(id)
            case .draft(let order): draft(order)
            case .readiness(let reason):
                admission.setReadiness(reason)
                // Told with the next look.
                lastStatus = nil
            case .stands(let names): onStands(names)
            case .record(let event): ledger.record(event)
            case .fault(let place, let kind, let reason):
                history.fault(place: place, kind: kind, reason: reason, now: now())
            case .trace(let events): trace?.write(events)
            case .log(let level, let text, let details):
                logger.log(level: level, "\(text)", metadata: details.mapValues { "\($0)" })
            }
        }
    }

    private func tell(_ peer: PeerID, _ desired: Desired) {
        do {
            let result = try control.send(Packet(.desired(desired)), to: peer)
            // A full queue is a reader that is slow, not a connection that is closed.
            plane.reached(peer, result != .noSuchPeer, now: now())
        } catch {
            logger.error("cannot send to a worker", metadata: ["error": "\(error)"])
        }
    }

    private func serve(_ directive: RequestTable.Directive) {
        switch directive {
        case .emit(let id, let event):
            if case .prompt(let report) = event { history.pruned(id, report) }
            clients[id]?.sink.yield(event)
        case .stopScoring(let id): clients[id]?.cancellation.cancel()
        case .withdraw(let id, let number): history.left(id, pipeline: plane.settings.pipelines[number].name)
        case .firstToken(let id, let tokens, let seconds):
            ledger.record { $0.firstToken(id, now: now()) }
            history.firstToken(id, after: seconds, now: now())
            admission.promptDone(tokens: tokens, after: seconds)
        case .pruned(let prompt, let kept): ledger.record { $0.pruned(promptTokens: prompt, keptTokens: kept) }
        case .replayed(let id):
            ledger.record { $0.replayed(id, now: now()) }
            history.replayed(id)
            logger.notice(
                "a request goes on elsewhere", metadata: ["request": "\(clients[id]?.name ?? "\(id)")"])
        case .end(let id, let ending, let tokens, let given):
            history.ended(id, ending, tokens: given, now: now())
            guard let client = clients.removeValue(forKey: id) else { break }
            client.cancellation.cancel()
            // Before the client hears of it, so that what it reads next includes its request.
            switch ending {
            case .finished(let reason):
                ledger.record { $0.ended(id, .finished, tokens: given, now: now()) }
                client.sink.yield(.finished(reason))
                client.sink.finish()
            case .failed(let error):
                ledger.record { $0.ended(id, error.outcome, now: now()) }
                client.sink.fail(error)
                logger.debug("request ended", metadata: ["request": "\(client.name)", "error": "\(error)"])
            }
            if given == 0 { admission.promptDone(tokens: tokens, after: nil) }
            admission.requestDone()
        }
    }

    private func score(_ id: UInt64) {
        guard let speculator, let request = plane.requests[id]?.request, let client = clients[id] else { return }
        speculator.score(
            request, cancellation: client.cancellation,
            onStart: { [ledger, now] in ledger.record { $0.speculationBegan(id, now: now()) } },
            completion: { [self, ledger, now] outcome in
                let isScored = (try? outcome.selection.get()) != nil
                ledger.record { $0.speculationEnded(id, busy: outcome.time, isScored: isScored, now: now()) }
                hop { [self] in
                    plane.scored(id, outcome.selection, time: outcome.time, now: self.now())
                    perform()
                }
            })
    }

    private func draft(_ order: DraftOrder) {
        let id = order.request
        drafter?.take(order) { [self] result in
            hop { [self] in
                plane.drafted(id, result, now: now())
                perform()
            }
        }
    }
}
