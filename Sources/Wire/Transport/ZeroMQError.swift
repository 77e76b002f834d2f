import CZeroMQ

/// A failed ZeroMQ call: what was tried, on which endpoint, and what the library said.
public struct ZeroMQError: Error, Sendable, CustomStringConvertible {
    /// The call or option, e.g. `bind`.
    public var operation: String
    /// The endpoint, or empty.
    public var endpoint: String
    /// `errno` as libzmq left it.
    public var code: Int32
    /// What is wrong and its fix, where it was seen before libzmq was asked.
    private var problem: String?

    init(_ operation: String, endpoint: String, problem: String) {
        self.operation = operation
        self.endpoint = endpoint
        self.problem = problem
        code = EINVAL
    }

    package init(_ operation: String, endpoint: String = "") {
        self.operation = operation
        self.endpoint = endpoint
        self.code = zmq_errno()
    }

    public var isAddressInUse: Bool { code == EADDRINUSE }

    public var description: String {
        let reason = String(cString: zmq_strerror(code))
        let place = endpoint.isEmpty ? "" : " \(endpoint)"
        if let problem { return "cannot \(operation)\(place): \(problem)" }
        switch code {
        case EADDRINUSE:
            return "cannot \(operation)\(place): the port is in use; stop what holds it, or choose another "
                + "(port 0 takes any)"
        case EADDRNOTAVAIL, ENODEV:
            return "cannot \(operation)\(place): no such address on this host; use one of its own, "
                + "e.g. tcp://127.0.0.1:0"
        case EINVAL, EPROTONOSUPPORT:
            return "cannot \(operation)\(place): \(reason); endpoints look like tcp://127.0.0.1:5700 or ipc:///tmp/name"
        case EMFILE, ENFILE: return "cannot \(operation)\(place): \(reason); raise the limit (ulimit -n, LimitNOFILE=)"
        default:
            return "cannot \(operation)\(place): \(reason)"
        }
    }
}
