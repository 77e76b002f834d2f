import Foundation

/// How much memory this host can still give.
enum HostMemory {
    /// Bytes that can be had without swapping, as the kernel estimates it (proc(5), /proc/meminfo); `nil` if it does not
    /// say.
    static var available: Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
        }
        return nil
    }
}
