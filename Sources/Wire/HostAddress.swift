// Which hosts are this machine.

import Glibc

/// Hosts by name or address.
public enum HostAddress {
    /// Whether a name or address (IPv6 in brackets) is this machine's: its loopback, or an address of an interface of
    /// its. A name is looked up.
    public static func isHere(_ text: String) -> Bool { Resolution.isOfThisMachine(text) }

    /// Whether this machine's kernel knows IPv6.
    public static var hasIPv6: Bool {
        let socket = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return false }
        close(socket)
        return true
    }

    /// A host as endpoints write it: an IPv6 address in brackets, whether it came in them or not.
    public static func bracketed(_ text: String) -> String { Host("[\(text)]") == nil ? text : "[\(text)]" }
}
