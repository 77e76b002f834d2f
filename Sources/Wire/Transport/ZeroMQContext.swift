import CZeroMQ
import Glibc
import Synchronization

/// A ZeroMQ context: its I/O threads and the sockets opened on it. One per process is enough.
///
/// `@unchecked Sendable`: a context pointer may be used from any thread (zmq_ctx_new(3)).
public final class ZeroMQContext: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
    private let gatekeeper = Mutex<Gatekeeper?>(nil)

    /// File descriptors that must be free: a context's threads and first sockets take half of them.
    private static let descriptors = 32

    /// A context of its own. Throws what libzmq answered where it can have none, and where too few file descriptors are left:
    /// libzmq ends the process when it can't open what its threads need.
    public init() throws(ZeroMQError) {
        try Self.checkDescriptors()
        guard let pointer = zmq_ctx_new() else { throw ZeroMQError("create a context") }
        self.pointer = pointer
        // Sockets closed with unsent messages wait for them only as long as their own linger says.
        zmq_ctx_set(pointer, ZMQ_BLOCKY, 0)
    }

    private static func checkDescriptors() throws(ZeroMQError) {
        var taken: [Int32] = []
        defer { for descriptor in taken { close(descriptor) } }
        while taken.count < descriptors {
            let descriptor = eventfd(0, Int32(EFD_CLOEXEC))
            guard descriptor >= 0 else { throw ZeroMQError("open \(descriptors) file descriptors") }
            taken.append(descriptor)
        }
    }

    /// Waits for every socket's linger, which each socket bounds. Sockets hold their context, so none is open here but the
    /// gatekeeper's, whose thread closes it when the context ends.
    deinit { zmq_ctx_term(pointer) }

    /// Who may connect to a socket of this context.
    func guestList(_ rule: GuestList.Rule) throws(ZeroMQError) -> GuestList { try keeper().list(rule) }

    /// Watches the connections of a socket of this context, which is not bound yet.
    func monitor(
        _ socket: UnsafeMutableRawPointer, patience: Duration, asksWhose: Bool, isIPC: Bool
    ) throws(ZeroMQError) -> SocketMonitor {
        let keeper = try keeper()
        let monitor = try SocketMonitor(
            socket, context: pointer, patience: patience, asksWhose: asksWhose, isIPC: isIPC)
        keeper.watch(monitor)
        return monitor
    }

    private func keeper() throws(ZeroMQError) -> Gatekeeper {
        let result = gatekeeper.withLock { keeper in
            Result<Gatekeeper, ZeroMQError> { () throws(ZeroMQError) in
                let present: Gatekeeper
                if let keeper { present = keeper } else { present = try Gatekeeper(context: pointer) }
                keeper = present
                return present
            }
        }
        return try result.get()
    }
}
