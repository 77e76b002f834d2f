import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// Why the gateway could not open its door.
public struct GatewayError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The address it was to listen at, `HOST:PORT`.
    public var address: String
    /// What stood in the way.
    public var problem: String
    /// What the operator can do about it.
    public var fix: String

    /// Names an address that cannot be listened at.
    public init(address: String, problem: String, fix: String) {
        self.address = address
        self.problem = problem
        self.fix = fix
    }

    /// `cannot listen at HOST:PORT: problem; fix`.
    public var description: String { "cannot listen at \(address): \(problem); \(fix)" }

    /// What an error of the bind means to an operator.
    init(_ error: any Error, host: String, port: Int) {
        address = "\(host):\(port)"
        switch (error as? IOError)?.errnoCode {
        case EADDRINUSE:
            problem = "port \(port) is in use by another process"
            fix = "stop it (`ss -ltnp 'sport = :\(port)'` names it), or choose another port; port 0 takes any free one"
        case EACCES:
            problem = "port \(port) needs privileges this process does not have"
            fix = "choose a port above 1023"
        case EADDRNOTAVAIL:
            problem = "no network interface of this machine has the address \(host)"
            fix = "use 127.0.0.1 for this machine only, or 0.0.0.0 for every interface"
        default:
            problem = "\(error)"
            fix = "check that the host names an address of this machine"
        }
    }
}
