// The processes of this machine, as /proc shows them.

import Foundation

/// The running children of a process, with their command lines.
func children(of parent: Int32) -> [(pid: Int32, command: String)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap(Int32.init).compactMap { pid in
        // Whatever ends meanwhile has no files.
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            status.contains("PPid:\t\(parent)\n"),
            let command = try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8)
        else { return nil }
        return (pid, command)
    }
}

/// Waits for the end of a process that is not ours, at most 10 s.
func gone(_ pid: Int32) async throws {
    try await within(.seconds(10), "the end of process \(pid)") {
        while let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            !status.contains("State:\tZ")
        {
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
