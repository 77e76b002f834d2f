import CZeroMQ
import Glibc

/// A ZeroMQ socket. One thread owns it.
///
/// `@unchecked Sendable`: it is made and bound by the thread that starts its owner, then handed to the owner's
/// `SocketLoop` and touched on that thread alone. libzmq allows this with a full fence between, which the loop's inbox
/// is.
package final class Socket: @unchecked Sendable {
    package enum Kind {
        case dealer
        case router
    }

    /// Bounds of a socket, fixed when it is opened.
    package struct Limits {
        /// Longest frame accepted from a peer, bytes. A peer that sends a longer one is cut off. So much can everybody who
        /// connects make the process hold.
        package var maxFrameBytes: Int
        /// Frames of one message; more are a protocol violation, and the message is dropped.
        package var maxFrames: Int
        /// How long unsent messages may delay the close, milliseconds.
        package var lingerMilliseconds: Int32

        /// Messages of one peer that may wait to be read, and that may wait to be sent.
        package var queue: Int32

        package init(maxFrameBytes: Int, maxFrames: Int = 8, lingerMilliseconds: Int32 = 200, queue: Int32 = 1000) {
            self.maxFrameBytes = maxFrameBytes
            self.maxFrames = maxFrames
            self.queue = queue
            self.lingerMilliseconds = lingerMilliseconds
        }
    }

    package let kind: Kind
    /// Kept so that the context outlives its sockets.
    private let context: ZeroMQContext
    let pointer: UnsafeMutableRawPointer
    private let maxFrames: Int

    package init(_ kind: Kind, context: ZeroMQContext, limits: Limits) throws(ZeroMQError) {
        guard let pointer = zmq_socket(context.pointer, kind == .dealer ? ZMQ_DEALER : ZMQ_ROUTER) else {
            throw ZeroMQError("open a socket")
        }
        self.kind = kind
        self.context = context
        maxFrames = limits.maxFrames
        self.pointer = pointer
        try set(ZMQ_LINGER, limits.lingerMilliseconds, "linger")
        try set(ZMQ_MAXMSGSIZE, Int64(limits.maxFrameBytes), "maxmsgsize")
        try set(ZMQ_RCVHWM, limits.queue, "rcvhwm")
        try set(ZMQ_SNDHWM, limits.queue, "sndhwm")
        // A peer that connects and says nothing is dropped after two seconds, not thirty.
        try set(ZMQ_HANDSHAKE_IVL, Int32(2000), "handshake_ivl")
        try set(ZMQ_RECONNECT_IVL, Int32(50), "reconnect_ivl")
        try set(ZMQ_RECONNECT_IVL_MAX, Int32(400), "reconnect_ivl_max")
        // No ZMTP heartbeats: with a starved I/O thread they cut healthy links. A dead route is TCP's to find.
        try set(ZMQ_TCP_KEEPALIVE, Int32(1), "tcp_keepalive")
        try set(ZMQ_TCP_KEEPALIVE_IDLE, Int32(10), "tcp_keepalive_idle")
        try set(ZMQ_TCP_KEEPALIVE_INTVL, Int32(5), "tcp_keepalive_intvl")
        try set(ZMQ_TCP_KEEPALIVE_CNT, Int32(4), "tcp_keepalive_cnt")
        try set(ZMQ_TCP_MAXRT, Int32(20_000), "tcp_maxrt")
        switch kind {
        case .dealer:
            // Without it a message to a dead endpoint counts as accepted.
            try set(ZMQ_IMMEDIATE, Int32(1), "immediate")
        case .router:
            try set(ZMQ_ROUTER_MANDATORY, Int32(1), "router_mandatory")
            try set(ZMQ_ROUTER_HANDOVER, Int32(1), "router_handover")
        }
    }

    /// Watches its connections. Before `bind`.
    func monitor(patience: Duration, asksWhose: Bool, isIPC: Bool) throws(ZeroMQError) -> SocketMonitor {
        try context.monitor(pointer, patience: patience, asksWhose: asksWhose, isIPC: isIPC)
    }

    deinit { zmq_close(pointer) }

    private func set<T: BitwiseCopyable>(_ option: Int32, _ value: T, _ name: String) throws(ZeroMQError) {
        var value = value
        let status = withUnsafeBytes(of: &value) { zmq_setsockopt(pointer, option, $0.baseAddress, $0.count) }
        guard status == 0 else { throw ZeroMQError("set \(name)") }
    }

    private func set(_ option: Int32, _ bytes: [UInt8], _ name: String) throws(ZeroMQError) {
        let status = bytes.withUnsafeBytes { zmq_setsockopt(pointer, option, $0.baseAddress, $0.count) }
        guard status == 0 else { throw ZeroMQError("set \(name)") }
    }

    /// The identity a router on the other side knows this dealer by; 1 to 255 bytes, not starting with zero. Before
    /// `connect`.
    package func setIdentity(_ identity: [UInt8]) throws(ZeroMQError) {
        let status = identity.withUnsafeBytes { zmq_setsockopt(pointer, ZMQ_ROUTING_ID, $0.baseAddress, $0.count) }
        guard status == 0 else { throw ZeroMQError("set the routing id") }
    }

    /// Lets in only whom the guest list called `domain` admits: with a key of its own by their keys (CURVE), without by a
    /// name they say. Before `bind`.
    func serve(_ own: KeyPair?, domain: String) throws(ZeroMQError) {
        if let own {
            try set(ZMQ_CURVE_SERVER, Int32(1), "curve_server")
            try set(ZMQ_CURVE_SECRETKEY, own.secret, "curve_secretkey")
        } else {
            try set(ZMQ_PLAIN_SERVER, Int32(1), "plain_server")
        }
        guard zmq_setsockopt(pointer, ZMQ_ZAP_DOMAIN, domain, domain.utf8.count) == 0 else {
            throw ZeroMQError("set the ZAP domain")
        }
    }

    /// Connects only to who has `key`, and shows its own. Before `connect`.
    func show(_ own: KeyPair, to key: PublicKey) throws(ZeroMQError) {
        try set(ZMQ_CURVE_SERVERKEY, key.bytes, "curve_serverkey")
        try set(ZMQ_CURVE_PUBLICKEY, own.publicKey.bytes, "curve_publickey")
        try set(ZMQ_CURVE_SECRETKEY, own.secret, "curve_secretkey")
    }

    /// The name by which it asks to be let in (ZMTP's PLAIN mechanism; the password says nothing). Before `connect`.
    package func setName(_ name: String) throws(ZeroMQError) {
        guard zmq_setsockopt(pointer, ZMQ_PLAIN_USERNAME, name, name.utf8.count) == 0,
            zmq_setsockopt(pointer, ZMQ_PLAIN_PASSWORD, "-", 1) == 0
        else { throw ZeroMQError("set the name") }
    }

    /// Binds, and returns the endpoint bound, with the port that was found where `endpoint` left it open
    /// (`tcp://127.0.0.1:*` or port 0).
    package func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        guard zmq_bind(pointer, endpoint) == 0 else { throw ZeroMQError("bind", endpoint: endpoint) }
        var name = [CChar](repeating: 0, count: 1024)
        var size = name.count
        guard zmq_getsockopt(pointer, ZMQ_LAST_ENDPOINT, &name, &size) == 0 else {
            throw ZeroMQError("read the bound endpoint of", endpoint: endpoint)
        }
        return String(decoding: name.prefix(max(0, size - 1)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Binds the first address of `endpoint` that can be bound. A name is resolved here. A path is this user's alone.
    func bind(_ endpoint: Endpoint) throws(ZeroMQError) -> String {
        if case .ipc(let path) = endpoint.transport {
            try SocketFile.check(path, doing: "bind")
            try set(ZMQ_IPC_FILTER_UID, geteuid(), "ipc_filter_uid")
            let bound = try bind(endpoint.description)
            try SocketFile.close(path)
            return bound
        }
        var problem: ZeroMQError?
        for attempt in try Binding.attempts(endpoint) {
            try useIPv6(attempt.isIPv6)
            do throws(ZeroMQError) { return try bind(attempt.text) } catch { problem = error }
        }
        throw problem ?? ZeroMQError("bind", endpoint: endpoint.description)
    }

    /// Whether addresses of IPv6 (and names that lead to them) are bound and connected to.
    func useIPv6(_ isUsed: Bool) throws(ZeroMQError) { try set(ZMQ_IPV6, Int32(isUsed ? 1 : 0), "ipv6") }

    /// Starts connecting; the link comes up, and comes back, by itself.
    package func connect(_ endpoint: String) throws(ZeroMQError) {
        if case .ipc(let path)? = (try? Endpoint(endpoint))?.transport {
            try SocketFile.check(path, doing: "connect to")
        }
        guard zmq_connect(pointer, endpoint) == 0 else { throw ZeroMQError("connect to", endpoint: endpoint) }
    }

    /// Sends one message, or nothing of it, without waiting. On a router the first frame is the peer's identity.
    package func send(_ frames: [Frame]) throws(ZeroMQError) -> SendResult {
        for (index, frame) in frames.enumerated() {
            let last = index == frames.count - 1
            while frame.withMessage({ zmq_msg_send($0, pointer, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE)) }) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                // libzmq decides on the first frame whether a message is taken; later frames always follow.
                case EAGAIN where index == 0: return .wouldBlock
                case EHOSTUNREACH where index == 0: return .noSuchPeer
                default: throw ZeroMQError("send")
                }
            }
        }
        return .sent
    }

    /// The next message, or `nil` when none waits. A message of too many frames is read off and returned empty.
    package func receive() throws(ZeroMQError) -> [Frame]? {
        var frames: [Frame] = []
        var tooMany = false
        while true {
            let frame = Frame()
            while frame.withMessage({ zmq_msg_recv($0, pointer, ZMQ_DONTWAIT) }) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                case EAGAIN: return nil
                default: throw ZeroMQError("receive")
                }
            }
            if frames.count < maxFrames { frames.append(frame) } else { tooMany = true }
            if !frame.hasMore { return tooMany ? [] : frames }
        }
    }
}
