// A topology as the files another engine runs it from.

internal import Settings
internal import Wire

/// An engine that places, restarts and ends processes itself.
public enum RenderTarget: String, CaseIterable, Sendable {
    case systemd, slurm, kubernetes
}

/// A file to be written.
public struct RenderedFile: Equatable, Sendable {
    /// Relative to the folder asked for.
    public var path: String
    /// Its whole text.
    public var text: String
}

/// What the files need to know beside the topology.
public struct RenderOptions: Sendable {
    /// The program's path on the hosts: systemd and Slurm.
    public var executable: String
    /// The container image: Kubernetes.
    public var image: String
    /// Memory of a pod, as Kubernetes writes it.
    public var memory: String

    /// - Parameters: see the properties.
    public init(executable: String = "/usr/local/bin/winnow", image: String = "winnow:latest", memory: String = "4Gi") {
        self.executable = executable
        self.image = image
        self.memory = memory
    }
}

/// Why a topology can't be run by an engine, and what to change.
public struct RenderError: Error, Equatable, CustomStringConvertible {
    /// What is wrong and its fix.
    public let description: String
}

/// Topologies as files; nothing is read, started or written.
public enum Rendering {
    /// The files of a topology for an engine, in the order they are to be read.
    ///
    /// - Throws: ``RenderError`` where the engine can't run it as it is.
    public static func files(
        of topology: Topology, for target: RenderTarget, options: RenderOptions = RenderOptions()
    ) throws(RenderError) -> [RenderedFile] {
        var topology = topology
        // What is left to the system can't be told to the others beforehand: the documented ports instead.
        topology.forgetRandomPorts()
        return switch target {
        case .systemd: try SystemdRendering(topology, options).files()
        case .slurm: [try SlurmRendering(topology, options).script()]
        case .kubernetes: try KubernetesRendering(topology, options).files()
        }
    }

    /// The keys that these files name and somebody has to make; nil: there are none, or the job makes them itself.
    ///
    /// - Throws: as ``files(of:for:options:)``.
    public static func keys(
        of topology: Topology, for target: RenderTarget, options: RenderOptions = RenderOptions()
    ) throws(RenderError) -> RenderedKeys? {
        switch target {
        case .systemd: try SystemdRendering(topology, options).keys
        case .slurm: nil
        case .kubernetes: try KubernetesRendering(topology, options).keys
        }
    }

    /// What these files name of the operator's own files, and has to be copied beside them.
    ///
    /// - Throws: as ``files(of:for:options:)``.
    public static func copies(
        of topology: Topology, for target: RenderTarget, options: RenderOptions = RenderOptions()
    ) throws(RenderError) -> [RenderedCopy] {
        target == .kubernetes ? try KubernetesRendering(topology, options).copies : []
    }

    /// Refuses links in plain text over a network, unless the file allows them.
    ///
    /// - Parameter ends: What is at the two ends, for the error.
    static func checkLinks(of topology: Topology, _ ends: String) throws(RenderError) {
        guard topology.keys == .none else { return }
        guard topology.coordinator.isInsecure, topology.workerPlaces.allSatisfy(\.isInsecure) else {
            throw RenderError(
                description:
                    "links between \(ends) cross the network, in plain text without keys: take out `keys: none`, or write "
                    + "`insecure: true` at the coordinator and every worker, if you trust it")
        }
    }

    /// A name of letters, digits and `-` that begins and ends with a letter or digit, as DNS and unit names want
    /// it, at most 20: two of them and their words make a name that Kubernetes takes (52).
    static func plainName(_ name: String) -> String {
        let plain = name.lowercased().unicodeScalars.map { scalar in
            ("a"..."z").contains(scalar) || ("0"..."9").contains(scalar) ? Character(scalar) : "-"
        }
        let trimmed = String(plain.prefix(20)).split(separator: "-").joined(separator: "-")
        return trimmed.isEmpty ? "cluster" : trimmed
    }
}

extension Topology.CoordinatorPlace {
    /// The port of its HTTP address; 8080 where that is left to the system.
    var httpPort: Int {
        let port = http.split(separator: ":").last.flatMap { Int($0) } ?? 0
        return port == 0 ? 8080 : port
    }

    /// The port of the operators' address; 9090 where that is left to the system; nil: there is none.
    var adminPort: Int? {
        settings.text("admin").map { address in
            let port = address.split(separator: ":").last.flatMap { Int($0) } ?? 0
            return port == 0 ? 9090 : port
        }
    }
}

extension Topology {
    /// Endpoints with any port give way to the documented ones.
    fileprivate mutating func forgetRandomPorts() {
        func fixed(_ listen: String?) -> String? {
            guard let listen, let endpoint = try? Endpoint(listen) else { return nil }
            if case .tcp(_, 0) = endpoint.transport { return nil }
            return listen
        }
        coordinator.listen = fixed(coordinator.listen)
        coordinator.results = fixed(coordinator.results)
        for index in pipelines.indices {
            for stage in pipelines[index].stages.indices {
                pipelines[index].stages[stage].listen = fixed(pipelines[index].stages[stage].listen)
            }
        }
        for index in spares.indices { spares[index].listen = fixed(spares[index].listen) }
        for index in speculators.indices { speculators[index].listen = fixed(speculators[index].listen) }
    }
}

extension [String] {
    /// Arguments without an option and its value.
    func without(_ option: String) -> [String] {
        guard let index = firstIndex(of: option) else { return self }
        return Array(self[..<index] + self[(index + 2)...])
    }

    /// The value of an option.
    func value(of option: String) -> String? {
        guard let index = firstIndex(of: option), index + 1 < count else { return nil }
        return self[index + 1]
    }

    /// Arguments as an engine gives them, whose processes have no launcher.
    var unattended: [String] { filter { $0 != LaunchPlan.endWithInput } }
}
