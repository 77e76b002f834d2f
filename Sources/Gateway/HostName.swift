// Names and addresses of this machine.

import Glibc

/// Reads the host of `HOST` or `HOST:PORT`.
enum HostName {
    /// Whether it is `localhost` (or a name below it) or the literal address of a loopback interface. Other names are
    /// not, wherever they lead today.
    static func isLocal(_ text: String) -> Bool {
        let host = host(of: text).lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") { return true }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, host, &bytes) == 1 { return bytes[0] == 127 }
        return inet_pton(AF_INET6, host, &bytes) == 1 && bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    private static func host(of text: String) -> String {
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            return String(text[text.index(after: text.startIndex)..<end])
        }
        // More than one colon: an address of version 6 without brackets, and without a port.
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 2 ? String(parts[0]) : text
    }
}
