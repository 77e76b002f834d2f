// Where processes run, seen from the launcher: here, or on another host over ssh.

internal import Foundation

/// A host that processes are started on through the user's OpenSSH, with its configuration, agent and jump hosts.
public struct SSHHost: Hashable, Sendable {
    /// Its name in the topology.
    public var name: String
    /// What `ssh` is told: HOST, USER@HOST or a name of its configuration.
    public var destination: String
    /// The program's path there; a relative one starts from the user's home.
    public var executable: String
    /// `ssh`'s own configuration file; nil: the user's.
    public var configuration: String?

    /// A host.
    public init(name: String, destination: String, executable: String, configuration: String? = nil) {
        self.name = name
        self.destination = destination
        self.executable = executable
        self.configuration = configuration
    }

    /// Options of `ssh`, `scp` and of rsync's remote shell. Nobody is there to be asked for a password; a connection
    /// that is dead is noticed within 9 seconds; and each process has a connection of its own, so that one that is lost
    /// takes nobody else's along.
    var options: [String] {
        (configuration.map { ["-F", $0] } ?? []) + [
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=3",
            "-o", "ServerAliveCountMax=3", "-o", "ControlMaster=no", "-o", "ControlPath=none",
        ]
    }

    /// A file there as scp and rsync write it.
    package func file(_ path: String) -> String {
        let parts = destination.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.last, host.contains(":") else { return destination + ":" + path }
        return (parts.dropLast() + ["[\(host)]"]).joined(separator: "@") + ":" + path
    }

    /// Arguments of `ssh` that run `command`, one line for the user's shell there.
    func arguments(_ command: String) -> [String] { options + ["-T", "--", destination, command] }

    /// The same of the program: nothing but its name and `hold` passes through the shell there.
    package var holdArguments: [String] { arguments("exec \(ShellWord.quoted(executable)) hold") }
}

/// Where one process runs.
public enum Place: Equatable, Sendable {
    /// On the launcher's machine.
    case here
    /// On this host.
    case ssh(SSHHost)
}

/// Where the hosts of a topology are, and where its files lie there.
public struct Places: Equatable, Sendable {
    private var hosts: [String: Place] = [:]
    /// For each host with a `folder`, that folder.
    private var folders: [String: String] = [:]
    private var folder = ""
    private var workingDirectory = "/"

    /// Where a pushed program goes, from the user's home.
    public static let pushedExecutable = ".cache/winnow/bin/winnow"

    /// All here.
    public init() {}

    /// The places of a topology's hosts. A host without `ssh` whose address is this machine's is here.
    ///
    /// - Parameters:
    ///   - topology: The checked file.
    ///   - executable: Path of the program here, which other hosts have at the same one unless they say otherwise.
    ///   - isPushed: Whether the program is copied there first.
    ///   - configuration: `ssh`'s configuration file; nil: the user's.
    ///   - workingDirectory: Where relative paths start here; nil: in this process's own.
    ///   - isHere: Whether a name or address is this machine's own.
    public init(
        _ topology: Topology, executable: String, isPushed: Bool = false, configuration: String? = nil,
        workingDirectory: String? = nil, isHere: (String) -> Bool
    ) {
        folder = topology.folder
        self.workingDirectory = workingDirectory ?? FileManager.default.currentDirectoryPath
        for name in topology.usedHosts {
            guard let host = topology.hosts[name], host.ssh != nil || !isHere(host.address) else { continue }
            var plain = host.address
            if plain.hasPrefix("[") { plain = String(plain.dropFirst().dropLast()) }
            hosts[name] = .ssh(
                SSHHost(
                    name: name, destination: host.ssh ?? plain,
                    executable: host.executable ?? (isPushed ? Self.pushedExecutable : absolute(executable)),
                    configuration: configuration))
            folders[name] = host.folder
        }
    }

    /// Where the processes of a host run.
    func place(of host: String) -> Place { hosts[host] ?? .here }

    /// The hosts that are reached over ssh, by name.
    public var remote: [SSHHost] {
        hosts.values.compactMap { if case .ssh(let host) = $0 { host } else { nil } }.sorted { $0.name < $1.name }
    }

    /// A path of the file as it is on a host.
    func path(_ path: String, on host: String) -> String {
        guard case .ssh = place(of: host) else { return path }
        let here = absolute(path)
        let root = absolute(folder)
        guard let there = folders[host], here == root || here.hasPrefix(root + "/") else { return here }
        return there + here.dropFirst(root.count)
    }

    /// An absolute path, its `..` left as they are: they lead elsewhere where a folder is a link.
    private func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        return path.isEmpty ? workingDirectory : (workingDirectory as NSString).appendingPathComponent(path)
    }
}
