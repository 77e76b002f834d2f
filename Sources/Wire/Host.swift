// The host of an endpoint: an address, or a name that is none.

import Glibc

/// A host as an endpoint writes it, told apart by parsing: an address is what `inet_pton` reads, and only an address
/// (and `localhost`) can be known to be loopback. A name may resolve to anything, whatever it looks like.
package enum Host: Sendable, Hashable {
    /// Four bytes.
    case ipv4([UInt8])
    /// Sixteen bytes.
    case ipv6([UInt8])
    case name(String)
    /// `*`: every interface.
    case any

    /// Reads a host: four decimal numbers, an IPv6 address in brackets (`[fe80::1%eth0]` with its zone), a name, or `*`.
    /// `nil`: it is none of them. The shortened and hexadecimal forms that resolvers take for IPv4 addresses (`127.1`,
    /// `0x7f000001`, `0`) are none: they say another address than they seem to.
    package init?(_ text: String) {
        if text == "*" {
            self = .any
        } else if text.hasPrefix("["), text.hasSuffix("]"), text.utf8.count > 2 {
            let inner = text.dropFirst().dropLast()
            let parts = inner.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 1 || Self.isLabel(parts[1]), let bytes = Self.bytes(parts[0], AF_INET6, count: 16)
            else {
                return nil
            }
            self = .ipv6(bytes)
        } else if let bytes = Self.bytes(text[...], AF_INET, count: 4) {
            self = .ipv4(bytes)
        } else {
            let name = text.hasSuffix(".") ? text.dropLast() : text[...]
            let labels = name.split(separator: ".", omittingEmptySubsequences: false)
            guard name.utf8.count <= 253, labels.allSatisfy({ Self.isLabel($0) }), let last = labels.last,
                !Self.isNumber(last)
            else { return nil }
            self = .name(text)
        }
    }

    /// Whether only this machine can reach it: an address of the loopback network, or the name `localhost`, which
    /// resolvers must not look up (RFC 6761). Every other name can lead anywhere.
    package var isLoopback: Bool {
        switch self {
        case .ipv4(let bytes), .ipv6(let bytes): Self.isLoopback(bytes)
        case .name(let name): name.lowercased() == "localhost"
        case .any: false
        }
    }

    /// The same of an address of four or sixteen bytes.
    static func isLoopback(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == 16 else { return bytes.first == 127 }
        return bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
            // An IPv4 address in IPv6's clothes, ::ffff:127.0.0.1.
            || bytes.starts(with: mappedPrefix) && bytes[12] == 127
    }

    /// Whether it stands for every interface, so that nobody can connect to it.
    package var isWildcard: Bool {
        switch self {
        case .ipv4(let bytes): bytes.allSatisfy { $0 == 0 }
        case .ipv6(let bytes):
            bytes.allSatisfy { $0 == 0 } || bytes.starts(with: Self.mappedPrefix) && bytes[12...].allSatisfy { $0 == 0 }
        case .name: false
        case .any: true
        }
    }

    private static let mappedPrefix = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]

    private static func bytes(_ text: Substring, _ family: Int32, count: Int) -> [UInt8]? {
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        return inet_pton(family, String(text), &bytes) == 1 ? bytes : nil
    }

    /// A part of a name, between its dots. The underscore is no part of DNS names, but container networks use it.
    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && label.first != "-"
            && label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func isNumber(_ label: Substring) -> Bool {
        label.lowercased().hasPrefix("0x")
            ? label.dropFirst(2).allSatisfy(\.isHexDigit) : label.utf8.allSatisfy { (48...57).contains($0) }
    }
}
