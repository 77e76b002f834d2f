// The connections of a listening socket, from what libzmq tells of them: which are strangers', which are too many.

import Synchronization

/// The connections of one listening socket.
///
/// libzmq tells of a connection's beginning and end by its descriptor, but of its handshake without one: a failure is told
/// just before the end it leads to, on the same thread; a success belongs to a connection that will speak, or that stands
/// longer than a handshake may last.
package struct ConnectionTable: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// What there may be at once, and for how long.
    package struct Bounds: Sendable {
        /// A handshake lasts no longer.
        package var handshake = Duration.seconds(2)
        /// Connections whose handshake is not done.
        package var settling = 64
        /// All connections.
        package var total: Int
        /// A peer that speaks uninvited is cut off after so long.
        package var patience: Duration

        package init(total: Int, patience: Duration) {
            self.total = total
            self.patience = patience
        }
    }

    /// How a handshake failed, as libzmq tells it.
    package enum Failure: Equatable, Sendable {
        /// Refused by the guest list, which has counted it.
        case denied
        case otherMechanism
        case cryptography
        case malformed
        /// The connection ended, by its peer or because the time was up.
        case ended
    }

    package enum Event: Equatable, Sendable {
        case accepted(Int32, from: PeerAddress, isForeign: Bool = false)
        /// A Unix socket's peer that was turned away as it came.
        case turnedAway
        case succeeded
        case failed(Failure)
        case disconnected(Int32)
    }

    /// A connection to be shut down, if the descriptor is still its.
    package struct Cut: Equatable, Sendable {
        package var descriptor: Int32
        package var address: PeerAddress
    }

    private struct Connection {
        let address: PeerAddress
        let opened: Instant
        /// Its handshake is known to have succeeded.
        var isSettled = false
        var uninvitedSince: Instant?
    }

    private let bounds: Bounds
    private var open: [Int32: Connection] = [:]
    private var failure: Failure?
    /// Handshakes that succeeded, of connections that have not spoken yet.
    private var unplaced = 0
    /// Connections that the guest list refused, and that have not ended yet.
    private var denied = 0
    package private(set) var refusals = Refusals()

    package init(_ bounds: Bounds) { self.bounds = bounds }

    package var count: Int { open.count }

    package mutating func takeRefusals() -> Refusals {
        defer { refusals = Refusals() }
        return refusals
    }

    /// - Returns: the connections to cut.
    package mutating func note(_ event: Event, now: Instant) -> [Cut] {
        switch event {
        case .turnedAway: refusals.add(.otherUser, "a process of another user")
        case .accepted(let descriptor, let address, let isForeign):
            open[descriptor] = Connection(address: address, opened: now)
            if isForeign {
                return cut(descriptor, .otherUser, "a process of another user, or of nobody that the kernel names")
            }
            return overflow(newest: descriptor, now: now)
        case .succeeded: unplaced += 1
        case .failed(.denied): denied += 1
        case .failed(let failure): self.failure = failure
        case .disconnected(let descriptor):
            let failure = failure
            self.failure = nil
            guard let gone = open.removeValue(forKey: descriptor), !gone.isSettled else { break }
            end(gone, failure, now: now)
        }
        return []
    }

    /// A connection ends whose handshake was not known to be done.
    private mutating func end(_ gone: Connection, _ failure: Failure?, now: Instant) {
        switch failure {
        case .otherMechanism: refusals.add(.noKey, "\(gone.address), no key")
        case .cryptography: refusals.add(.forged, "\(gone.address), a handshake that does not hold")
        case .malformed: refusals.add(.malformed, "\(gone.address), no handshake of this protocol")
        case .ended where gone.opened.duration(to: now) > bounds.handshake * 0.9:
            refusals.add(.slow, "\(gone.address), no handshake in time")
        case .ended: refusals.add(.left, "\(gone.address), left before its handshake was done")
        case .denied, nil:
            // Old versions of the protocol, and what is none, end without a word.
            if denied > 0 {
                denied -= 1
            } else if unplaced > 0 {
                unplaced -= 1
            } else {
                refusals.add(.malformed, "\(gone.address), no handshake of this protocol")
            }
        }
    }

    private mutating func overflow(newest: Int32, now: Instant) -> [Cut] {
        for (descriptor, connection) in open
        where !connection.isSettled && connection.opened.duration(to: now) > bounds.handshake * 1.5 {
            open[descriptor]?.isSettled = true
            unplaced = max(0, unplaced - 1)
        }
        if open.count > bounds.total { return cut(newest, .flood, "too many connections") }
        let settling = open.filter { !$0.value.isSettled }
        guard settling.count - unplaced > bounds.settling else { return [] }
        // An honest handshake is done in no time, so the oldest is not one; and who has most has least to lose.
        let byHost = Dictionary(grouping: settling) { $0.value.address.host }
        let most = byHost.values.max { ($0.count, $1.map(\.key).min() ?? 0) < ($1.count, $0.map(\.key).min() ?? 0) }
        guard let oldest = most?.min(by: { ($0.value.opened, $0.key) < ($1.value.opened, $1.key) }) else { return [] }
        return cut(oldest.key, .flood, "too many handshakes at once")
    }

    private mutating func cut(_ descriptor: Int32, _ reason: Refusals.Reason, _ why: String) -> [Cut] {
        guard let connection = open.removeValue(forKey: descriptor) else { return [] }
        refusals.add(reason, "\(connection.address), \(why)")
        return [Cut(descriptor: descriptor, address: connection.address)]
    }

    /// Whether a connection is here and may be heard. One that is new may be told of in a moment.
    package func isKnown(_ descriptor: Int32?) -> Bool { descriptor.map { open[$0] != nil } ?? false }

    /// A message came over the connection, from a peer that may speak or may not.
    ///
    /// - Returns: the connection to cut: its peer was let in once and no longer is.
    package mutating func spoke(_ descriptor: Int32, isInvited: Bool, now: Instant) -> Cut? {
        guard let connection = open[descriptor] else { return nil }
        if !connection.isSettled {
            open[descriptor]?.isSettled = true
            unplaced = max(0, unplaced - 1)
        }
        guard !isInvited else {
            if connection.uninvitedSince != nil { open[descriptor]?.uninvitedSince = nil }
            return nil
        }
        let since = connection.uninvitedSince ?? now
        open[descriptor]?.uninvitedSince = since
        guard since.duration(to: now) >= bounds.patience else { return nil }
        return cut(descriptor, .revoked, "no longer allowed").first
    }
}
