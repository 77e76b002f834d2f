// Which process of a launch computes on which CPUs.

internal import Foundation

/// CPUs of this host, shared out so that no two processes compute on the same one.
///
/// Only where nobody has said anything: if any process of the topology names its CPUs, or the host has fewer than the
/// threads asked for, the system is left to schedule.
struct CPUShares: Equatable {
    /// For each stage of all pipelines, in order: as many as it has threads.
    var stages: [[Int]]
    /// The same for each speculator.
    var speculators: [[Int]]
    /// The same for each spare; nil where there are not enough for idle ones too: a spare then computes where the stage
    /// it replaces did, or wherever there is room.
    var spares: [[Int]?]
    /// What is left, at least as many as the coordinator has threads; nil where it has none and nothing is left.
    var coordinator: [Int]?

    /// Shares out `available`, the CPUs this process may use; nil where they are not to be shared out.
    init?(_ topology: Topology, available: [Int]) {
        let places = topology.pipelines.flatMap(\.stages)
        guard topology.coordinator.cpus == nil,
            (places + topology.speculators + topology.spares).allSatisfy({ $0.cpus == nil })
        else { return nil }
        func threads(_ places: [Topology.WorkerPlace]) -> Int { places.reduce(0) { $0 + ($1.threads ?? 1) } }
        let own = topology.speculators.isEmpty ? topology.coordinator.threads ?? 1 : 0
        let needed = threads(places) + threads(topology.speculators) + own
        guard needed <= available.count else { return nil }
        var left = available[...]
        func take(_ place: Topology.WorkerPlace) -> [Int] {
            defer { left = left.dropFirst(place.threads ?? 1) }
            return Array(left.prefix(place.threads ?? 1))
        }
        stages = places.map(take)
        speculators = topology.speculators.map(take)
        let hasRoom = needed + threads(topology.spares) <= available.count
        spares = topology.spares.map { hasRoom ? take($0) : nil }
        coordinator = left.isEmpty ? nil : Array(left)
    }

    /// CPUs as `--cpus` takes them: `0,1,4`.
    static func text(_ cpus: [Int]) -> String { cpus.map(String.init).joined(separator: ",") }
}

/// The CPUs of this host that this process may use.
public enum HostCPUs {
    /// In ascending order; empty where the system does not say.
    public static func available() -> [Int] {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return [] }
        for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed_list:") {
            return list(line.drop { $0 != ":" }.dropFirst().filter { !$0.isWhitespace })
        }
        return []
    }

    /// Reads `0-2,5`; empty if it is anything else.
    static func list(_ text: some StringProtocol) -> [Int] {
        var cpus: [Int] = []
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-").map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last,
                last < 1 << 16
            else { return [] }
            cpus += first...last
        }
        return cpus
    }
}
