// The other ends of a worker's edges, played by a test over real sockets.

import Dispatch
import Layers
import Wire

/// A coordinator that may say anything, on both sides of a worker.
///
/// `@unchecked Sendable`: edges are used on the loop's thread alone.
final class Opposite: @unchecked Sendable {
    let context: ZeroMQContext
    let transport: ZeroMQTransport
    let incarnation: Incarnation = 77
    /// The name under which it sends to the worker.
    let peer = PeerID.random()
    let endpoint: Endpoint
    let resultsEndpoint: String
    /// What the worker reports, and what comes out of it.
    let reports: AsyncStream<Report>
    let results: AsyncStream<Packet>

    private let loop: SocketLoop
    private let control: any Listener
    private let resultsEdge: any Listener
    private let reporting: AsyncStream<Report>.Continuation
    private let arriving: AsyncStream<Packet>.Continuation
    private var worker: PeerID?
    private var isGuest = false
    private var known: UInt64 = 0
    /// What every report is answered with.
    private var assignment: Assignment?
    private var link: (any Link)?
    private var sequence: UInt64 = 0

    init() throws {
        context = try ZeroMQContext()
        transport = ZeroMQTransport(context: context)
        loop = try SocketLoop(name: "opposite")
        let anywhere = Endpoint(.tcp(host: "127.0.0.1", port: 0))
        control = try transport.listen(at: anywhere, as: .control)
        resultsEdge = try transport.listen(at: anywhere, as: .data(maxFrameBytes: 1 << 24))
        endpoint = control.endpoint
        resultsEndpoint = resultsEdge.endpoint.description
        (reports, reporting) = AsyncStream<Report>.makeStream()
        (results, arriving) = AsyncStream<Packet>.makeStream()
        loop.start()
        loop.submit { [self] in
            control.watch(on: loop) { [unowned self] in readControl() }
            resultsEdge.watch(on: loop) { [unowned self] in readResults() }
        }
    }

    private func readControl() {
        while let next = try? control.receive(isWanted: { _ in true }) {
            guard case .packet(let packet, let peer, _) = next, case .report(let report) = packet.message else {
                continue
            }
            worker = peer
            known = report.profileHash
            if let profile = report.profile, !isGuest {
                isGuest = true
                resultsEdge.allow([Guest(profile.dataPeer)])
            }
            answer()
            reporting.yield(report)
        }
    }

    private func readResults() {
        while let next = try? resultsEdge.receive(isWanted: { _ in true }) {
            guard case .packet(let packet, _, _) = next, packet.sequence != 0 else { continue }
            arriving.yield(packet)
        }
    }

    private func answer() {
        tell(.desired(Desired(incarnation: incarnation, knownProfile: known, assignment: assignment)))
    }

    private func tell(_ message: Message) {
        guard let worker else { return }
        _ = try? control.send(Packet(message), to: worker)
    }

    private func on<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { done in loop.submit { done.resume(returning: body()) } }
    }

    func epoch(_ counter: UInt64) -> Epoch { Epoch(incarnation: incarnation, counter: counter) }

    /// Makes the worker the only stage of a pipeline, from now on.
    func assign(_ counter: UInt64, layers: LayerSpan) async {
        await on { [self] in
            sequence = 0
            assignment = Assignment(
                epoch: epoch(counter), stage: 0, stageCount: 1, layers: layers, nextEndpoint: resultsEndpoint,
                previous: Guest(peer), maxRows: 64, maxInFlight: 4, kvRows: 100)
            answer()
        }
    }

    func refuse(_ reason: String) async {
        await on { [self] in
            tell(.desired(Desired(incarnation: incarnation, refusal: .otherWeights, reason: reason)))
        }
    }

    /// Messages that are not for workers, with noise behind them.
    func tell(noise: [[UInt8]]) async {
        await on { [self] in
            guard let worker else { return }
            for bytes in noise {
                guard let frame = try? Frame(bytes) else { continue }
                _ = try? control.send(Packet(.release([1]), tensors: [frame]), to: worker)
            }
        }
    }

    func connect(to data: Endpoint) async {
        await on { [self] in
            link = try? transport.connect(
                to: data.description, named: peer, key: nil, as: .data(maxFrameBytes: 1 << 24))
        }
    }

    /// Sends on the data edge, once its link stands.
    ///
    /// - Parameter skipping: so many numbers are left out before it.
    func send(_ message: Message, _ counter: UInt64, tensors: [Frame] = [], skipping: UInt64 = 0) async {
        while !Task.isCancelled,
            await !on({ [self] in
                let packet = Packet(
                    epoch: epoch(counter), sequence: sequence + 1 + skipping, message, tensors: tensors)
                guard (try? link?.send(packet)) == .sent else { return false }
                sequence += 1 + skipping
                return true
            })
        { await Task.yield() }
    }

    func stop() async {
        await on { [self] in
            control.unwatch(on: loop)
            resultsEdge.unwatch(on: loop)
            link = nil
        }
        await withCheckedContinuation { done in
            DispatchQueue.global().async { [loop] in
                loop.stopAndWait()
                done.resume()
            }
        }
    }
}
