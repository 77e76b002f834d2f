// The open connections of a gateway, each with its channel.

import Glibc
package import Logging
import NIOCore
import Synchronization

/// Counts connections and closes the one that has to make room for another.
package final class Connections: Sendable {
    private struct State {
        var table: ConnectionTable
        var channels: [Int: any Channel] = [:]
        var next = 0
        /// Connections closed to make room, and when that was last logged.
        var closed = 0
        var logged: ContinuousClock.Instant?
    }

    private let state: Mutex<State>
    private let logger: Logger

    package init(limits: ConnectionTable.Limits, logger: Logger) {
        state = Mutex(State(table: ConnectionTable(limits: limits)))
        self.logger = logger
    }

    /// Takes a connection in, and returns its number.
    func open(_ channel: any Channel) -> Int {
        let address = Self.address(channel.remoteAddress)
        let (id, victim, closed) = state.withLock { state in
            let id = state.next
            state.next += 1
            state.channels[id] = channel
            guard let victim = state.table.open(id, from: address) else { return (id, (any Channel)?.none, Int?.none) }
            let channel = state.channels.removeValue(forKey: victim)
            state.table.close(victim)
            state.closed += 1
            // One line says it for many: whoever opens connections by the thousand fills no log with them.
            let now = ContinuousClock.now
            if let logged = state.logged, now - logged < .seconds(10) { return (id, channel, nil) }
            state.logged = now
            defer { state.closed = 0 }
            return (id, channel, state.closed)
        }
        victim?.close(promise: nil)
        if let closed {
            logger.warning(
                "closed idle connections to make room for new ones",
                metadata: ["count": "\(closed)", "last_from": "\(address)"])
        }
        return id
    }

    /// A request begins on a connection. `false`: refuse it, there are too many.
    func begin(_ id: Int, isProbe: Bool) -> Bool { state.withLock { $0.table.begin(id, isProbe: isProbe) } }

    func end(_ id: Int) { state.withLock { $0.table.end(id) } }

    func close(_ id: Int) {
        state.withLock { state in
            state.table.close(id)
            state.channels[id] = nil
        }
    }

    /// Whom a connection is counted for: its IPv4 address, or the network of its IPv6 address, of which one host may
    /// have any number.
    static func address(_ address: SocketAddress?) -> String {
        switch address {
        case .v6:
            guard let text = address?.ipAddress, let parts = groups(text) else { return address?.ipAddress ?? "" }
            // A v4 client of a socket that serves both.
            if parts.prefix(5).allSatisfy({ $0 == 0 }), parts[5] == 0xFFFF { return text }
            return parts.prefix(4).map { String($0, radix: 16) }.joined(separator: ":") + "::/64"
        default: return address?.ipAddress ?? ""
        }
    }

    /// The eight groups of an IPv6 address; nil for what is none.
    private static func groups(_ text: String) -> [UInt16]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
        return stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
    }
}
