// Names to addresses, and which addresses are this machine's.

import Glibc

/// What the system's resolver and its routes say.
package enum Resolution {
    /// The addresses of a host, IPv4 before IPv6, in the resolver's order; empty where it has none. It may wait for the
    /// network, for seconds.
    package static func addresses(of host: Host) -> [Host] {
        switch host {
        case .ipv4, .ipv6: return [host]
        case .any: return []
        case .name(let name): return look(up: name, port: nil).map { $0.host }
        }
    }

    /// Whether a name or address is one of this machine's own: loopback, or an address of an interface.
    package static func isOfThisMachine(_ text: String) -> Bool {
        guard let host = Host(text) else { return false }
        if host.isLoopback { return true }
        let own = interfaceAddresses()
        return addresses(of: host).contains { $0.isLoopback || own.contains($0) }
    }

    /// The address this machine would use towards a host: the one its route there begins at. No packet is sent.
    package static func ownAddress(towards host: Host, port: UInt16) -> Host? {
        guard let text = host.connectText else { return nil }
        for candidate in look(up: text, port: port) {
            let socket = socket(Int32(candidate.family), Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard socket >= 0 else { continue }
            defer { close(socket) }
            var own = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let isRouted = candidate.address.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return false }
                return connect(
                    socket, base.assumingMemoryBound(to: sockaddr.self), socklen_t(candidate.address.count)) == 0
            }
            let isNamed = withUnsafeMutablePointer(to: &own) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &size) == 0 }
            }
            guard isRouted, isNamed else { continue }
            if let host = withUnsafeBytes(of: own, { Host(socketAddress: $0) }), !host.isWildcard { return host }
        }
        return nil
    }

    private struct Candidate {
        var host: Host
        var family: sa_family_t
        var address: [UInt8]
    }

    private static func look(up name: String, port: UInt16?) -> [Candidate] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, port.map(String.init), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [Candidate] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let address = entry.ai_addr else { continue }
            let bytes = UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen))
            guard let host = Host(socketAddress: bytes), !found.contains(where: { $0.host == host }) else { continue }
            found.append(Candidate(host: host, family: address.pointee.sa_family, address: Array(bytes)))
        }
        return found.filter { $0.family == AF_INET } + found.filter { $0.family == AF_INET6 }
    }

    private static func interfaceAddresses() -> Set<Host> {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: Set<Host> = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let address = entry.ifa_addr else { continue }
            let size =
                address.pointee.sa_family == AF_INET6
                ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
            guard [AF_INET, AF_INET6].contains(Int32(address.pointee.sa_family)) else { continue }
            if let host = Host(socketAddress: UnsafeRawBufferPointer(start: address, count: size)) {
                found.insert(host)
            }
        }
        return found
    }
}

extension Host {
    /// The address in a `sockaddr`; nil where it is of neither internet.
    init?(socketAddress bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= MemoryLayout<sockaddr_in>.size else { return nil }
        switch Int32(bytes.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET:
            let address = bytes.loadUnaligned(as: sockaddr_in.self).sin_addr
            self = .ipv4(withUnsafeBytes(of: address, Array.init))
        case AF_INET6 where bytes.count >= MemoryLayout<sockaddr_in6>.size:
            let address = bytes.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            self = .ipv6(withUnsafeBytes(of: address, Array.init))
        default: return nil
        }
    }

    /// As an endpoint writes it: IPv6 in brackets.
    package var text: String {
        switch self {
        case .ipv4(let bytes): bytes.map(String.init).joined(separator: ".")
        case .ipv6: "[\(connectText ?? "")]"
        case .name(let name): name
        case .any: "*"
        }
    }

    /// As resolvers take it: IPv6 without brackets. nil for the wildcard, where nobody connects.
    var connectText: String? {
        switch self {
        case .ipv6(let bytes):
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return nil }
            return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        case .any: return nil
        case .ipv4, .name: return text
        }
    }
}
