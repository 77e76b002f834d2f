// Who is at the other end of a connection, as the kernel knows it.

import Glibc

/// The address of a connected peer.
package struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IP address, or the user of a process of this machine.
    package var host: String
    /// 0 for a Unix socket.
    package var port: UInt16 = 0

    package var description: String {
        port == 0 ? host : host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    package init(host: String, port: UInt16 = 0) {
        self.host = host
        self.port = port
    }

    /// `nil`: the descriptor is no connection (any more).
    init?(of descriptor: Int32) {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &size) }
        }
        guard status == 0 else { return nil }
        if Int32(storage.ss_family) == AF_UNIX {
            // struct ucred: process, user, group.
            var peer: (Int32, UInt32, UInt32) = (0, 0, 0)
            var length = socklen_t(MemoryLayout.size(ofValue: peer))
            guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 else { return nil }
            self.init(host: "user \(peer.1)")
            return
        }
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        let named = withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getnameinfo(
                    $0, size, &host, socklen_t(host.count), &port, socklen_t(port.count),
                    NI_NUMERICHOST | NI_NUMERICSERV)
            }
        }
        guard named == 0 else { return nil }
        func text(_ chars: [CChar]) -> String {
            String(decoding: chars.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        self.init(host: text(host), port: UInt16(text(port)) ?? 0)
    }
}
