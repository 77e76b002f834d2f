import CZeroMQ

/// One frame of a message, owned: received from a socket, or about to be sent.
///
/// `@unchecked Sendable`: the message is written only while it is made, and read-only afterwards; libzmq's messages may
/// be handed from thread to thread.
public final class Frame: @unchecked Sendable {
    private let message: UnsafeMutablePointer<zmq_msg_t>

    /// An empty frame, to be received into.
    init() {
        message = .allocate(capacity: 1)
        zmq_msg_init(message)
    }

    /// A frame that holds a copy of `bytes`.
    package convenience init(_ bytes: [UInt8]) throws(ZeroMQError) {
        try self.init(size: bytes.count) { target in bytes.withUnsafeBytes { target.copyMemory(from: $0) } }
    }

    /// A frame of `size` bytes that `fill` writes.
    package init(size: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) throws(ZeroMQError) {
        message = .allocate(capacity: 1)
        guard zmq_msg_init_size(message, size) == 0 else {
            message.deallocate()
            throw ZeroMQError("allocate a frame of \(size) bytes")
        }
        fill(UnsafeMutableRawBufferPointer(start: zmq_msg_data(message), count: size))
    }

    /// A frame over memory that `owner` keeps alive; nothing is copied. `owner` is released on an arbitrary thread once
    /// the frame has left the process, so nobody may write to the memory after this.
    package init(lending bytes: UnsafeMutableRawBufferPointer, owner: AnyObject) throws(ZeroMQError) {
        message = .allocate(capacity: 1)
        let retained = Unmanaged.passRetained(owner)
        let status = zmq_msg_init_data(
            message, bytes.baseAddress, bytes.count,
            { _, hint in
                if let hint { Unmanaged<AnyObject>.fromOpaque(hint).release() }
            }, retained.toOpaque())
        guard status == 0 else {
            retained.release()
            message.deallocate()
            throw ZeroMQError("wrap \(bytes.count) bytes")
        }
    }

    deinit {
        zmq_msg_close(message)
        message.deallocate()
    }

    /// Bytes in it.
    public var count: Int { zmq_msg_size(message) }

    /// Lends its bytes for the time of a call.
    public func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message)))
    }

    /// Lends the message to a socket call. A sent message is empty afterwards.
    func withMessage<R>(_ body: (UnsafeMutablePointer<zmq_msg_t>) -> R) -> R { body(message) }

    /// The name by which its sender was let in; `nil` where nobody asked. (libzmq 4.3.4 tells it of every frame but a
    /// router's first, which it makes itself.)
    var user: String? { zmq_msg_gets(message, "User-Id").map { String(cString: $0) } }

    /// The descriptor of the connection it came over, with the same exception; `nil` where it is not told.
    var connection: Int32? {
        let descriptor = zmq_msg_get(message, ZMQ_SRCFD)
        return descriptor < 0 ? nil : descriptor
    }

    /// A part of it, in the same memory, which must not be sent itself.
    func part(_ range: Range<Int>) throws(ZeroMQError) -> Frame {
        let bytes = UnsafeMutableRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message))
        return try Frame(lending: UnsafeMutableRawBufferPointer(rebasing: bytes[range]), owner: self)
    }

    var hasMore: Bool { zmq_msg_more(message) != 0 }
}
