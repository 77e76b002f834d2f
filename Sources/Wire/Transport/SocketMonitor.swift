// What libzmq tells of a listening socket's connections, and the means to end one.

import CZeroMQ
import Glibc
import Synchronization

/// Watches the connections of one listening socket: counts strangers whom the handshake itself keeps out, and ends
/// connections that are too many or no longer allowed.
///
/// `@unchecked Sendable`: `events` is made by the socket's opener, handed to the gatekeeper's thread with a full fence
/// between, and used by that thread alone; the table is behind a mutex.
final class SocketMonitor: @unchecked Sendable {
    /// The other end of libzmq's pair.
    let events: UnsafeMutableRawPointer
    private let table: Mutex<ConnectionTable>
    private let waiting = Mutex<(@Sendable () -> Void)?>(nil)
    private let asksWhose: Bool
    private let isIPC: Bool
    private static let count = Atomic<Int>(0)

    /// Before the socket is bound.
    ///
    /// - Parameter asksWhose: processes of other users of this host may not speak.
    init(
        _ socket: UnsafeMutableRawPointer, context: UnsafeMutableRawPointer, patience: Duration, asksWhose: Bool,
        isIPC: Bool
    ) throws(ZeroMQError) {
        table = Mutex(ConnectionTable(.init(total: Self.room(), patience: patience)))
        self.asksWhose = asksWhose
        self.isIPC = isIPC
        let endpoint = "inproc://winnow-monitor-\(Self.count.add(1, ordering: .relaxed).newValue)"
        let wanted =
            ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_MONITOR_STOPPED
            | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        guard zmq_socket_monitor(socket, endpoint, wanted) == 0 else { throw ZeroMQError("watch a socket") }
        guard let events = zmq_socket(context, ZMQ_PAIR) else { throw ZeroMQError("open a socket") }
        var linger: Int32 = 0
        zmq_setsockopt(events, ZMQ_LINGER, &linger, 4)
        guard zmq_connect(events, endpoint) == 0 else {
            let error = ZeroMQError("connect to", endpoint: endpoint)
            zmq_close(events)
            throw error
        }
        self.events = events
    }

    /// Half of the descriptors that the process may have.
    private static func room() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 512 }
        return max(64, Int(clamping: min(limit.rlim_cur, 1 << 20)) / 2)
    }

    func takeRefusals() -> Refusals { table.withLock { $0.takeRefusals() } }

    /// A message came over a connection.
    func spoke(_ descriptor: Int32, isInvited: Bool) {
        guard let cut = table.withLock({ $0.spoke(descriptor, isInvited: isInvited, now: .now) }) else { return }
        Self.end(cut)
    }

    /// Whether a connection is here and may be heard.
    func isKnown(_ descriptor: Int32?) -> Bool { table.withLock { $0.isKnown(descriptor) } }

    /// Calls `wake` once, on another thread, when there are new connections.
    func awaitNews(_ wake: @escaping @Sendable () -> Void) { waiting.withLock { $0 = wake } }

    /// Reads what there is. Returns `false` once the socket is closed. On the gatekeeper's thread.
    func read() -> Bool {
        var hasNews = false
        defer {
            if hasNews {
                let wake = waiting.withLock { waiting in
                    defer { waiting = nil }
                    return waiting
                }
                wake?()
            }
        }
        while let (code, value) = next() {
            if code == ZMQ_EVENT_ACCEPTED { hasNews = true }
            if code == ZMQ_EVENT_MONITOR_STOPPED { return false }
            guard let event = event(code, value) else { continue }
            for cut in table.withLock({ $0.note(event, now: .now) }) { Self.end(cut) }
        }
        return true
    }

    /// An event and its value: six bytes in the first frame. The second names the endpoint.
    private func next() -> (code: Int32, value: Int32)? {
        var found: (Int32, Int32)?
        while true {
            let frame = Frame()
            guard frame.withMessage({ zmq_msg_recv($0, events, ZMQ_DONTWAIT) }) >= 0 else {
                if zmq_errno() == EINTR { continue }
                return nil
            }
            if found == nil, frame.count == 6 {
                found = frame.withBytes { bytes in
                    (
                        Int32(bytes.loadUnaligned(as: UInt16.self)),
                        bytes.loadUnaligned(fromByteOffset: 2, as: Int32.self)
                    )
                }
            }
            if !frame.hasMore { return found }
        }
    }

    private func event(_ code: Int32, _ value: Int32) -> ConnectionTable.Event? {
        switch code {
        // Whoever is gone already has no address, and its end follows.
        case ZMQ_EVENT_ACCEPTED:
            .accepted(
                value, from: PeerAddress(of: value) ?? PeerAddress(host: "somebody who has left"),
                isForeign: asksWhose && !LoopbackOwner.peer(of: value).isOwn)
        // On TCP the process has no descriptor left.
        case ZMQ_EVENT_ACCEPT_FAILED where isIPC: .turnedAway
        case ZMQ_EVENT_DISCONNECTED: .disconnected(value)
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: .succeeded
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: .failed(.denied)
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: .failed(.ended)
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            switch value {
            case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: .failed(.otherMechanism)
            case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: .failed(.cryptography)
            default: .failed(.malformed)
            }
        default: nil
        }
    }

    /// Shuts the connection down; libzmq then finds it closed. A descriptor may have become another connection's meanwhile:
    /// a copy holds what it is while its peer is compared.
    private static func end(_ cut: ConnectionTable.Cut) {
        let copy = fcntl(cut.descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { return }
        if PeerAddress(of: copy) == cut.address { shutdown(copy, Int32(SHUT_RDWR)) }
        close(copy)
    }
}
