// Answers for a context's sockets who may connect, and watches who does.

import CZeroMQ
import Foundation
import Synchronization

/// Answers libzmq's questions about connecting peers, and reads what it tells of connections, on a thread of its own for
/// each context. Fails closed: a domain that has no guest list lets nobody in.
///
/// A peer that is not expected yet is left waiting for a moment: its neighbour may be told of it a little later than it was
/// told of its neighbour, and a refusal would cost it a new handshake.
final class Gatekeeper: Sendable {
    /// A question that has no answer yet.
    private struct Question {
        let request: ZAPRequest
        let until: ContinuousClock.Instant
    }

    private let lists = Mutex<[String: GuestList]>([:])
    /// Monitors that the thread has not taken yet.
    private let arrivals = Mutex<[SocketMonitor]>([])
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

    /// Reads the monitor's events from now on, until its socket is closed.
    func watch(_ monitor: SocketMonitor) {
        arrivals.withLock { $0.append(monitor) }
        eventfd_write(wakeUp, 1)
    }

    /// Answers until the context ends.
    private func serve(_ socket: UnsafeMutableRawPointer) {
        var waiting: [Question] = []
        var monitors: [SocketMonitor] = []
        defer {
            for monitor in monitors + arrivals.withLock({ $0 }) { zmq_close(monitor.events) }
        }
        while true {
            var items = [
                zmq_pollitem_t(socket: socket, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
                zmq_pollitem_t(socket: nil, fd: wakeUp, events: Int16(ZMQ_POLLIN), revents: 0),
            ]
            items += monitors.map {
                zmq_pollitem_t(socket: $0.events, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
            }
            let found = zmq_poll(&items, Int32(items.count), waiting.isEmpty ? -1 : 50)
            if found < 0, zmq_errno() != EINTR { return }  // the context ends
            if items[1].revents != 0 {
                var value: eventfd_t = 0
                eventfd_read(wakeUp, &value)
            }
            monitors.removeAll { monitor in
                if monitor.read() { return false }
                zmq_close(monitor.events)
                return true
            }
            monitors += arrivals.withLock { arrivals in
                defer { arrivals = [] }
                return arrivals
            }
            while let frames = receive(socket) {
                guard let request = ZAPRequest(frames) else { continue }
                if waiting.count < Self.maxWaiting {
                    waiting.append(Question(request: request, until: .now + Self.patience))
                } else {
                    send(request.answer(nil), on: socket)
                }
            }
            let now = ContinuousClock.now
            waiting.removeAll { question in
                let request = question.request
                let list = lists.withLock { $0[request.domain] }
                let user = request.credential.flatMap { list?.user($0) }
                guard user != nil || question.until <= now || list?.isPatient != true else { return false }
                if user == nil { list?.refused(request.credential, from: request.address) }
                send(request.answer(user), on: socket)
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
            if frames.count <= ZAPRequest.maxFrames { frames.append(frame.withBytes { Array($0) }) }
            if !frame.hasMore { return frames }
        }
    }

    private func send(_ parts: [[UInt8]], on socket: UnsafeMutableRawPointer) {
        for (index, part) in parts.enumerated() {
            let more = index == parts.count - 1 ? 0 : ZMQ_SNDMORE
            while part.withUnsafeBytes({ zmq_send(socket, $0.baseAddress, $0.count, more) }) < 0 {
                guard zmq_errno() == EINTR else { return }
            }
        }
    }
}
