// The hosts of a topology file: where each is, how it is reached, and what lies where there.

internal import Settings
internal import Wire
internal import Yams

extension Topology {
    /// One host of `hosts`.
    public struct HostPlace: Equatable, Sendable {
        /// The name or address other hosts of the cluster reach it by; an IPv6 address in brackets.
        public var address: String
        /// What `ssh` is told, a name of its configuration too; nil: the address, and none where that is this machine.
        public var ssh: String?
        /// The program's path there; a relative one starts from the user's home. nil: as here.
        public var executable: String?
        /// The folder that stands there for the topology file's own: paths relative to the file start from it.
        public var folder: String?

        /// A host that is reached by its address alone.
        public init(address: String, ssh: String? = nil, executable: String? = nil, folder: String? = nil) {
            self.address = address
            self.ssh = ssh
            self.executable = executable
            self.folder = folder
        }
    }

    /// Names that stand for the machine of the launcher without an entry in `hosts`.
    static let localNames = ["localhost", "127.0.0.1", "::1", "[::1]"]

    /// Most hosts a file may name.
    static let hostLimit = 4096
}

extension Topology.HostPlace {
    /// Reads `hosts`.
    static func table(_ entry: TopologyNode?) throws(TopologyError) -> [String: Topology.HostPlace] {
        guard let entry else { return [:] }
        guard let names = entry.node.mapping.map({ mapping in mapping.keys.compactMap { $0.scalar?.string } }),
            names.count <= Topology.hostLimit
        else {
            throw entry.error(
                "expected a mapping of at most \(Topology.hostLimit) hosts",
                fix: "Write `NAME: {address: 10.0.0.1}` lines.")
        }
        var hosts: [String: Topology.HostPlace] = [:]
        for (name, host) in try entry.mapping(allowed: Array(names)) {
            guard SettingKind.isName(name) else {
                throw host.error(
                    "a host's name has 1 to 64 letters, digits, `-`, `_` and `.`",
                    fix: "Call it for example `a`, and write its address as `address`.")
            }
            hosts[name] = try Topology.HostPlace(host, name: name)
        }
        return hosts
    }

    private init(_ entry: TopologyNode, name: String) throws(TopologyError) {
        let map = try entry.mapping(allowed: ["address", "ssh", "executable", "folder"])
        guard let node = map["address"] else {
            throw entry.error("`address` is missing", fix: "Write `\(name): {address: 10.0.0.1}`.")
        }
        let text = try node.text()
        address = text.contains(":") && !text.hasPrefix("[") ? "[\(text)]" : text
        guard let host = Host(address), !host.isWildcard else {
            throw node.error(
                "must be a host other hosts can connect to, found `\(text)`", fix: "Write its name or its address.")
        }
        if let node = map["ssh"] {
            let destination = try node.text()
            guard !destination.hasPrefix("-"), !destination.contains(where: \.isWhitespace), !destination.contains("//")
            else {
                throw node.error(
                    "is not what ssh connects to, found `\(destination)`",
                    fix: "Write HOST, USER@HOST or a name of your ssh configuration, which can say the port too.")
            }
            ssh = destination
        }
        executable = try map["executable"]?.text()
        if let node = map["folder"] {
            let path = try node.text()
            guard path.hasPrefix("/") else {
                throw node.error("must be an absolute path, found `\(path)`", fix: "Write for example `/srv/winnow`.")
            }
            folder = path
        }
    }
}

extension TopologyNode {
    /// A host of the table, or this machine.
    func host(of hosts: [String: Topology.HostPlace]) throws(TopologyError) -> String {
        let name = try text()
        guard hosts[name] != nil || Topology.localNames.contains(name) else {
            throw error(
                "there is no host `\(name)`",
                fix: "Add `\(name): {address: ...}` under `hosts`, or write `localhost`.")
        }
        return name
    }
}
