package import Logging
import OutsideText
package import Wire

/// Carries between a worker's sockets, its clock, its computing half and the state that decides.
///
/// Used from one thread (`@unchecked Sendable` for the completions that find their way back to it through `hop`).
package final class WorkerShell: @unchecked Sendable {
    package typealias Instant = ContinuousClock.Instant

    private var state: WorkerState
    private let control: any Link
    private let data: any Listener
    private let transport: any Transport
    private let dataPeer: PeerID
    private let executor: any Executor
    private let maxFrameBytes: Int
    private let logger: Logger
    /// Brings work back to the shell's thread.
    private let hop: @Sendable (@escaping @Sendable () -> Void) -> Void
    private let now: @Sendable () -> Instant
    private let watching: @Sendable (WorkerState, WorkerState.Load, Instant) -> Void
    private let ending: @Sendable (Result<Void, WorkerError>) -> Void
    private var link: (any Link)?
    private var isEnded = false
    private var lastTick: Instant?
    private var lastReport: Instant?
    private var lastGuard: Instant?
    /// Turned away at the data edge since the beginning.
    private var strangers = Refusals()
    private var brokenLines = LogRation()

    /// - Parameters:
    ///   - watching: told how things stand, after whatever may have changed that.
    ///   - ending: told once how the worker ended.
    package init(
        state: WorkerState, control: any Link, data: any Listener, transport: any Transport, dataPeer: PeerID,
        executor: any Executor, maxFrameBytes: Int, logger: Logger, now: @escaping @Sendable () -> Instant,
        hop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        watching: @escaping @Sendable (WorkerState, WorkerState.Load, Instant) -> Void = { _, _, _ in },
        ending: @escaping @Sendable (Result<Void, WorkerError>) -> Void
    ) {
        self.state = state
        self.control = control
        self.data = data
        self.transport = transport
        self.dataPeer = dataPeer
        self.executor = executor
        self.maxFrameBytes = maxFrameBytes
        self.logger = logger
        self.now = now
        self.hop = hop
        self.watching = watching
        self.ending = ending
    }

    /// How often ``tick()`` wants to be called.
    package static let tickInterval = Duration.milliseconds(25)

    package var epoch: Epoch? { state.epoch }
    package var load: WorkerState.Load { executor.load }

    /// Looks after links, silence and reports.
    package func tick() {
        guard !isEnded else { return }
        defer { watch() }
        let now = now()
        if let last = lastTick { state.late(by: last.duration(to: now) - Self.tickInterval) }
        lastTick = now
        if state.wantsProbe, let epoch = state.epoch, let link,
            (try? link.send(Packet(epoch: epoch, .probe))) == .sent
        {
            perform(state.linked())
        }
        flush()
        perform(state.tick(now: now))
        if lastReport.map({ $0.duration(to: now) >= Protocol.reportInterval }) ?? true { report() }
        tellOfStrangers(now: now)
    }

    private static let guardInterval = Duration.seconds(1)

    /// Once a second, however many there are.
    private func tellOfStrangers(now: Instant) {
        guard lastGuard.map({ $0.duration(to: now) >= Self.guardInterval }) ?? true else { return }
        lastGuard = now
        let refusals = data.takeRefusals()
        guard !refusals.isEmpty else { return }
        strangers.add(refusals)
        logger.warning(
            "refused connections",
            metadata: [
                "edge": "data", "count": "\(refusals.count)", "reasons": "\(refusals.summary)",
                "last": "\(refusals.last)",
            ])
    }

    private func watch() {
        if !isEnded { watching(state, executor.load, now()) }
    }

    package func readControl() {
        defer { watch() }
        do {
            while !isEnded, let reception = try control.receive() {
                switch reception {
                case .packet(let packet, _, _):
                    guard case .desired(let desired) = packet.message else {
                        logger.warning("dropped a message of the coordinator that is not for workers")
                        continue
                    }
                    perform(state.hear(desired, now: now()))
                case .broken(let error, _) where error.field == "header.version":
                    end(.failure(.refused("\(error)")))
                case .broken(let error, _):
                    logger.warning("dropped a message of the coordinator", metadata: ["error": "\(error)"])
                case .unwanted: break
                }
            }
        } catch {
            logger.error("cannot read the control socket", metadata: ["error": "\(error)"])
        }
    }

    package func readData() {
        do {
            while !isEnded, let reception = try data.receive(isWanted: { $0 == state.epoch }) {
                switch reception {
                case .packet(let packet, let peer, _): perform(state.receive(packet, from: peer))
                case .broken(let error, _):
                    guard let count = brokenLines.admit(now: now()) else { continue }
                    logger.warning("dropped a data message", metadata: ["error": "\(error)", "count": "\(count)"])
                case .unwanted: break
                }
            }
        } catch {
            logger.error("cannot read the data socket", metadata: ["error": "\(error)"])
        }
    }

    /// Asks the coordinator to be relieved, then ends; the second call ends at once.
    package func leave() {
        perform(state.leave(now: now()))
        watch()
    }

    /// Ends at once.
    package func stop() { perform(state.stop()) }

    // MARK: Actions

    private func perform(_ actions: [WorkerState.Action]) {
        for action in actions {
            guard !isEnded else { return }
            switch action {
            case .report: report()
            case .allow(let guests): data.allow(guests)
            case .begin(let assignment):
                // However soon the weights are there: that they are loaded is told.
                watch()
                executor.begin(assignment) { [self] result in
                    hop { [self] in perform(state.loaded(result, epoch: assignment.epoch, now: now())) }
                }
            case .preload(let layers):
                watch()
                executor.preload(layers) { [self] in hop { [self] in report() } }
            case .forget: executor.forget()
            case .link(let endpoint, let key): connect(to: endpoint, key: key)
            case .compute(let message, let tensors, let epoch):
                executor.compute(message, tensors: tensors) { [self] result in
                    hop { [self] in perform(state.computed(result, epoch: epoch)) }
                }
            case .release(let requests, let epoch):
                executor.release(requests) { [self] in hop { [self] in perform(state.released(requests, epoch: epoch)) }
                }
            case .flush: flush()
            case .end(let result): end(result)
            case .log(let line): log(line)
            }
        }
    }

    private func connect(to endpoint: String?, key: PublicKey?) {
        link = nil  // closes it
        guard let endpoint else { return }
        do {
            link = try transport.connect(
                to: endpoint, named: dataPeer, key: key, as: .data(maxFrameBytes: maxFrameBytes))
        } catch {
            logger.error("cannot connect to the next stage", metadata: ["error": "\(error)"])
        }
    }

    private func flush() {
        guard let link else { return }
        while let packet = state.next {
            do {
                guard try link.send(packet) == .sent else { return }
                state.sent()
            } catch {
                logger.error("cannot send to the next stage", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func report() {
        guard !isEnded else { return }
        lastReport = now()
        do {
            // What can't be sent now is said again in a quarter of a second.
            var report = state.report(load: executor.load)
            report.clock = ProcessClock.microseconds
            report.refused = strangers.counts
            guard try control.send(Packet(.report(report))) != .sent else { return }
            perform(state.unreached())
        } catch {
            logger.error("cannot send to the coordinator", metadata: ["error": "\(error)"])
        }
    }

    private func end(_ result: Result<Void, WorkerError>) {
        guard !isEnded else { return }
        isEnded = true
        link = nil
        data.allow([])
        executor.forget()
        ending(result)
    }

    private func log(_ line: WorkerState.LogLine) {
        let level: Logger.Level =
            switch line.level {
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            }
        logger.log(level: level, "\(line.text)", metadata: line.details.mapValues { "\($0)" })
    }
}
