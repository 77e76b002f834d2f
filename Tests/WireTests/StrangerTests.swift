import ChildPrograms
import Foundation
import Testing
import Wire

/// A peer that speaks ZMTP byte by byte, and never more of it than it wants.
private final class RawPeer {
    private let socket: Int32
    private let port: UInt16
    private let ownPort: UInt16
    /// Bytes of messages that the connection took.
    private(set) var taken = 0

    init(to endpoint: Endpoint) throws {
        guard case .tcp(_, let port) = endpoint.transport else { throw CancellationError() }
        self.port = port
        let socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var size: Int32 = 1 << 16
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(socket)
            throw CancellationError()
        }
        var own = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        ownPort = UInt16(bigEndian: own.sin_port)
        _ = fcntl(socket, F_SETFL, O_NONBLOCK)
        self.socket = socket
    }

    deinit { close(socket) }

    /// Sends all of it, or what the connection takes before it is cut or takes nothing for half a second.
    func send(_ bytes: [UInt8]) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Foundation.send(socket, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                done += count
                taken += count
                continue
            }
            guard errno == EAGAIN else { return false }
            var poll = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            guard Foundation.poll(&poll, 1, 500) > 0 else { return false }
        }
        return true
    }

    /// ZMTP 3.0 without security, as a DEALER of that name.
    func shakeHands(_ name: String) -> Bool {
        var bytes: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0] + Array("NULL".utf8)
        bytes += [UInt8](repeating: 0, count: 64 - bytes.count)
        func property(_ name: String, _ value: String) -> [UInt8] {
            [UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, UInt8(value.utf8.count)] + Array(value.utf8)
        }
        let ready = [5] + Array("READY".utf8) + property("Socket-Type", "DEALER") + property("Identity", name)
        return send(bytes + [4, UInt8(ready.count)] + ready)
    }

    func frame(_ count: Int, more: Bool) -> [UInt8] {
        [more ? 3 : 2] + withUnsafeBytes(of: UInt64(count).bigEndian) { Array($0) }
            + [UInt8](repeating: 1, count: count)
    }

    /// Waits until the other side closes. Returns whether it did within the time.
    func isCut(within seconds: Int32) -> Bool {
        let end = ContinuousClock.now + .seconds(Int(seconds))
        var buffer = [UInt8](repeating: 0, count: 4096)
        while ContinuousClock.now < end {
            var poll = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard Foundation.poll(&poll, 1, 1000) > 0 else { continue }
            let count = recv(socket, &buffer, buffer.count, 0)
            if count == 0 || (count < 0 && errno != EAGAIN) { return true }
        }
        return false
    }

    /// Bytes taken that lie in neither kernel buffer: what the process on the other side holds, or has dropped.
    var held: Int { taken - queues() }

    private func queues() -> Int {
        guard let table = try? String(contentsOfFile: "/proc/net/tcp", encoding: .utf8) else { return 0 }
        func spelled(_ port: UInt16) -> String { String(format: ":%04X", port) }
        var sum = 0
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { continue }
            let ends = (fields[1].suffix(5), fields[2].suffix(5))
            let sizes = fields[4].split(separator: ":").map { Int($0, radix: 16) ?? 0 }
            guard sizes.count == 2 else { continue }
            if ends.0 == spelled(ownPort), ends.1 == spelled(port) { sum += sizes[0] }
            if ends.0 == spelled(port), ends.1 == spelled(ownPort) { sum += sizes[1] }
        }
        return sum
    }
}

/// What a peer that nobody knows can make a process hold: under 1 MiB, whatever it sends and however slowly it is read.
@Suite("Strangers", .timeLimit(.minutes(1)))
struct StrangerTests {
    private let bound = 1 << 20
    private static let guests = EdgeKind.data(maxFrameBytes: 64 << 20)

    /// Runs blocking calls off the cooperative pool.
    private func on<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { done in
            DispatchQueue.global().async { done.resume(with: Result { try body() }) }
        }
    }

    @Test func wholeMessagesOnAControlEdgeThatNobodyReads() async throws {
        let listener = try Carrier.zeroMQ.make().listen(at: Carrier.anywhere, as: .control)
        let endpoint = listener.endpoint
        let held = try await on {
            let peer = try RawPeer(to: endpoint)
            #expect(peer.shakeHands("stranger"))
            let message = peer.frame(32, more: true) + peer.frame(30_000, more: false)
            var count = 0
            while count < 2000, peer.send(message) { count += 1 }
            #expect(count < 2000)
            return peer.held
        }
        #expect(held < bound, "\(held) bytes are held")
        withExtendedLifetime(listener) {}
    }

    @Test func aFrameOverTheBoundOfAControlEdge() async throws {
        let listener = try Carrier.zeroMQ.make().listen(at: Carrier.anywhere, as: .control)
        let endpoint = listener.endpoint
        let isCut = try await on {
            let peer = try RawPeer(to: endpoint)
            #expect(peer.shakeHands("stranger"))
            _ = peer.send([2] + withUnsafeBytes(of: UInt64(1 << 30).bigEndian) { Array($0) })
            return peer.isCut(within: 10)
        }
        #expect(isCut)
        withExtendedLifetime(listener) {}
    }

    /// Whatever a stranger sends to a data edge, it is not let in. "slow" is a handshake's frame, as long as it may be, that
    /// never ends.
    @Test(arguments: ["whole", "many frames", "unfinished", "long", "slow"])
    func aStrangerOnADataEdge(kind: String) async throws {
        let transport = try Carrier.zeroMQ.make()
        let listener = try transport.listen(at: Carrier.anywhere, as: Self.guests)
        listener.allow([Guest(.random())])
        let endpoint = listener.endpoint
        let held = try await on {
            let peer = try RawPeer(to: endpoint)
            _ = peer.shakeHands("stranger")
            for _ in 0..<200 {
                let bytes =
                    switch kind {
                    case "whole": peer.frame(32, more: true) + peer.frame(1 << 20, more: false)
                    case "many frames":
                        (0..<5000).flatMap { _ in peer.frame(2, more: true) } + peer.frame(0, more: false)
                    case "unfinished": peer.frame(1 << 20, more: true)
                    case "slow": Array(peer.frame(1 << 16, more: false).dropLast())
                    default: peer.frame(60 << 20, more: false)
                    }
                guard peer.send(bytes), kind != "slow" else { break }
            }
            let held = kind == "slow" ? peer.held : 0
            return peer.isCut(within: 5) ? held : peer.held
        }
        #expect(held < bound, "\(held) bytes are held")
        withExtendedLifetime(listener) {}
    }

    @Test(
        arguments: [
            ([], .slow), ([0xFF], .slow), ([UInt8]("GET / HTTP/1.1\r\n\r\n".utf8), .malformed),
        ] as [([UInt8], Refusals.Reason)], [Carrier.zeroMQ, .curve])
    func whoSaysNothingOrNonsenseIsCutOff(stranger: (bytes: [UInt8], reason: Refusals.Reason), carrier: Carrier)
        async throws
    {
        let bytes = stranger.bytes
        let listener = try carrier.make().listen(at: Carrier.anywhere, as: .control)
        let endpoint = listener.endpoint
        let isCut = try await on {
            let peer = try RawPeer(to: endpoint)
            _ = peer.send(bytes)
            return peer.isCut(within: 10)
        }
        #expect(isCut)
        var refusals = Refusals()
        while refusals.isEmpty, !Task.isCancelled {
            refusals = listener.takeRefusals()
            await Task.yield()
        }
        // In plain text the old protocol is spoken too, which has no handshake: its end has no other cause than this.
        #expect(refusals.counts == [stranger.reason: 1] || carrier == .zeroMQ && refusals.counts == [.slow: 1])
    }

    private static let canBeAnother =
        geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0 && access("/usr/bin/perl", X_OK) == 0

    /// Where nobody is asked for a key, processes of other users of this host are cut off as they come.
    @Test(.enabled(if: canBeAnother, "only root can be another user"), arguments: ["tcp", "tcp6", "ipc"])
    func aProcessOfAnotherUser(carrier: String) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID().uuidString)").path
        #expect(mkdir(folder, 0o755) == 0)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let endpoint =
            switch carrier {
            case "tcp": Carrier.anywhere
            case "tcp6": try Endpoint("tcp://[::1]:*")
            default: try Endpoint("ipc://\(folder)/edge")
            }
        guard carrier != "tcp6" || HostAddress.hasIPv6 else { return }
        let listener = try Carrier.zeroMQ.make().listen(at: endpoint, as: .control)
        let connect: String
        switch listener.endpoint.transport {
        case .tcp(let host, let port):
            connect = "IO::Socket::IP->new(PeerHost => '\(host.filter { !"[]".contains($0) })', PeerPort => \(port))"
        case .ipc(let path):
            // Were it not for its modes.
            #expect(chmod(path, 0o666) == 0)
            connect = "IO::Socket::UNIX->new('\(path)')"
        }
        let other = try ChildProgram(
            "/usr/bin/setpriv",
            [
                "--reuid=65534", "--clear-groups", "perl", "-MIO::Socket::IP", "-MIO::Socket::UNIX", "-e",
                "my $s = \(connect) or exit 3; 1 while sysread($s, my $bytes, 4096);",
            ])
        #expect(await other.end() == .exit(0))
        var refusals = Refusals()
        while refusals.isEmpty, !Task.isCancelled {
            refusals = listener.takeRefusals()
            await Task.yield()
        }
        #expect(refusals.counts == [.otherUser: 1], "\(refusals)")
    }

    /// libzmq counts whole messages, so a message without an end is bounded by nothing of it: keys keep out whoever could
    /// send one.
    @Test func anUnfinishedMessageOnAControlEdge() async throws {
        let own = try KeyPair.random()
        let listener = try ZeroMQTransport(context: try ZeroMQContext(), keys: .init(own: own) { _ in false })
            .listen(at: Carrier.anywhere, as: .control)
        let endpoint = listener.endpoint
        let held = try await on {
            let peer = try RawPeer(to: endpoint)
            _ = peer.shakeHands("stranger")
            let many = (0..<3000).flatMap { _ in peer.frame(2, more: true) }
            var count = 0
            while count < 200, peer.send(many) { count += 1 }
            return peer.isCut(within: 10) ? 0 : peer.held
        }
        #expect(held < bound, "\(held) bytes are held")
        withExtendedLifetime(listener) {}
    }
}
