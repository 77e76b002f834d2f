// Which endpoint each process listens at and is known by, where the file does not say.

internal import Wire

extension Topology {
    /// The port workers register at.
    public static let coordinatorPort: UInt16 = 5700
    /// The port of the first worker on hosts of a network; each after it has the next, counted over the whole file.
    public static let workerPort: UInt16 = 5710

    /// The endpoint of a process, and the host it is known by.
    public struct Address: Equatable, Sendable {
        /// What it binds.
        public var listen: String
        /// The name or address others are told; nil: that of ``listen``.
        public var advertise: String?
    }

    /// Whether some process runs where only a network leads.
    public var isSpread: Bool { usedHosts.contains { hosts[$0].map { Host($0.address)?.isLoopback != true } ?? false } }

    /// The hosts processes run on, each once.
    public var usedHosts: Set<String> { Set([coordinator.host] + workerPlaces.map(\.host)) }

    /// All workers in the order of their numbers: stages, speculators, spares.
    var workerPlaces: [WorkerPlace] { pipelines.flatMap(\.stages) + speculators + spares }

    /// Where workers register. On one machine any free port of the loopback; on hosts ``coordinatorPort`` of its own.
    public var coordinatorAddress: Address { coordinatorAddress(hasFixedPorts: false) }

    /// The same; ports are those of a network on one machine too where `hasFixedPorts`.
    func coordinatorAddress(hasFixedPorts: Bool) -> Address {
        address(
            coordinator.host, coordinator.listen, coordinator.advertise, Self.coordinatorPort,
            hasFixedPorts: hasFixedPorts)
    }

    /// Where workers connect to.
    func coordinatorEndpoint(hasFixedPorts: Bool) -> String {
        let address = coordinatorAddress(hasFixedPorts: hasFixedPorts)
        guard let name = address.advertise, let endpoint = try? Endpoint(address.listen) else { return address.listen }
        return endpoint.advertised(as: name).description
    }

    /// Where the worker of this number over all workers takes hidden rows or prompts.
    func workerAddress(_ place: WorkerPlace, number: Int, hasFixedPorts: Bool) -> Address {
        address(
            place.host, place.listen, place.advertise, Self.workerPort &+ UInt16(clamping: number),
            hasFixedPorts: hasFixedPorts)
    }

    private func address(
        _ host: String, _ listen: String?, _ advertise: String?, _ port: UInt16, hasFixedPorts: Bool
    ) -> Address {
        guard isSpread, let place = hosts[host] else {
            let usual = hasFixedPorts ? "tcp://127.0.0.1:\(port)" : "tcp://127.0.0.1:*"
            return Address(listen: listen ?? usual, advertise: advertise)
        }
        guard let listen else {
            return Address(listen: Endpoint(.tcp(host: place.address, port: port)).description, advertise: advertise)
        }
        // A wildcard is known by the host's own address; what is bound by name or address is known by it.
        if let endpoint = try? Endpoint(listen), case .tcp(let bound, _) = endpoint.transport,
            Host(bound)?.isWildcard == true
        {
            return Address(listen: listen, advertise: advertise ?? place.address)
        }
        return Address(listen: listen, advertise: advertise)
    }

    /// Refuses a file whose processes could not reach one another: some on hosts of a network, others on a loopback.
    func checkReach(_ root: TopologyNode) throws(TopologyError) {
        guard isSpread else { return }
        let places = [(coordinator.host, coordinator.listen)] + workerPlaces.map { ($0.host, $0.listen) }
        for (host, listen) in places {
            let isReached = hosts[host].map { Host($0.address)?.isLoopback != true } ?? false
            let ownWords = listen.flatMap { try? Endpoint($0) }.map { !$0.isLocal } ?? false
            guard isReached || ownWords else {
                throw TopologyError(
                    path: root.path, line: (try? root.entry("hosts"))??.line, key: "hosts",
                    problem: "`\(host)` can't be reached from the other hosts: it has no address of the network",
                    fix:
                        "Write for example `\(Self.localNames.contains(host) ? "a" : host): {address: 10.0.0.1}` under "
                        + "`hosts` and that name as `host`; an address of the launcher's own machine is run without ssh."
                )
            }
        }
    }
}
