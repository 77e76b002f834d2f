// The TCP connection that an ssh session came over, as the kernel sees it.

internal import Foundation
internal import Wire

/// A connection to this host, of which the kernel says whether the other side's answers.
package struct SSHConnection: Equatable, Sendable {
    /// Rows of `/proc/net/tcp` and `tcp6` that can be it begin with one of these: both ends, as hexadecimal numbers.
    private let ends: [String]

    /// - Parameter text: What sshd says in `$SSH_CONNECTION`: the other side's address and port, and this one's. nil: it
    ///   is not that.
    package init?(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, let farPort = UInt16(words[1]), let port = UInt16(words[3]) else { return nil }
        let far = Self.spellings(words[0])
        let near = Self.spellings(words[2])
        guard !far.isEmpty, far.count == near.count else { return nil }
        ends = zip(near, far).map { near, far in
            "\(near):\(Self.hexadecimal(port)) \(far):\(Self.hexadecimal(farPort)) "
        }
    }

    /// How often the kernel has sent the oldest bytes again for which it has no answer; 0: all are answered, or the
    /// connection is not there.
    ///
    /// - Parameter text: Of `/proc/self/net/tcp` or `tcp6`; see `proc_net_tcp` of the kernel's documentation.
    package func retransmissions(in text: String) -> Int {
        for line in text.split(separator: "\n") {
            // `sl: local remote state sending:receiving timer:when retransmissions ...`
            guard let colon = line.firstIndex(of: ":") else { continue }
            let row = line[line.index(after: colon)...].drop { $0 == " " }
            guard ends.contains(where: { row.hasPrefix($0) }) else { continue }
            let fields = row.split(separator: " ")
            return fields.count > 5 ? Int(fields[5], radix: 16) ?? 0 : 0
        }
        return 0
    }

    /// The same now.
    package func retransmissions() -> Int {
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map { path in
            guard let file = FileHandle(forReadingAtPath: path), let data = try? file.readToEnd() else { return 0 }
            return retransmissions(in: String(decoding: data, as: UTF8.self))
        }.max() ?? 0
    }

    /// An address in the words of the kernel's own byte order; one of IPv4 also as a socket of IPv6 has it.
    private static func spellings(_ address: String) -> [String] {
        func text(_ bytes: [UInt8]) -> String {
            bytes.withUnsafeBytes { raw in
                stride(from: 0, to: bytes.count, by: 4).map {
                    hexadecimal(raw.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
                }.joined()
            }
        }
        switch Host(HostAddress.bracketed(address)) {
        case .ipv4(let bytes): return [text(bytes), text([UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes)]
        case .ipv6(let bytes): return [text(bytes)]
        case .name, .any, nil: return []
        }
    }

    private static func hexadecimal<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: Number.bitWidth / 4 - digits.count) + digits
    }
}
