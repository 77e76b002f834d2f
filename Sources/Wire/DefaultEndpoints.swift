// Endpoints and names that need not be given.

extension Endpoint {
    /// The port of a worker that is told no endpoint and whose coordinator is on another host.
    public static let defaultWorkerPort: UInt16 = 5710

    /// Where a worker listens that is told nothing: towards a coordinator of this machine any port of the loopback, else
    /// ``defaultWorkerPort`` of the address from which the route to the coordinator begins. nil: no route leads there.
    public static func ofWorker(towards coordinator: Endpoint) -> Endpoint? {
        guard !coordinator.isLocal else { return Endpoint(.tcp(host: "127.0.0.1", port: 0)) }
        return ownHost(towards: coordinator).map { Endpoint(.tcp(host: $0, port: defaultWorkerPort)) }
    }

    /// The address of this machine that the route to a peer begins at, as an endpoint writes it; nil: there is no route.
    public static func ownHost(towards peer: Endpoint) -> String? {
        guard case .tcp(let name, let port) = peer.transport, let host = Host(name) else { return nil }
        return Resolution.ownAddress(towards: host, port: max(1, port))?.text
    }

    /// The address of this machine that its default route begins at; nil: it has none.
    public static func ownHost() -> String? {
        // Addresses that are reserved for documentation: nobody has them, so only the default route leads there.
        let far: [Host] = [
            .ipv4([192, 0, 2, 1]), .ipv6([0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]),
        ]
        return far.lazy.compactMap { Resolution.ownAddress(towards: $0, port: 9) }.first?.text
    }

    /// The endpoint as others are told it: under `name`, else where it stands for every interface under `guess`.
    public func known(as name: String?, otherwise guess: @autoclosure () -> String?) -> Endpoint {
        if let name { return advertised(as: name) }
        guard case .tcp(let host, _) = transport, Host(host)?.isWildcard == true, let guess = guess() else {
            return self
        }
        return advertised(as: guess)
    }
}
