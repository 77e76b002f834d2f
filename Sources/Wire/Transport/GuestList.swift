import CZeroMQ
import Foundation
import Synchronization

/// Who may connect to a socket. Asked by libzmq in the handshake (ZAP, https://rfc.zeromq.org/spec/27/), before a peer can
/// make this process hold a byte of a message.
///
/// Without keys the name that a peer gives is all there is to know of it; it is random, and only the coordinator and the
/// two ends of a link are told it. It travels by ZMTP's PLAIN mechanism: with NULL the question names no peer at all.
/// With keys (CURVE) libzmq has made sure before it asks that the peer has the secret of the key it shows.
package final class GuestList: Sendable {
    enum Rule: Sendable {
        /// Data edges in plain text, by what peers say.
        case names([String: PeerID])
        /// Data edges: each key with the peers it is of; workers of a pattern of names may share one.
        case keys([PublicKey: Set<PeerID>])
        /// Control edges: any key that may join, whatever it calls itself.
        case list(@Sendable (PublicKey) -> Bool)
    }

    /// What a connecting peer shows.
    enum Credential {
        case name(String)
        case key(PublicKey)
    }

    private struct State {
        var rule: Rule
        var refusals = Refusals(count: 0, last: "")
    }

    /// What libzmq calls the socket's policy.
    let domain: String
    private let state: Mutex<State>
    private let onChange: @Sendable () -> Void

    init(domain: String, rule: Rule, onChange: @escaping @Sendable () -> Void) {
        self.domain = domain
        state = Mutex(State(rule: rule))
        self.onChange = onChange
    }

    func allow(_ guests: Set<Guest>) {
        state.withLock { state in
            switch state.rule {
            case .names:
                state.rule = .names(Dictionary(guests.map { ($0.peer.text, $0.peer) }) { first, _ in first })
            case .keys:
                var keys: [PublicKey: Set<PeerID>] = [:]
                for guest in guests { if let key = guest.key { keys[key, default: []].insert(guest.peer) } }
                state.rule = .keys(keys)
            case .list: break
            }
        }
        onChange()
    }

    /// Whether a peer is let in: the name that libzmq puts on its messages, or `nil`.
    func user(_ credential: Credential) -> String? {
        state.withLock { state in
            switch (state.rule, credential) {
            case (.names(let names), .name(let name)): names[name] == nil ? nil : name
            case (.keys(let keys), .key(let key)): keys[key] == nil ? nil : key.description
            case (.list(let mayJoin), .key(let key)): mayJoin(key) ? key.description : nil
            case (.names, .key), (.keys, .name), (.list, .name): nil
            }
        }
    }

    /// Whether a message of a connection that was let in as `user` may still come from `peer`.
    func isGuest(_ peer: PeerID, showing user: String) -> Bool {
        state.withLock { state in
            switch state.rule {
            case .names(let names): user == peer.text && names[user] != nil
            case .keys(let keys): PublicKey(user).map { keys[$0]?.contains(peer) == true } ?? false
            case .list(let mayJoin): PublicKey(user).map(mayJoin) ?? false
            }
        }
    }

    /// Whether an answer may come later: a neighbour that is about to become a guest.
    var isPatient: Bool { state.withLock { if case .list = $0.rule { false } else { true } } }

    func refused(_ credential: Credential?, from address: String) {
        let shown =
            switch credential {
            case .key(let key): "key \(key.description.prefix(12))"
            case .name: "no key"
            case nil: "nothing known"
            }
        state.withLock { state in
            state.refusals.count += 1
            state.refusals.last = "\(address), \(shown)"
        }
    }

    func takeRefusals() -> Refusals? {
        state.withLock { state in
            defer { state.refusals = Refusals(count: 0, last: "") }
            return state.refusals.count == 0 ? nil : state.refusals
        }
    }
}

/// Answers libzmq's questions about connecting peers, on a thread of its own for each context. Fails closed: a domain that
/// has no guest list lets nobody in.
///
/// A peer that is not expected yet is left waiting for a moment: its neighbour may be told of it a little later than it was
/// told of its neighbour, and a refusal would cost it a new handshake.
final class Gatekeeper: Sendable {
    /// A question that has no answer yet.
    private struct Question {
        /// The frames that lead the answer back.
        let route: [[UInt8]]
        let id: [UInt8]
        let domain: String
        let address: String
        let credential: GuestList.Credential?
        let until: ContinuousClock.Instant
    }

    private let lists = Mutex<[String: GuestList]>([:])
    private let count = Atomic<Int>(0)
    /// Not zero when a list has changed.
    private let wakeUp: Int32
    static let endpoint = "inproc://zeromq.zap.01"
    /// Less than a handshake may take, so that the answer finds somebody.
    private static let patience = Duration.milliseconds(1500)
    private static let maxWaiting = 256

    /// Starts answering; ends with the context.
    init(context: UnsafeMutableRawPointer) throws(ZeroMQError) {
        wakeUp = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeUp >= 0 else { throw ZeroMQError("open an eventfd") }
        guard let socket = zmq_socket(context, ZMQ_ROUTER) else { throw ZeroMQError("open a socket") }
        var linger: Int32 = 0
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, 4)
        guard zmq_bind(socket, Self.endpoint) == 0 else {
            let error = ZeroMQError("bind", endpoint: Self.endpoint)
            zmq_close(socket)
            throw error
        }
        nonisolated(unsafe) let handle = socket
        let thread = Thread { [self] in
            serve(handle)
            zmq_close(handle)
        }
        thread.name = "winnow-gate"
        thread.start()
    }

    deinit { close(wakeUp) }

    func list(_ rule: GuestList.Rule) -> GuestList {
        let list = GuestList(domain: "edge-\(count.add(1, ordering: .relaxed).newValue)", rule: rule) { [wakeUp] in
            eventfd_write(wakeUp, 1)
        }
        lists.withLock { $0[list.domain] = list }
        return list
    }

    /// Answers until the context ends.
    private func serve(_ socket: UnsafeMutableRawPointer) {
        var waiting: [Question] = []
        while true {
            var items = [
                zmq_pollitem_t(socket: socket, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
                zmq_pollitem_t(socket: nil, fd: wakeUp, events: Int16(ZMQ_POLLIN), revents: 0),
            ]
            if zmq_poll(&items, 2, waiting.isEmpty ? -1 : 50) < 0, zmq_errno() != EINTR { return }  // the context ends
            if items[1].revents != 0 {
                var value: eventfd_t = 0
                eventfd_read(wakeUp, &value)
            }
            while let frames = receive(socket) {
                guard let question = question(frames) else { continue }
                if waiting.count < Self.maxWaiting {
                    waiting.append(question)
                } else {
                    answer(question, nil, on: socket)
                }
            }
            let now = ContinuousClock.now
            waiting.removeAll { question in
                let list = lists.withLock { $0[question.domain] }
                let user = question.credential.flatMap { list?.user($0) }
                guard user != nil || question.until <= now || list?.isPatient != true else { return false }
                if user == nil { list?.refused(question.credential, from: question.address) }
                answer(question, user, on: socket)
                return true
            }
        }
    }

    private func receive(_ socket: UnsafeMutableRawPointer) -> [[UInt8]]? {
        var frames: [[UInt8]] = []
        while true {
            let frame = Frame()
            guard frame.withMessage({ zmq_msg_recv($0, socket, ZMQ_DONTWAIT) }) >= 0 else {
                if zmq_errno() == EINTR { continue }
                return nil
            }
            if frames.count < 10 { frames.append(frame.withBytes { Array($0) }) }
            if !frame.hasMore { return frames }
        }
    }

    /// Route, empty, version, request id, domain, address, our own name, mechanism; with PLAIN the peer's name and password,
    /// with CURVE its key.
    private func question(_ frames: [[UInt8]]) -> Question? {
        guard frames.count >= 8 else { return nil }
        var credential: GuestList.Credential?
        if frames[7] == Array("PLAIN".utf8), frames.count == 10 {
            credential = .name(String(decoding: frames[8], as: UTF8.self))
        } else if frames[7] == Array("CURVE".utf8), frames.count == 9 {
            credential = PublicKey(frames[8]).map { .key($0) }
        }
        return Question(
            route: Array(frames[0..<2]), id: frames[3], domain: String(decoding: frames[4], as: UTF8.self),
            address: String(decoding: frames[5], as: UTF8.self), credential: credential, until: .now + Self.patience)
    }

    /// 300 is a refusal for now: the peer tries again.
    private func answer(_ question: Question, _ user: String?, on socket: UnsafeMutableRawPointer) {
        let parts: [[UInt8]] =
            question.route + [
                Array("1.0".utf8), question.id, Array((user == nil ? "300" : "200").utf8),
                Array((user == nil ? "not expected" : "OK").utf8), Array((user ?? "").utf8), [],
            ]
        for (index, part) in parts.enumerated() {
            let more = index == parts.count - 1 ? 0 : ZMQ_SNDMORE
            while part.withUnsafeBytes({ zmq_send(socket, $0.baseAddress, $0.count, more) }) < 0 {
                guard zmq_errno() == EINTR else { return }
            }
        }
    }
}
