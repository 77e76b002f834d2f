// The two transports, and a thread on which a test's edges live.

import Dispatch
import Foundation
import Synchronization
import Testing
import Wire

/// What every test of edges is run over.
enum Carrier: String, CaseIterable, CustomTestStringConvertible {
    case zeroMQ, inProcess
    /// ZeroMQ with keys.
    case curve

    var testDescription: String { rawValue }

    func make() throws -> any Transport {
        switch self {
        case .zeroMQ: ZeroMQTransport(context: try ZeroMQContext())
        case .inProcess: InProcessTransport()
        case .curve: try CurveTransport()
        }
    }

    func guest(_ peer: PeerID) throws -> Guest {
        Guest(peer, key: self == .curve ? try CurveTransport.pair(of: peer).publicKey : nil)
    }

    static let anywhere = Endpoint(.tcp(host: "127.0.0.1", port: 0))
}

extension Transport {
    func connect(to endpoint: String, named name: PeerID, as kind: EdgeKind) throws(ZeroMQError) -> any Link {
        try connect(to: endpoint, named: name, key: nil, as: kind)
    }
}

/// All processes of a cluster with keys: each peer has one of its own.
private final class CurveTransport: Transport {
    private static let pairs = Mutex<[PeerID: KeyPair]>([:])
    private let context: ZeroMQContext
    private let server: KeyPair

    init() throws {
        context = try ZeroMQContext()
        server = try .random()
    }

    static func pair(of peer: PeerID) throws -> KeyPair {
        try pairs.withLock { pairs in
            let pair = try pairs[peer] ?? .random()
            pairs[peer] = pair
            return pair
        }
    }

    func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener {
        try ZeroMQTransport(context: context, keys: .init(own: server) { _ in true }).listen(at: endpoint, as: kind)
    }

    func connect(
        to endpoint: String, named name: PeerID, key: PublicKey?, as kind: EdgeKind
    ) throws(ZeroMQError) -> any Link {
        guard let own = try? Self.pair(of: name) else { throw ZeroMQError("make a key") }
        return try ZeroMQTransport(context: context, keys: .init(own: own) { _ in false })
            .connect(to: endpoint, named: name, key: server.publicKey, as: kind)
    }
}

/// What came to an edge.
struct Heard: Sendable {
    var packet: Packet?
    var peer: PeerID?
    var key: PublicKey?
    var error: MessageError?
    /// Was not looked at.
    var isUnwanted = false

    init(_ reception: Reception) {
        switch reception {
        case .packet(let packet, let peer, let key): (self.packet, self.peer, self.key) = (packet, peer, key)
        case .unwanted: isUnwanted = true
        case .broken(let error, let peer): (self.error, self.peer) = (error, peer)
        }
    }
}

/// A thread that owns edges: everything is sent from it, and what comes can be awaited.
final class Ear: Sendable {
    private let loop: SocketLoop
    /// What came to the edges it listens on, in order.
    let heard: AsyncStream<Heard>
    private let hears: AsyncStream<Heard>.Continuation

    init() throws {
        loop = try SocketLoop(name: "ear")
        (heard, hears) = AsyncStream<Heard>.makeStream()
        loop.start()
    }

    /// Runs on the thread, some time.
    func submit(_ body: @escaping @Sendable () -> Void) { loop.submit(body) }

    /// Runs on the thread.
    func on<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { done in loop.submit { done.resume(returning: body()) } }
    }

    func listen(_ listener: any Listener, isWanted: @escaping @Sendable (Epoch) -> Bool = { _ in true }) {
        nonisolated(unsafe) let listener = listener
        loop.submit { [loop, hears] in
            listener.watch(on: loop) {
                while let next = try? listener.receive(isWanted: isWanted) { hears.yield(Heard(next)) }
            }
        }
    }

    func listen(_ link: any Link) {
        nonisolated(unsafe) let link = link
        loop.submit { [loop, hears] in
            link.watch(on: loop) { while let next = try? link.receive() { hears.yield(Heard(next)) } }
        }
    }

    func unlisten(_ listener: any Listener) async {
        nonisolated(unsafe) let listener = listener
        await on { [loop] in listener.unwatch(on: loop) }
    }

    func send(_ packet: Packet, _ link: any Link) async -> SendResult? {
        nonisolated(unsafe) let link = link
        return await on { try? link.send(packet) }
    }

    func send(_ packet: Packet, _ listener: any Listener, to peer: PeerID) async -> SendResult? {
        nonisolated(unsafe) let listener = listener
        return await on { try? listener.send(packet, to: peer) }
    }

    /// Until it is taken: a link comes up by itself.
    func sendSurely(_ packet: Packet, _ link: any Link) async {
        while !Task.isCancelled, await send(packet, link) != .sent { await Task.yield() }
    }

    /// Again and again while `body` waits: what a link takes while its other end goes is lost.
    func sendWhile<R>(_ packet: Packet, _ link: any Link, _ body: () async -> R) async -> R {
        nonisolated(unsafe) let link = link
        let sender = Task { [self] in
            while !Task.isCancelled {
                _ = await on { try? link.send(packet) }
                await Task.yield()
            }
        }
        let result = await body()
        sender.cancel()
        await sender.value
        return result
    }

    /// Until the edge says so.
    func sendUntil(_ result: SendResult, _ packet: Packet, _ link: any Link) async {
        while !Task.isCancelled, await send(packet, link) != result { await Task.yield() }
    }

    /// Until the edge says so.
    func sendUntil(_ result: SendResult, _ packet: Packet, _ listener: any Listener, to peer: PeerID) async {
        while !Task.isCancelled, await send(packet, listener, to: peer) != result { await Task.yield() }
    }

    /// Ends the thread.
    func stop() async {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { [loop] in
                loop.stopAndWait()
                done.resume()
            }
        }
    }
}
