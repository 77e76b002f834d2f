/// How processes reach each other: sockets that carry packets and say who speaks.
///
/// Two kinds of edges: a listener has many peers, a link has one. Nothing waits in `send` and `receive`; who owns a
/// listener or a link uses it from one thread.
package protocol Transport: AnyObject {
    /// Opens an edge that others connect to. Port 0 takes a free one.
    func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener
    /// Starts connecting; the link comes up, and comes back, by itself. `name` is what the other side knows it by.
    func connect(to endpoint: String, named name: PeerID, as kind: EdgeKind) throws(ZeroMQError) -> any Link
}

/// What an edge is for, and with it its bounds.
package enum EdgeKind: Sendable {
    /// Anyone may speak, little at a time.
    case control
    /// Only peers that are allowed may speak; a frame has at most this many bytes.
    case data(maxFrameBytes: Int)
}

/// What became of a packet given to `send`.
package enum SendResult: Equatable {
    case sent
    /// No peer can take it now: none connected, or its queue is full.
    case wouldBlock
    /// The peer is not connected (any more).
    case noSuchPeer
}

/// What a listener received.
package enum Reception {
    case packet(Packet, from: PeerID)
    /// Of an epoch nobody waits for, and not looked at any further.
    case unwanted
    /// No packet of this protocol.
    case broken(MessageError, from: PeerID?)
}

/// An edge with many peers.
package protocol Listener: AnyObject {
    /// Where it was bound.
    var endpoint: Endpoint { get }
    /// The only peers that may speak from now on; nobody at first. Without effect on control edges.
    func allow(_ peers: Set<PeerID>)
    /// The next message, or `nil` when none waits.
    func receive(isWanted: (Epoch) -> Bool) throws(ZeroMQError) -> Reception?
    func send(_ packet: Packet, to peer: PeerID) throws -> SendResult
    /// Calls `onReadable` on the loop's thread whenever messages wait; it must read until none is left.
    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void)
    func unwatch(on loop: SocketLoop)
}

/// An edge towards one peer.
package protocol Link: AnyObject {
    var endpoint: String { get }
    func receive() throws(ZeroMQError) -> Reception?
    func send(_ packet: Packet) throws -> SendResult
    func watch(on loop: SocketLoop, _ onReadable: @escaping () -> Void)
    func unwatch(on loop: SocketLoop)
}
