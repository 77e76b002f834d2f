// Which process of a launch computes on which CPUs.

internal import Foundation

/// CPUs of this host, shared out so that no two stages compute on the same one.
///
/// Only where nobody has said anything: if any process of the topology names its CPUs, or the host has fewer than the
/// threads asked for, the system is left to schedule.
struct CPUShares: Equatable {
    /// For each stage, in order: as many as it has threads.
    var stages: [[Int]]
    /// What is left, at least as many as the coordinator has threads.
    var coordinator: [Int]

    /// Shares out `available`, the CPUs this process may use; nil where they are not to be shared out.
    init?(_ topology: Topology, available: [Int]) {
        let places = topology.pipelines.flatMap(\.stages)
        guard topology.coordinator.cpus == nil, places.allSatisfy({ $0.cpus == nil }) else { return nil }
        var left = available[...]
        stages = places.map { place in
            defer { left = left.dropFirst(place.threads ?? 1) }
            return Array(left.prefix(place.threads ?? 1))
        }
        guard left.count >= (topology.coordinator.threads ?? 1) else { return nil }
        coordinator = Array(left)
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
