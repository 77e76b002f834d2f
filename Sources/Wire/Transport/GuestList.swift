import CZeroMQ
import Foundation
import Synchronization

/// Who may connect to a socket. Asked by libzmq in the handshake (ZAP, https://rfc.zeromq.org/spec/27/), before a peer can
/// make this process hold a byte of a message.
///
/// Without keys the name that a peer gives is all there is to know of it; it is random, and only the coordinator and the
/// two ends of a link are told it. It travels by ZMTP's PLAIN mechanism: with NULL the question names no peer at all.
package final class GuestList: Sendable {
    /// What libzmq calls the socket's policy.
    package let domain: String
    /// By what they say.
    private let peers = Mutex<[String: PeerID]>([:])
    private let onChange: @Sendable () -> Void

    init(domain: String, onChange: @escaping @Sendable () -> Void) {
        self.domain = domain
        self.onChange = onChange
    }

    package func allow(_ peers: Set<PeerID>) {
        let names = Dictionary(peers.map { ($0.text, $0) }) { first, _ in first }
        self.peers.withLock { $0 = names }
        onChange()
    }

    package func holds(_ peer: PeerID) -> Bool { holds(peer.text) }

    func holds(_ name: String) -> Bool { peers.withLock { $0[name] != nil } }
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
        let name: String
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

    func list() -> GuestList {
        let list = GuestList(domain: "data-\(count.add(1, ordering: .relaxed).newValue)") { [wakeUp] in
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
                guard let question = question(frames) else {
                    refuse(frames, on: socket)
                    continue
                }
                if waiting.count < Self.maxWaiting {
                    waiting.append(question)
                } else {
                    answer(question, false, on: socket)
                }
            }
            let now = ContinuousClock.now
            waiting.removeAll { question in
                let isGuest = lists.withLock { $0[question.domain] }?.holds(question.name) == true
                guard isGuest || question.until <= now else { return false }
                answer(question, isGuest, on: socket)
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

    /// Route, empty, version, request id, domain, address, our own name, mechanism; with PLAIN the peer's name and password.
    private func question(_ frames: [[UInt8]]) -> Question? {
        guard frames.count == 10, frames[7] == Array("PLAIN".utf8) else { return nil }
        return Question(
            route: Array(frames[0..<2]), id: frames[3], domain: String(decoding: frames[4], as: UTF8.self),
            name: String(decoding: frames[8], as: UTF8.self), until: .now + Self.patience)
    }

    private func refuse(_ frames: [[UInt8]], on socket: UnsafeMutableRawPointer) {
        guard frames.count > 3 else { return }
        answer(
            Question(route: Array(frames[0..<2]), id: frames[3], domain: "", name: "", until: .now), false, on: socket)
    }

    /// 300 is a refusal for now: the peer tries again.
    private func answer(_ question: Question, _ isGuest: Bool, on socket: UnsafeMutableRawPointer) {
        let parts: [[UInt8]] =
            question.route + [
                Array("1.0".utf8), question.id, Array((isGuest ? "200" : "300").utf8),
                Array((isGuest ? "OK" : "not expected").utf8), Array((isGuest ? question.name : "").utf8), [],
            ]
        for (index, part) in parts.enumerated() {
            let more = index == parts.count - 1 ? 0 : ZMQ_SNDMORE
            while part.withUnsafeBytes({ zmq_send(socket, $0.baseAddress, $0.count, more) }) < 0 {
                guard zmq_errno() == EINTR else { return }
            }
        }
    }
}
