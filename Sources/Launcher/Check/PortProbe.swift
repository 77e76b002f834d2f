// Listening for a moment where a process will, and connecting to who listens: whether hosts reach one another.

internal import Foundation
internal import Wire

/// Listeners of this host that say a word to whoever connects, so that another host can tell them from strangers.
package final class PortProbe: Sendable {
    /// The endpoints that are listened at; those that can't be are missing.
    package let endpoints: [String]
    /// One end of a pair of sockets; the thread ends when it is closed.
    private let end: Int32

    /// Listens until this is released.
    ///
    /// - Parameters:
    ///   - endpoints: As processes bind them; what is no TCP endpoint with a port is left out.
    ///   - word: At most ``wordLimit`` bytes.
    package init(_ endpoints: [String], word: String) {
        var bound: [(endpoint: String, socket: Int32)] = []
        var pair: [Int32] = [-1, -1]
        let hasEnd = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0
        for endpoint in endpoints.prefix(hasEnd ? Self.endpointLimit : 0) {
            if case .success(let socket) = Self.listener(at: endpoint) { bound.append((endpoint, socket)) }
        }
        self.endpoints = bound.map(\.endpoint)
        end = pair[0]
        guard hasEnd else { return }
        let wakeUp = pair[1]
        let sockets = bound.map(\.socket)
        let bytes = Array(word.utf8.prefix(Self.wordLimit)) + [UInt8(ascii: "\n")]
        Thread.detachNewThread {
            Self.serve(sockets, bytes, until: wakeUp)
            for descriptor in sockets + [wakeUp] { close(descriptor) }
        }
    }

    deinit { close(end) }

    /// Most bytes of a word, most endpoints of one call.
    package static let wordLimit = 64
    static let endpointLimit = 1024

    /// Why an endpoint can't be bound now; nil: it can, or is none of TCP.
    package static func problem(ofBinding endpoint: String) -> String? {
        switch listener(at: endpoint) {
        case .success(let socket):
            close(socket)
            return nil
        case .failure(let problem): return problem.text
        }
    }

    private struct Problem: Error { var text: String }

    private static func listener(at text: String) -> Result<Int32, Problem> {
        guard let endpoint = try? Endpoint(text), case .tcp(let host, let port) = endpoint.transport else {
            return .failure(Problem(text: "no such endpoint"))
        }
        // `*` is every interface, of IPv4 where the host knows no other.
        let name = host == "*" ? (HostAddress.hasIPv6 ? "[::]" : "0.0.0.0") : host
        guard let address = addresses(of: name, port: port).first else {
            return .failure(Problem(text: "no such host"))
        }
        let socket = socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return .failure(Problem(text: String(cString: strerror(errno)))) }
        var yes: Int32 = 1
        // Only who listens stands in the way of a bind that may reuse an address.
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard address.with({ bind(socket, $0, $1) }) == 0, listen(socket, 64) == 0 else {
            defer { close(socket) }
            return .failure(Problem(text: String(cString: strerror(errno))))
        }
        return .success(socket)
    }

    private static func serve(_ sockets: [Int32], _ word: [UInt8], until wakeUp: Int32) {
        var items = (sockets + [wakeUp]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while poll(&items, nfds_t(items.count), -1) >= 0 || errno == EINTR {
            if items[items.count - 1].revents != 0 { return }
            for item in items.dropLast() where item.revents != 0 {
                let peer = accept(item.fd, nil, nil)
                guard peer >= 0 else { continue }
                // A new connection takes this much at once.
                _ = send(peer, word, word.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                close(peer)
            }
        }
    }

    // MARK: the other side

    /// Tries endpoints of other hosts all at once.
    ///
    /// - Parameter words: Of each endpoint, as one connects to it, the word that its host says.
    /// - Returns: why an endpoint was not reached; those that were are missing.
    package static func unreached(_ words: [String: String], within patience: Duration = .seconds(3)) -> [String:
        String]
    {
        var attempts: [Attempt] = []
        var problems: [String: String] = [:]
        for (endpoint, word) in words.sorted(by: { $0.key < $1.key }).prefix(endpointLimit) {
            problems[endpoint] = "no such host"
            guard let parsed = try? Endpoint(endpoint), case .tcp(let host, let port) = parsed.transport else {
                continue
            }
            for address in addresses(of: host, port: port) {
                problems[endpoint] = "no answer within \(patience)"
                if let attempt = Attempt(endpoint, word, address) {
                    attempts.append(attempt)
                } else {
                    problems[endpoint] = String(cString: strerror(errno))
                }
            }
        }
        let end = ContinuousClock.now + patience
        while !attempts.isEmpty, ContinuousClock.now < end {
            var items = attempts.map {
                pollfd(fd: $0.socket, events: Int16($0.isConnected ? POLLIN : POLLOUT), revents: 0)
            }
            guard poll(&items, nfds_t(items.count), 50) >= 0 || errno == EINTR else { break }
            var open: [Attempt] = []
            for (index, item) in items.enumerated() {
                var attempt = attempts[index]
                switch item.revents == 0 ? .open : attempt.goOn() {
                case .open: open.append(attempt)
                case .reached:
                    problems[attempt.endpoint] = nil
                    close(attempt.socket)
                case .failed(let why):
                    if problems[attempt.endpoint] != nil { problems[attempt.endpoint] = why }
                    close(attempt.socket)
                }
            }
            attempts = open
        }
        for attempt in attempts { close(attempt.socket) }
        return problems
    }

    private struct Attempt {
        enum State {
            case open, reached
            case failed(String)
        }

        let endpoint: String
        let socket: Int32
        private(set) var isConnected = false
        private let word: [UInt8]
        private var heard: [UInt8] = []

        init?(_ endpoint: String, _ word: String, _ address: SocketAddress) {
            self.endpoint = endpoint
            self.word = Array(word.utf8) + [UInt8(ascii: "\n")]
            let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            socket = Glibc.socket(address.family, kind, 0)
            guard socket >= 0 else { return nil }
            let status = address.with { connect(socket, $0, $1) }
            guard status == 0 || errno == EINPROGRESS else {
                let why = errno
                close(socket)
                errno = why
                return nil
            }
        }

        mutating func goOn() -> State {
            guard isConnected else {
                var error: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)
                guard error == 0 else { return .failed(String(cString: strerror(error))) }
                isConnected = true
                return .open
            }
            var bytes = [UInt8](repeating: 0, count: PortProbe.wordLimit + 1)
            let count = recv(socket, &bytes, bytes.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { return .open }
            heard += bytes.prefix(max(0, count))
            if heard == word { return .reached }
            return count > 0 && word.starts(with: heard) ? .open : .failed("another host or program answers there")
        }
    }

    // MARK: addresses

    private struct SocketAddress {
        var family: Int32
        var bytes: [UInt8]

        func with(_ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            bytes.withUnsafeBytes { raw in
                raw.baseAddress.map { call($0.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count)) } ?? -1
            }
        }
    }

    private static func addresses(of host: String, port: UInt16) -> [SocketAddress] {
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let address = entry.ai_addr else { continue }
            let bytes = Array(UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen)))
            found.append(SocketAddress(family: entry.ai_family, bytes: bytes))
        }
        return found
    }
}
