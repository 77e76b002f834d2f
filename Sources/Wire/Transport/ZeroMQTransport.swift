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
        case .data(let bytes):
            // With keys a piece is wrapped in a few dozen bytes.
            Socket.Limits(
                maxFrameBytes: min(bytes, Pieces.size) + 64, maxFrames: 8 + (bytes + maxBody) / Pieces.size)
        }
    }

    /// Longest frame, once its pieces are put together, bytes.
    fileprivate var maxFrame: Int {
        switch self {
        case .control: Protocol.maxControlBytes
        case .data(let bytes): bytes
        }
    }

    /// How long a peer may go on speaking that is no longer allowed to. Neighbours that part are not told at the same time.
    fileprivate var patience: Duration {
        switch self {
        case .control: .zero
        case .data: .seconds(5)
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
    private let kind: EdgeKind
    private let guests: GuestList?
    private let monitor: SocketMonitor
    /// Messages of connections that are not known yet, in order. On the loop's thread, as all below.
    private var early: [(connection: Int32?, frames: [Frame], since: ContinuousClock.Instant)] = []
    private static let maxEarly = 64
    /// Has the loop read again.
    private var wake: (@Sendable () -> Void)?

    init(
        _ endpoint: Endpoint, kind: EdgeKind, keys: ZeroMQTransport.Keyring?, context: ZeroMQContext
    ) throws(ZeroMQError) {
        socket = try Socket(.router, context: context, limits: kind.limits)
        self.kind = kind
        let rule: GuestList.Rule? =
            switch kind {
            case .data: keys == nil ? .names([:]) : .keys([:])
            case .control: keys.map { .list($0.mayJoin) }
            }
        guests = try rule.map { rule throws(ZeroMQError) in try context.guestList(rule) }
        if let guests { try socket.serve(keys?.own, domain: guests.domain) }
        // Names that nobody can guess keep strangers from plain data edges; whoever reaches a plain control edge may speak.
        var isIPC = false
        if case .ipc = endpoint.transport { isIPC = true }
        monitor = try socket.monitor(patience: kind.patience, asksWhose: guests == nil, isIPC: isIPC)
        let text = try socket.bind(endpoint)
        self.endpoint = (try? Endpoint(text)) ?? endpoint
    }

    func allow(_ guests: Set<Guest>) { self.guests?.allow(guests) }

    func takeRefusals() -> Refusals {
        var refusals = guests?.takeRefusals() ?? Refusals()
        refusals.add(monitor.takeRefusals())
        return refusals
    }

    func receive(isWanted: (Epoch) -> Bool) throws(ZeroMQError) -> Reception? {
        guard let frames = try next() else { return nil }
        guard let first = frames.first, let peer = first.withBytes({ PeerID($0) }) else {
            return .broken(MessageError("message", "no peer, or too many frames"), from: nil)
        }
        let second = frames.dropFirst().first
        guard let guests else {
            if let connection = second?.connection { monitor.spoke(connection, isInvited: true) }
            return reception(frames.dropFirst(), from: peer, key: nil, kind: kind, isWanted: isWanted)
        }
        // The guest list keeps strangers from connecting; whoever was a guest once may still be connected.
        let user = second?.user
        let isInvited = user.map { guests.isGuest(peer, showing: $0) } ?? false
        if let connection = second?.connection { monitor.spoke(connection, isInvited: isInvited) }
        guard let user, isInvited else { return .unwanted }
        return reception(frames.dropFirst(), from: peer, key: PublicKey(user), kind: kind, isWanted: isWanted)
    }

    /// The frames of the next message that may be heard. Where nobody is asked for a name or a key, a connection must be
    /// known first, and with it whose it is: what it says before waits for a moment.
    private func next() throws(ZeroMQError) -> [Frame]? {
        guard guests == nil else { return try socket.receive() }
        while true {
            if let index = early.firstIndex(where: { monitor.isKnown($0.connection) }) {
                return early.remove(at: index).frames
            }
            guard let frames = try socket.receive() else {
                if !early.isEmpty, let wake { monitor.awaitNews(wake) }
                // It may have become known while there was nobody to be woken.
                return early.contains { monitor.isKnown($0.connection) } ? try next() : nil
            }
            guard !frames.isEmpty else { return frames }
            let connection = frames.dropFirst().first?.connection
            if monitor.isKnown(connection), !early.contains(where: { $0.connection == connection }) { return frames }
            early.removeAll { $0.since.duration(to: .now) > .seconds(2) }
            guard connection != nil, early.count < Self.maxEarly else { continue }
            early.append((connection, frames, .now))
        }
    }

    func send(_ packet: Packet, to peer: PeerID) throws -> SendResult {
        try socket.send([try Frame(peer.bytes)] + Pieces.split(try Codec.frames(packet)))
    }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) {
        // Nothing of this may hold the reader, who holds this, nor the socket, whose end its monitor waits for.
        wake = { [weak loop, weak socket] in
            loop?.submit { [weak loop, weak socket] in
                if let socket { loop?.readAgain(socket) }
            }
        }
        loop.watch(socket, onReadable: onReadable)
    }

    func unwatch(on loop: SocketLoop) {
        wake = nil
        loop.unwatch(socket)
    }
}

private func reception(
    _ frames: some RandomAccessCollection<Frame>, from peer: PeerID, key: PublicKey?, kind: EdgeKind,
    isWanted: (Epoch) -> Bool
) -> Reception {
    do throws(MessageError) {
        let frames = try Pieces.join(frames, limit: kind.maxFrame)
        guard let packet = try Codec.packet(frames, maxBody: kind.maxBody, isWanted: isWanted) else { return .unwanted }
        return .packet(packet, from: peer, key: key)
    } catch {
        return .broken(error, from: peer)
    }
}

private final class ZeroMQLink: Link {
    let endpoint: String
    private let socket: Socket
    private let kind: EdgeKind
    private let name: PeerID
    private let key: PublicKey?

    init(
        _ endpoint: String, name: PeerID, kind: EdgeKind, own: KeyPair?, key: PublicKey?, context: ZeroMQContext
    ) throws(ZeroMQError) {
        socket = try Socket(.dealer, context: context, limits: kind.limits)
        self.kind = kind
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
        return reception(frames, from: name, key: key, kind: kind) { _ in true }
    }

    func send(_ packet: Packet) throws -> SendResult { try socket.send(Pieces.split(try Codec.frames(packet))) }

    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void) { loop.watch(socket, onReadable: onReadable) }

    func unwatch(on loop: SocketLoop) { loop.unwatch(socket) }
}
