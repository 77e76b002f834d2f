/// The transport of real clusters: ROUTER sockets listen, DEALER sockets connect.
///
/// With a keyring every edge is encrypted and authenticated both ways by CURVE; without one all is plain text.
package final class ZeroMQTransport: Transport, Sendable {
    /// What this process shows, and whom it lets in.
    package struct Keyring: Sendable {
        package var own: KeyPair
        /// On control edges; on data edges only guests may speak.
        package var mayJoin: @Sendable (PublicKey) -> Bool

        package init(own: KeyPair, mayJoin: @escaping @Sendable (PublicKey) -> Bool) {
            self.own = own
            self.mayJoin = mayJoin
        }
    }

    private let context: ZeroMQContext
    private let keys: Keyring?

    package init(context: ZeroMQContext, keys: Keyring? = nil) {
        self.context = context
        self.keys = keys
    }

    package func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener {
        try ZeroMQListener(endpoint, kind: kind, keys: keys, context: context)
    }

    package func connect(
        to endpoint: String, named name: PeerID, key: PublicKey?, as kind: EdgeKind
    ) throws(ZeroMQError) -> any Link {
        try ZeroMQLink(endpoint, name: name, kind: kind, own: keys?.own, key: key, context: context)
    }
}

extension EdgeKind {
    fileprivate var limits: Socket.Limits {
        switch self {
        case .control: Socket.Limits(maxFrameBytes: Protocol.maxControlBytes, queue: Protocol.controlQueue)
        case .data(let bytes): Socket.Limits(maxFrameBytes: bytes)
        }
    }

    fileprivate var maxBody: Int {
        switch self {
        case .control: Protocol.maxControlBytes
        // Tensors have frames of their own; what is decoded takes many times its bytes.
        case .data(let bytes): min(bytes, Protocol.maxBodyBytes)
        }
    }
}

private final class ZeroMQListener: Listener {
    let endpoint: Endpoint
    private let socket: Socket
    private let maxBody: Int
    private let guests: GuestList?

    init(
        _ endpoint: Endpoint, kind: EdgeKind, keys: ZeroMQTransport.Keyring?, context: ZeroMQContext
    ) throws(ZeroMQError) {
        socket = try Socket(.router, context: context, limits: kind.limits)
        maxBody = kind.maxBody
        let rule: GuestList.Rule? =
            switch kind {
            case .data: keys == nil ? .names([:]) : .keys([:])
            case .control: keys.map { .list($0.mayJoin) }
            }
        guests = try rule.map { rule throws(ZeroMQError) in try context.guestList(rule) }
        if let guests { try socket.serve(keys?.own, domain: guests.domain) }
        let text = try socket.bind(endpoint)
        self.endpoint = (try? Endpoint(text)) ?? endpoint
    }

    func allow(_ guests: Set<Guest>) { self.guests?.allow(guests) }

    func takeRefusals() -> Refusals? { guests?.takeRefusals() }

    func receive(isWanted: (Epoch) -> Bool) throws(ZeroMQError) -> Reception? {
        guard let frames = try socket.receive() else { return nil }
        guard let first = frames.first, let peer = first.withBytes({ PeerID($0) }) else {
            return .broken(MessageError("message", "no peer, or too many frames"), from: nil)
        }
        guard let guests else {
            return reception(frames.dropFirst(), from: peer, key: nil, maxBody: maxBody, isWanted: isWanted)
        }
        // The guest list keeps strangers from connecting; whoever was a guest once may still be connected.
        guard let user = frames.dropFirst().first?.user, guests.isGuest(peer, showing: user) else { return .unwanted }
        return reception(
            frames.dropFirst(), from: peer, key: PublicKey(user), maxBody: maxBody, isWanted: isWanted)
    }

    func send(_ packet: Packet, to peer: PeerID) throws -> SendResult {
        try socket.send([try Frame(peer.bytes)] + (try Codec.frames(packet)))
    }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) { loop.watch(socket, onReadable: onReadable) }

    func unwatch(on loop: SocketLoop) { loop.unwatch(socket) }
}

private func reception(
    _ frames: some RandomAccessCollection<Frame>, from peer: PeerID, key: PublicKey?, maxBody: Int,
    isWanted: (Epoch) -> Bool
) -> Reception {
    do throws(MessageError) {
        guard let packet = try Codec.packet(frames, maxBody: maxBody, isWanted: isWanted) else { return .unwanted }
        return .packet(packet, from: peer, key: key)
    } catch {
        return .broken(error, from: peer)
    }
}

private final class ZeroMQLink: Link {
    let endpoint: String
    private let socket: Socket
    private let maxBody: Int
    private let name: PeerID
    private let key: PublicKey?

    init(
        _ endpoint: String, name: PeerID, kind: EdgeKind, own: KeyPair?, key: PublicKey?, context: ZeroMQContext
    ) throws(ZeroMQError) {
        socket = try Socket(.dealer, context: context, limits: kind.limits)
        maxBody = kind.maxBody
        self.name = name
        try socket.setIdentity(name.bytes)
        self.key = own == nil ? nil : key
        if let own {
            guard let key else { throw ZeroMQError("connect without knowing the key of", endpoint: endpoint) }
            try socket.show(own, to: key)
        } else if case .data = kind {
            try socket.setName(name.text)
        }
        try socket.useIPv6(Binding.connectsByIPv6(endpoint))
        try socket.connect(endpoint)
        self.endpoint = endpoint
    }

    /// Whoever answers is the one we connected to; its name is not known on this side.
    func receive() throws(ZeroMQError) -> Reception? {
        guard let frames = try socket.receive() else { return nil }
        return reception(frames, from: name, key: key, maxBody: maxBody) { _ in true }
    }

    func send(_ packet: Packet) throws -> SendResult { try socket.send(try Codec.frames(packet)) }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) { loop.watch(socket, onReadable: onReadable) }

    func unwatch(on loop: SocketLoop) { loop.unwatch(socket) }
}
