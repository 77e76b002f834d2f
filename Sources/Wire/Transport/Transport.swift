/// How processes reach each other: sockets that carry packets and say who speaks.
///
/// Two kinds of edges: a listener has many peers, a link has one. Nothing waits in `send` and `receive`; who owns a
/// listener or a link uses it from one thread.
package protocol Transport: AnyObject {
    /// Opens an edge that others connect to. Port 0 takes a free one.
    func listen(at endpoint: Endpoint, as kind: EdgeKind) throws(ZeroMQError) -> any Listener
    /// Starts connecting; the link comes up, and comes back, by itself. `name` is what the other side knows it by.
    ///
    /// - Parameter key: who must answer there; without effect where links are plain.
    func connect(
        to endpoint: String, named name: PeerID, key: PublicKey?, as kind: EdgeKind
    ) throws(ZeroMQError) -> any Link
}

/// Who may speak on a data edge: a peer's name for this connection, and its key where links have keys.
package struct Guest: Hashable, Sendable {
    package var peer: PeerID
    package var key: PublicKey?

    package init(_ peer: PeerID, key: PublicKey? = nil) {
        self.peer = peer
        self.key = key
    }
}

/// What an edge is for, and with it its bounds.
package enum EdgeKind: Sendable {
    /// Anyone may speak, little at a time. Without keys, what a connection says before it is known is held for a moment, 64
    /// messages of all such; the rest is dropped: who speaks here says again what matters.
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
    /// The sender's key where links have keys.
    case packet(Packet, from: PeerID, key: PublicKey?)
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
    func allow(_ guests: Set<Guest>)
    /// Whom it did not let in since it was last asked.
    func takeRefusals() -> Refusals
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
