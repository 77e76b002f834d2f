// Where a socket binds or connects.

import OutsideText

/// A ZeroMQ address, checked before it is bound or connected to.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// How one gets there.
    public enum Transport: Sendable, Hashable {
        /// `port` 0: any free one.
        case tcp(host: String, port: UInt16)
        case ipc(path: String)
    }

    /// Why a text is no endpoint.
    public struct ParseError: Error, Sendable, CustomStringConvertible {
        /// The text.
        public var text: String
        /// What is wrong with it.
        public var problem: String
        public var description: String {
            "\"\(text.shown(upTo: 200))\" is no endpoint: \(problem); write tcp://HOST:PORT (port 0 or * takes any free one) "
                + "or ipc:///PATH"
        }
    }

    /// How one gets there.
    public var transport: Transport

    /// An endpoint in parts.
    public init(_ transport: Transport) { self.transport = transport }

    /// Reads `tcp://HOST:PORT`, `tcp://[::1]:PORT` or `ipc://PATH`.
    public init(_ text: String) throws(ParseError) {
        if text.hasPrefix("ipc://") {
            let path = String(text.dropFirst(6))
            // The kernel's limit on a Unix socket's path is 108 bytes with its end mark.
            guard !path.isEmpty, path.utf8.count < 108, !path.utf8.contains(0) else {
                throw ParseError(text: text, problem: "the path must have 1 to 107 bytes, none of them zero")
            }
            guard !path.hasPrefix("@") else {
                throw ParseError(text: text, problem: "a name that is no file has no owner; give a path")
            }
            transport = .ipc(path: path)
            return
        }
        guard text.hasPrefix("tcp://") else { throw ParseError(text: text, problem: "unknown transport") }
        let rest = text.dropFirst(6)
        guard let colon = rest.lastIndex(of: ":") else { throw ParseError(text: text, problem: "no port") }
        let host = String(rest[..<colon])
        let portText = rest[rest.index(after: colon)...]
        guard !host.isEmpty else { throw ParseError(text: text, problem: "no host") }
        guard Host(host) != nil else {
            throw ParseError(
                text: text,
                problem: host.hasPrefix("[") || !host.contains(":")
                    ? "the host is neither an address nor a name" : "an IPv6 address must stand in brackets")
        }
        guard let port = portText == "*" ? 0 : UInt16(portText), portText.first != "+" else {
            throw ParseError(text: text, problem: "the port must be a number from 0 to 65535, or *")
        }
        transport = .tcp(host: host, port: port)
    }

    public var description: String {
        switch transport {
        case .tcp(let host, 0): "tcp://\(host):*"
        case .tcp(let host, let port): "tcp://\(host):\(port)"
        case .ipc(let path): "ipc://\(path)"
        }
    }

    /// Whether only processes of this machine can reach it: a path, an address of the loopback network, or `localhost`.
    /// Any other name counts as far away, whatever it looks like.
    public var isLocal: Bool {
        switch transport {
        case .ipc: true
        case .tcp(let host, _): Host(host)?.isLoopback == true
        }
    }

    /// Whether a peer could connect to it as it is written: not a wildcard.
    public var isConnectable: Bool {
        switch transport {
        case .ipc: true
        case .tcp(let host, let port): port != 0 && Host(host)?.isWildcard == false
        }
    }

    /// The same endpoint under another host name (for TCP); how peers on other machines reach a wildcard bind.
    public func advertised(as host: String) -> Endpoint {
        guard case .tcp(_, let port) = transport else { return self }
        return Endpoint(.tcp(host: host, port: port))
    }

    /// A second endpoint beside this one: the next port (any, where this one's is any), or a path with `suffix`.
    public func sibling(suffix: String) -> Endpoint {
        switch transport {
        case .tcp(let host, let port): Endpoint(.tcp(host: host, port: port == 0 ? 0 : port &+ 1))
        case .ipc(let path): Endpoint(.ipc(path: path + suffix))
        }
    }
}
