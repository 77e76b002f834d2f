/// The transport of real clusters: ROUTER sockets listen, DEALER sockets connect.
package final class ZeroMQTransport: Transport, Sendable {
    private let context: ZeroMQContext

    package init(context: ZeroMQContext) { self.context = context }

    package func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener {
        try ZeroMQListener(endpoint, kind: kind, context: context)
    }

    package func connect(to endpoint: String, named name: PeerID, as kind: EdgeKind) throws(ZeroMQError) -> any Link {
        try ZeroMQLink(endpoint, name: name, kind: kind, context: context)
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
    private let guest: GuestList?

    init(_ endpoint: Endpoint, kind: EdgeKind, context: ZeroMQContext) throws(ZeroMQError) {
        socket = try Socket(.router, context: context, limits: kind.limits)
        maxBody = kind.maxBody
        if case .data = kind {
            let list = try context.guestList()
            try socket.setGuests(list.domain)
            guest = list
        } else {
            guest = nil
        }
        let text = try socket.bind(endpoint)
        self.endpoint = (try? Endpoint(text)) ?? endpoint
    }

    func allow(_ peers: Set<PeerID>) { guest?.allow(peers) }

    func receive(isWanted: (Epoch) -> Bool) throws(ZeroMQError) -> Reception? {
        guard let frames = try socket.receive() else { return nil }
        guard let first = frames.first, let peer = first.withBytes({ PeerID($0) }) else {
            return .broken(MessageError("message", "no peer, or too many frames"), from: nil)
        }
        // The guest list keeps strangers from connecting; whoever was a guest once may still be connected.
        guard guest?.holds(peer) != false, guest == nil || frames.dropFirst().first?.user == peer.text else {
            return .unwanted
        }
        return reception(frames.dropFirst(), from: peer, maxBody: maxBody, isWanted: isWanted)
    }

    func send(_ packet: Packet, to peer: PeerID) throws -> SendResult {
        try socket.send([try Frame(peer.bytes)] + (try Codec.frames(packet)))
    }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) { loop.watch(socket, onReadable: onReadable) }

    func unwatch(on loop: SocketLoop) { loop.unwatch(socket) }
}

private func reception(
    _ frames: some RandomAccessCollection<Frame>, from peer: PeerID, maxBody: Int, isWanted: (Epoch) -> Bool
) -> Reception {
    do throws(MessageError) {
        guard let packet = try Codec.packet(frames, maxBody: maxBody, isWanted: isWanted) else { return .unwanted }
        return .packet(packet, from: peer)
    } catch {
        return .broken(error, from: peer)
    }
}

private final class ZeroMQLink: Link {
    let endpoint: String
    private let socket: Socket
    private let maxBody: Int
    private let name: PeerID

    init(_ endpoint: String, name: PeerID, kind: EdgeKind, context: ZeroMQContext) throws(ZeroMQError) {
        socket = try Socket(.dealer, context: context, limits: kind.limits)
        maxBody = kind.maxBody
        self.name = name
        try socket.setIdentity(name.bytes)
        if case .data = kind { try socket.setName(name.text) }
        try socket.useIPv6(Binding.connectsByIPv6(endpoint))
        try socket.connect(endpoint)
        self.endpoint = endpoint
    }

    /// Whoever answers is the one we connected to; its name is not known on this side.
    func receive() throws(ZeroMQError) -> Reception? {
        guard let frames = try socket.receive() else { return nil }
        return reception(frames, from: name, maxBody: maxBody) { _ in true }
    }

    func send(_ packet: Packet) throws -> SendResult { try socket.send(try Codec.frames(packet)) }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) { loop.watch(socket, onReadable: onReadable) }

    func unwatch(on loop: SocketLoop) { loop.unwatch(socket) }
}
