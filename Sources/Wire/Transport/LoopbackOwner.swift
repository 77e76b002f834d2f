// Whose process is at the other end of a connection within this machine.

import Foundation

/// Owners of sockets, as the kernel tells them of connections over the loopback network and of Unix sockets.
enum LoopbackOwner {
    /// Who is at the other end.
    enum Peer: Equatable {
        /// On another host, or at an address of this one that is none of the loopback's.
        case far
        case user(UInt32)
        /// Within this machine, and gone already or not to be found.
        case unknown

        /// Whether it may speak to a process of this user that asks for no key: the user's own, and root's, who can do
        /// everything here anyhow.
        var isOwn: Bool {
            switch self {
            case .far: true
            case .user(let user): user == geteuid() || user == 0
            case .unknown: false
            }
        }
    }

    /// - Parameter descriptor: of an accepted connection.
    static func peer(of descriptor: Int32) -> Peer {
        guard let theirs = end(of: descriptor, getpeername), let ours = end(of: descriptor, getsockname) else {
            return .unknown
        }
        guard case .ip(let bytes, _) = theirs else { return owner(ofUnixSocket: descriptor) }
        guard Host.isLoopback(bytes) else { return .far }
        let table = bytes.count == 4 ? "/proc/net/tcp" : "/proc/net/tcp6"
        guard let rows = try? FileHandle(forReadingFrom: URL(fileURLWithPath: table)).readToEnd() else {
            return .unknown
        }
        return user(from: theirs.spelled, to: ours.spelled, in: rows).map { .user($0) } ?? .unknown
    }

    /// The user of the socket with these ends, by a table as `/proc/net/tcp` has it. The table may have thousands of rows, and
    /// a stranger may ask as often, so it is searched, not parsed.
    static func user(from local: String, to remote: String, in table: Data) -> UInt32? {
        guard let found = table.range(of: Data("\(local) \(remote) ".utf8)) else { return nil }
        let row = table[found.upperBound...].prefix(200).prefix { $0 != UInt8(ascii: "\n") }
        // State, queues, timer, retransmissions, user.
        let fields = row.split(separator: UInt8(ascii: " "), maxSplits: 5)
        return fields.count > 4 ? UInt32(String(decoding: fields[4], as: UTF8.self)) : nil
    }

    private enum End {
        /// Network order; an IPv4 address in IPv6's clothes is four bytes.
        case ip([UInt8], port: UInt16)
        case unix

        /// As `/proc/net/tcp` spells it: words of four bytes in the host's order, in hexadecimal.
        var spelled: String {
            guard case .ip(let bytes, let port) = self else { return "" }
            let words = stride(from: 0, to: bytes.count, by: 4).map { start in
                bytes[start..<start + 4].reversed().map { String(format: "%02X", $0) }.joined()
            }
            return words.joined() + String(format: ":%04X", port)
        }
    }

    private static func end(
        of descriptor: Int32,
        _ name: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> End? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            let status = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name(descriptor, $0, &size) }
            guard status == 0 else { return nil }
            switch Int32(pointer.pointee.ss_family) {
            case AF_INET:
                return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                    .ip(
                        withUnsafeBytes(of: address.pointee.sin_addr) { Array($0) },
                        port: UInt16(bigEndian: address.pointee.sin_port))
                }
            case AF_INET6:
                return pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                    let bytes = withUnsafeBytes(of: address.pointee.sin6_addr) { Array($0) }
                    let isMapped = bytes.starts(with: [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF])
                    return .ip(
                        isMapped ? Array(bytes[12...]) : bytes, port: UInt16(bigEndian: address.pointee.sin6_port))
                }
            case AF_UNIX: return .unix
            default: return nil
            }
        }
    }

    private static func owner(ofUnixSocket descriptor: Int32) -> Peer {
        // struct ucred: process, user, group.
        var peer: (Int32, UInt32, UInt32) = (0, 0, 0)
        var length = socklen_t(MemoryLayout.size(ofValue: peer))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 else { return .unknown }
        return .user(peer.1)
    }
}
