import Synchronization

/// A transport without sockets: processes are values in one process, and their messages wait in memory.
///
/// Left alone it delivers at once. A test can give it ``conditions``, and then time passes only when the test says so:
/// that is how whole clusters are simulated.
package final class InProcessTransport: Transport, @unchecked Sendable {  // all state is behind `state`
    package typealias Instant = ContinuousClock.Instant

    /// A connection from a link to a listener.
    package struct Edge: Hashable, Sendable {
        package var peer: PeerID
        package var endpoint: String
        /// From the link to the listener.
        package var isForward: Bool
    }

    /// What becomes of a packet: after how long each of its copies arrives; none for a lost one.
    package typealias Conditions = (_ edge: Edge, _ packet: Packet) -> [Duration]

    fileprivate struct Pending {
        var edge: Edge
        var due: Instant
        var order: Int
        var deliver: () -> Void
    }
    /// Edges live as long as their owners hold them.
    fileprivate struct Held<Value: AnyObject> {
        weak var value: Value?
    }
    fileprivate struct State {
        var listeners: [String: Held<InProcessListener>] = [:]
        var links: [Edge: Held<InProcessLink>] = [:]
        var cut: Set<Edge> = []
        var deadPeers: Set<PeerID> = []
        var deadEndpoints: Set<String> = []
        var conditions: Conditions?
        var now: Instant
        var pending: [Pending] = []

        func isOpen(_ edge: Edge) -> Bool {
            !cut.contains(edge) && !deadPeers.contains(edge.peer) && !deadEndpoints.contains(edge.endpoint)
        }

        var latest: [Edge: Instant] = [:]
        var count = 0
    }
    private let lock = Mutex(())
    private var state: State

    package init(now: Instant = .now) { state = State(now: now) }

    fileprivate func locked<R>(_ body: (inout State) throws -> R) rethrows -> R {
        try lock.withLock { _ in try body(&state) }
    }

    // MARK: For tests

    package func setConditions(_ conditions: Conditions?) { locked { $0.conditions = conditions } }

    /// Cuts or mends the connection of a link to a listener. A cut one takes no packet; what is under way is lost.
    package func setCut(_ isCut: Bool, peer: PeerID, endpoint: String) {
        locked { state in
            for isForward in [true, false] {
                let edge = Edge(peer: peer, endpoint: endpoint, isForward: isForward)
                if isCut { state.cut.insert(edge) } else { state.cut.remove(edge) }
            }
        }
    }

    /// Loses what is under way between a link and a listener, as a connection that is reset does.
    package func reset(peer: PeerID, endpoint: String) {
        locked { $0.pending.removeAll { $0.edge.peer == peer && $0.edge.endpoint == endpoint } }
    }

    /// A process is gone: nothing of its peers and of its endpoint takes or gives a packet any more.
    package func kill(peers: [PeerID], endpoint: String) {
        locked { state in
            state.deadPeers.formUnion(peers)
            state.deadEndpoints.insert(endpoint)
            state.pending.removeAll { peers.contains($0.edge.peer) || $0.edge.endpoint == endpoint }
        }
    }

    /// When the next packet arrives.
    package var nextArrival: Instant? { locked { $0.pending.map(\.due).min() } }

    /// Lets time pass, and delivers what arrives until then, in order.
    package func advance(to now: Instant) {
        while true {
            let next: Pending? = locked { state in
                let index = state.pending.indices.filter { state.pending[$0].due <= now }
                    .min {
                        (state.pending[$0].due, state.pending[$0].order) < (
                            state.pending[$1].due, state.pending[$1].order
                        )
                    }
                guard let index else {
                    state.now = max(state.now, now)
                    return nil
                }
                let found = state.pending.remove(at: index)
                state.now = max(state.now, found.due)
                return found
            }
            guard let next else { return }
            next.deliver()
        }
    }

    // MARK: Transport

    package func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener {
        var bound = endpoint
        return locked { state in
            if case .tcp(let host, 0) = endpoint.transport {
                state.count += 1
                bound = Endpoint(.tcp(host: host, port: UInt16(truncatingIfNeeded: 1 + state.count)))
            }
            var isOpen = false
            if case .control = kind { isOpen = true }
            let listener = InProcessListener(bound, isOpen: isOpen, network: self)
            state.listeners[bound.description] = Held(value: listener)
            return listener
        }
    }

    package func connect(
        to endpoint: String, named name: PeerID, key: PublicKey?, as kind: EdgeKind
    ) throws(ZeroMQError) -> any Link {
        locked { state in
            let edge = Edge(peer: name, endpoint: endpoint, isForward: false)
            let link = InProcessLink(endpoint, name: name, network: self)
            state.links[edge] = Held(value: link)
            return link
        }
    }

    // MARK: Carrying

    fileprivate func close(_ listener: InProcessListener) {
        locked { state in
            let name = listener.endpoint.description
            // Another one may have taken its place: a weak reference to one that goes is nil already.
            if let held = state.listeners[name], held.value == nil { state.listeners[name] = nil }
        }
    }

    fileprivate func close(_ link: InProcessLink) {
        let edge = Edge(peer: link.name, endpoint: link.endpoint, isForward: false)
        locked { state in
            if let held = state.links[edge], held.value == nil { state.links[edge] = nil }
        }
    }

    fileprivate func carry(_ packet: Packet, from link: InProcessLink) -> SendResult {
        let edge = Edge(peer: link.name, endpoint: link.endpoint, isForward: true)
        let target: InProcessListener? = locked { state in
            guard state.isOpen(edge), let listener = state.listeners[link.endpoint]?.value,
                listener.isOpen || listener.guests.contains(link.name)
            else { return nil }
            return listener
        }
        guard let target else { return .wouldBlock }
        post(packet, on: edge) { [weak target, name = link.name] in target?.arrive(packet, from: name) }
        return .sent
    }

    fileprivate func carry(_ packet: Packet, from listener: InProcessListener, to peer: PeerID) -> SendResult {
        let edge = Edge(peer: peer, endpoint: listener.endpoint.description, isForward: false)
        let target: InProcessLink? = locked { state in state.isOpen(edge) ? state.links[edge]?.value : nil }
        guard let target else { return .noSuchPeer }
        post(packet, on: edge) { [weak target] in target?.arrive(packet) }
        return .sent
    }

    private func post(_ packet: Packet, on edge: Edge, _ deliver: @escaping () -> Void) {
        let atOnce: Bool = locked { state in
            guard let conditions = state.conditions else { return true }
            for delay in conditions(edge, packet) {
                // A connection keeps its order, whatever each packet's delay.
                let due = max(state.now + delay, state.latest[edge] ?? state.now)
                state.latest[edge] = due
                state.count += 1
                state.pending.append(
                    Pending(edge: edge, due: due, order: state.count) { [weak self] in
                        guard let self, self.locked({ $0.isOpen(edge) }) else { return }
                        deliver()
                    })
            }
            return false
        }
        if atOnce { deliver() }
    }
}

/// What waits for a reader, and who is told of it.
private struct Inbox {
    var packets: [(Packet, PeerID)] = []
    var notify: (() -> Void)?
}

private final class InProcessListener: Listener {
    let endpoint: Endpoint
    let isOpen: Bool
    fileprivate private(set) var guests: Set<PeerID> = []
    private let network: InProcessTransport
    private var inbox = Inbox()

    init(_ endpoint: Endpoint, isOpen: Bool, network: InProcessTransport) {
        self.endpoint = endpoint
        self.isOpen = isOpen
        self.network = network
    }

    deinit { network.close(self) }

    func allow(_ guests: Set<Guest>) { network.locked { _ in self.guests = Set(guests.map(\.peer)) } }

    func takeRefusals() -> Refusals { Refusals() }

    func arrive(_ packet: Packet, from peer: PeerID) {
        network.locked { _ in
            inbox.packets.append((packet, peer))
            return inbox.notify
        }?()
    }

    func receive(isWanted: (Epoch) -> Bool) throws(ZeroMQError) -> Reception? {
        let next: (Packet, PeerID)? = network.locked { _ in inbox.packets.isEmpty ? nil : inbox.packets.removeFirst() }
        guard let (packet, peer) = next else { return nil }
        guard isOpen || guests.contains(peer), isWanted(packet.epoch) else { return .unwanted }
        return .packet(packet, from: peer, key: nil)
    }

    func send(_ packet: Packet, to peer: PeerID) throws -> SendResult { network.carry(packet, from: self, to: peer) }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) {
        nonisolated(unsafe) let onReadable = onReadable
        network.locked { _ in inbox.notify = { loop.submit { onReadable() } } }
        loop.submit { onReadable() }
    }

    func unwatch(on loop: SocketLoop) { network.locked { _ in inbox.notify = nil } }
}

private final class InProcessLink: Link {
    let endpoint: String
    let name: PeerID
    private let network: InProcessTransport
    private var inbox = Inbox()

    init(_ endpoint: String, name: PeerID, network: InProcessTransport) {
        self.endpoint = endpoint
        self.name = name
        self.network = network
    }

    deinit { network.close(self) }

    func arrive(_ packet: Packet) {
        network.locked { _ in
            inbox.packets.append((packet, name))
            return inbox.notify
        }?()
    }

    func receive() throws(ZeroMQError) -> Reception? {
        let next: (Packet, PeerID)? = network.locked { _ in inbox.packets.isEmpty ? nil : inbox.packets.removeFirst() }
        return next.map { .packet($0.0, from: $0.1, key: nil) }
    }

    func send(_ packet: Packet) throws -> SendResult { network.carry(packet, from: self) }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) {
        nonisolated(unsafe) let onReadable = onReadable
        network.locked { _ in inbox.notify = { loop.submit { onReadable() } } }
        loop.submit { onReadable() }
    }

    func unwatch(on loop: SocketLoop) { network.locked { _ in inbox.notify = nil } }
}
