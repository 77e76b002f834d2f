// Which hosts are this machine.

/// Hosts by name or address.
public enum HostAddress {
    /// Whether a name or address (IPv6 in brackets) is this machine's: its loopback, or an address of an interface of
    /// its. A name is looked up.
    public static func isHere(_ text: String) -> Bool { Resolution.isOfThisMachine(text) }
}
