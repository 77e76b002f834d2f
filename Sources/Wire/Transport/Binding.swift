// How an endpoint is given to libzmq, which binds no names and speaks one version of IP a socket.

import CZeroMQ

/// The addresses to try for a bind, in order, and whether the socket needs IPv6.
package enum Binding {
    /// One address.
    package struct Attempt: Equatable {
        package var text: String
        package var isIPv6: Bool

        package init(text: String, isIPv6: Bool) {
            self.text = text
            self.isIPv6 = isIPv6
        }
    }

    /// Resolves a name. A name of an interface stays; every interface is both IPv4 and IPv6 where the host has it.
    ///
    /// - Parameter addresses: What a host resolves to.
    /// - Throws: where a name leads only to the loopback, as a Debian host's own name does: nobody else could connect.
    package static func attempts(
        _ endpoint: Endpoint, addresses: (Host) -> [Host] = Resolution.addresses
    ) throws(ZeroMQError) -> [Attempt] {
        let text = endpoint.description
        guard case .tcp(let name, let port) = endpoint.transport, let host = Host(name) else {
            return [Attempt(text: text, isIPv6: false)]
        }
        switch host {
        case .ipv4: return [Attempt(text: text, isIPv6: false)]
        case .ipv6, .any: return [Attempt(text: text, isIPv6: true)]
        case .name: break
        }
        let found = addresses(host)
        if !found.isEmpty, !host.isLoopback, found.allSatisfy(\.isLoopback) {
            let own = found.map(\.text).joined(separator: ", ")
            throw ZeroMQError(
                "bind", endpoint: text,
                problem: "\(name) is \(own) on this host, where no other can connect; write an address of the network, "
                    + "tcp://10.0.0.1:\(port), or every interface, tcp://*:\(port), and --advertise")
        }
        guard !found.isEmpty else { return [Attempt(text: text, isIPv6: false)] }
        return found.map { address in
            var isIPv6 = false
            if case .ipv6 = address { isIPv6 = true }
            return Attempt(text: Endpoint(.tcp(host: address.text, port: port)).description, isIPv6: isIPv6)
        }
    }

    /// Whether a socket that connects there needs IPv6. A name keeps being looked up by libzmq at each new connection;
    /// here it only says of which kind its addresses are.
    package static func connectsByIPv6(_ text: String, addresses: (Host) -> [Host] = Resolution.addresses) -> Bool {
        guard let endpoint = try? Endpoint(text), case .tcp(let name, _) = endpoint.transport, let host = Host(name)
        else { return false }
        switch host {
        case .ipv6: return true
        case .ipv4, .any: return false
        case .name:
            let found = addresses(host)
            return !found.isEmpty
                && found.allSatisfy { if case .ipv6 = $0 { true } else { false } }
        }
    }
}
