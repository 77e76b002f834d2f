// The coordinator's place.

internal import Settings
internal import Wire

extension Topology.CoordinatorPlace {
    init(_ entry: TopologyNode?, hosts: [String: Topology.HostPlace]) {
        host = "localhost"
        settings = SettingValues(.coordinator)
        if let entry {
            let keys =
                ["host"] + Setting.all(in: .coordinator).filter { $0.processes.contains(.coordinator) }.map(\.name)
            let map = entry.faults.attempt { () throws(TopologyError) in try entry.mapping(allowed: keys) } ?? [:]
            host =
                entry.faults.attempt { () throws(TopologyError) in try map["host"]?.host(of: hosts) ?? host } ?? host
            settings = SettingValues(map, .coordinator, of: .coordinator)
        }
    }
}

extension TopologyNode {
    /// Whether the endpoint written here leaves its port to the system.
    func isFreePort() throws(TopologyError) -> Bool {
        guard let endpoint = try? Endpoint(try text()), case .tcp(_, let port) = endpoint.transport else {
            return false
        }
        return port == 0
    }
}
