// What this process may use of its host: memory and CPU time within its cgroups, and open files.

internal import Foundation

/// The limits a process runs under. A container, a systemd unit or a batch job is a cgroup: the kernel kills who takes
/// more memory than it may, and stops who takes more CPU time, however much the host has.
package struct ProcessLimits: Equatable, Sendable {
    /// A limit of a cgroup, and what it is called.
    package struct Limit<Value: Equatable & Sendable>: Equatable, Sendable {
        package var value: Value
        /// The file that says it.
        package var file: String

        package init(value: Value, file: String) {
            self.value = value
            self.file = file
        }
    }

    /// Bytes the host can give without swapping, as the kernel estimates it; nil where it does not say.
    package var hostMemory: Int?
    /// Bytes the tightest cgroup leaves to this process; nil: no cgroup limits it.
    package var groupMemory: Limit<Int>?
    /// CPUs' worth of time the tightest cgroup grants, such as 1.5; nil: no cgroup limits it.
    package var cpuQuota: Limit<Double>?
    /// Files that may be open at a time; nil where the system does not say.
    package var openFiles: Int?

    /// Bytes that can be had: of the host or of the cgroup, whichever has less.
    package var memory: Int? { [hostMemory, groupMemory?.value].compactMap(\.self).min() }

    /// Threads that can compute all the time: no more than the quota, at least 1.
    package func threads(of wanted: Int) -> Int {
        guard let cpuQuota else { return wanted }
        return min(wanted, max(1, Int(cpuQuota.value.rounded(.up))))
    }

    /// The limits of this process now.
    package static func current() -> ProcessLimits {
        ProcessLimits { path in
            // Files of /proc and cgroups have no size to read ahead by.
            guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
            defer { try? handle.close() }
            return (try? handle.read(upToCount: 1 << 20)).map { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// The limits that files say.
    ///
    /// - Parameter read: The text of a file, nil where there is none.
    package init(read: (String) -> String?) {
        hostMemory = read("/proc/meminfo").flatMap { Self.field("MemAvailable:", $0) }.map { $0 * 1024 }
        openFiles = read("/proc/self/limits").flatMap { text in
            text.split(separator: "\n").first { $0.hasPrefix("Max open files") }
                .flatMap { $0.split(separator: " ").dropFirst(3).first }.flatMap { Int($0) }
        }
        for group in ControlGroup.all(read) {
            let memory = group.memory(read)
            if let memory, memory.value < groupMemory?.value ?? .max { groupMemory = memory }
            let quota = group.quota(read)
            if let quota, quota.value < cpuQuota?.value ?? .infinity { cpuQuota = quota }
        }
    }

    /// The number after a word at the beginning of a line.
    fileprivate static func field(_ name: String, _ text: String) -> Int? {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.first.map(String.init) == name, let value = words.dropFirst().first { return Int(value) }
        }
        return nil
    }
}

/// One cgroup that this process is in, itself or through a child.
private struct ControlGroup {
    var folder: String
    /// Of cgroup v2, or the controllers of a v1 hierarchy.
    var isUnified: Bool

    /// All of them, as `/proc/self/cgroup` and the mounts say.
    static func all(_ read: (String) -> String?) -> [ControlGroup] {
        let mounts = (read("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap { Mount($0) }
        var groups: [ControlGroup] = []
        for line in (read("/proc/self/cgroup") ?? "").split(separator: "\n") {
            // `hierarchy:controllers:path`; the path may hold colons.
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let controllers = Set(parts[1].split(separator: ",").map(String.init))
            let isUnified = parts[0] == "0" && controllers.isEmpty
            guard isUnified || !controllers.isDisjoint(with: ["memory", "cpu"]) else { continue }
            let mount = mounts.first { isUnified ? $0.type == "cgroup2" : !$0.options.isDisjoint(with: controllers) }
            guard let mount else { continue }
            groups += mount.folders(of: String(parts[2])).map { ControlGroup(folder: $0, isUnified: isUnified) }
        }
        return groups
    }

    /// What the group's memory limit leaves. Pages of files that nobody uses are given back when others need them.
    func memory(_ read: (String) -> String?) -> ProcessLimits.Limit<Int>? {
        func number(_ file: String) -> Int? {
            read("\(folder)/\(file)").flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        let files = isUnified ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"]
        let limits = files.compactMap { file in number(file).map { (file, $0) } }
        // v1 writes a number near the largest there is for no limit.
        guard let (file, limit) = limits.min(by: { $0.1 < $1.1 }), limit < 1 << 60 else { return nil }
        let used = number(isUnified ? "memory.current" : "memory.usage_in_bytes") ?? 0
        let name = isUnified ? "inactive_file" : "total_inactive_file"
        let idle = read("\(folder)/memory.stat").flatMap { ProcessLimits.field(name, $0) } ?? 0
        return ProcessLimits.Limit(value: max(0, limit - max(0, used - idle)), file: "\(folder)/\(file)")
    }

    func quota(_ read: (String) -> String?) -> ProcessLimits.Limit<Double>? {
        func numbers(_ file: String) -> [Double] {
            (read("\(folder)/\(file)") ?? "").split { $0.isWhitespace }.compactMap { Double($0) }
        }
        let file = isUnified ? "cpu.max" : "cpu.cfs_quota_us"
        let both = isUnified ? numbers(file) : numbers(file) + numbers("cpu.cfs_period_us")
        guard both.count == 2, both[0] > 0, both[1] > 0 else { return nil }
        return ProcessLimits.Limit(value: both[0] / both[1], file: "\(folder)/\(file)")
    }
}

/// A mounted cgroup hierarchy: `proc_pid_mountinfo(5)`.
private struct Mount {
    var root: String
    var place: String
    var type: String
    var options: Set<String>

    init?(_ line: Substring) {
        let halves = line.components(separatedBy: " - ")
        guard halves.count == 2 else { return nil }
        let (fields, rest) = (halves[0].split(separator: " "), halves[1].split(separator: " "))
        guard fields.count > 4, rest.count > 2, rest[0] == "cgroup" || rest[0] == "cgroup2" else { return nil }
        (root, place, type) = (String(fields[3]), String(fields[4]), String(rest[0]))
        options = Set(rest[2].split(separator: ",").map(String.init))
    }

    /// The folder of a group and those of the groups it is in. In a container the mount shows its own group as the top.
    func folders(of group: String) -> [String] {
        var path = Substring(group)
        if root != "/", path.hasPrefix(root) { path = path.dropFirst(root.count) }
        let names = path.split(separator: "/")
        guard !names.contains("..") else { return [place] }
        return (0...names.count).map { count in ([place] + names.prefix(count).map(String.init)).joined(separator: "/")
        }
    }
}
