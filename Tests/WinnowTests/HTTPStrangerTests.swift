// Strangers at the HTTP port: refused, counted, logged once a second, at no cost to those who are served.

import Foundation
import Synchronization
import Testing

extension EndToEnd {
    @Suite("Strangers at the HTTP port", .timeLimit(.minutes(3)))
    struct HTTPStrangerTests {
        /// The most that any attack may cost, in KiB.
        private static let mostMemory = 16 << 10

        /// A coordinator with keys, and perhaps TLS; and who may ask it.
        private struct Place {
            let cluster: Cluster
            let client: Client
            let port: UInt16
            let operators: Client

            func count(_ reason: String) async throws -> Int {
                let text = String(decoding: try await operators.get("/metrics").body, as: UTF8.self)
                let line = text.split(separator: "\n").first {
                    $0.hasPrefix("winnow_http_refused_total{reason=\"\(reason)\"}")
                }
                return line?.split(separator: " ").last.flatMap { Int($0) } ?? -1
            }
        }

        private func with(
            _ options: [String] = [], _ body: @escaping @Sendable (Place) async throws -> Void
        ) async throws {
            let folder = try TemporaryFolder()
            let file = folder.file("api-keys").path
            let made = try await Program.run(["keys", "api", "new", "alice", "--file", file])
            let key = try #require(made.output.first)
            let admin = try FreePort.any()
            var shape = Cluster.Shape.needle(stages: 1)
            shape.options = ["--api-keys", file, "--admin", "127.0.0.1:\(admin)"] + options
            try await withCluster(shape) { cluster, _, client in
                let port = try #require(client.base.split(separator: ":").last.flatMap { UInt16($0) })
                let client = Client(base: client.base, model: client.model, key: key)
                let operators = Client(base: "http://127.0.0.1:\(admin)", model: "")
                try await body(Place(cluster: cluster, client: client, port: port, operators: operators))
            }
            withExtendedLifetime(folder) {}
        }

        private func memory(_ pid: Int32, _ field: String) throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(field) })
            return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
        }

        /// Runs `attack` while a client is served, and holds it to what it may cost.
        private func withstands(
            _ place: Place, _ attack: @escaping @Sendable () throws -> Void
        ) async throws {
            let ask = Ask(prompt: .text("The key is"), maxTokens: 4, ignoreEos: true)
            for _ in 0..<20 { _ = try await place.client.complete(ask) }
            let pid = place.cluster.coordinator.pid
            let before = try memory(pid, "VmRSS")
            // The peak counts from here.
            try Data("5".utf8).write(to: URL(fileURLWithPath: "/proc/\(pid)/clear_refs"))
            let attacked = Flag()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let done = Promise<Result<Void, any Error>>()
                    Thread.detachNewThread { done.fulfil(Result { try attack() }) }
                    defer { attacked.isSet.store(true, ordering: .relaxed) }
                    try await done.value().get()
                }
                group.addTask {
                    var slowest = Duration.zero
                    while !attacked.isSet.load(ordering: .relaxed) {
                        let start = ContinuousClock.now
                        _ = try await place.client.complete(ask)
                        let live = try await place.client.get("/health/live")
                        #expect(live.status == 200)
                        slowest = max(slowest, .now - start)
                    }
                    #expect(slowest < .seconds(2))
                }
                try await group.waitForAll()
            }
            let peak = try memory(pid, "VmHWM")
            #expect(peak - before < Self.mostMemory, "\(before) KiB before, \(peak) KiB at the most")
        }

        @Test func tenThousandWrongKeysASecondChangeNothing() async throws {
            try await with { place in
                let each = 2_500
                let told = Mutex(Duration.zero)
                // The first of them fill caches.
                try HTTPStranger.ask(place.port, times: 500)
                let before = try await place.count("wrong_key")
                let lines = place.cluster.coordinator.log.soFar.count
                try await withstands(place) {
                    let start = ContinuousClock.now
                    try HTTPStranger.together(8) { try HTTPStranger.ask(place.port, times: each) }
                    told.withLock { $0 = .now - start }
                }
                #expect(try await place.count("wrong_key") - before == 8 * each)
                let time = told.withLock { $0 }
                let refused = place.cluster.coordinator.log.soFar.dropFirst(lines).filter { $0.contains("refused") }
                #expect(refused.count <= 3 + Int(time / .seconds(1)), "\(refused)")
                #expect(refused.allSatisfy { $0.contains("reason=wrong_key") })
                print("\(8 * each) wrong keys in \(time): \(Int(Double(8 * each) / (time / .seconds(1)))) a second")
            }
        }

        @Test func connectionsThatSayLittleOrNothingChangeNothing() async throws {
            try await with { place in
                let closed = try await place.count("slow_head")
                try await withstands(place) {
                    try HTTPStranger.together(1) {
                        // A thousand that are silent, or shut their sending side, or stop in the middle.
                        var held: [HTTPStranger] = []
                        for number in 0..<1_000 {
                            guard let stranger = HTTPStranger(place.port) else { continue }
                            switch number % 4 {
                            case 0: break
                            case 1: stranger.send("GET /v1/models HTTP/1.1\r\nHost: a\r\nX-")
                            case 2: stranger.shut()
                            default:
                                stranger.send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
                            }
                            held.append(stranger)
                        }
                        // Heads and bodies that come byte by byte.
                        for _ in 0..<12 {
                            for stranger in held { stranger.send("a") }
                            Thread.sleep(forTimeInterval: 1)
                        }
                    }
                }
                #expect(try await place.count("slow_head") > closed)
            }
        }

        @Test func handshakesThatNeverEndChangeNothing() async throws {
            let fixtures = Package.file("Tests/GatewayTests/Fixtures/tls")
            let folder = try TemporaryFolder()
            let key = folder.file("server.key").path
            try FileManager.default.copyItem(atPath: fixtures + "/server.key", toPath: key)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
            // Clients here know no other authorities than the system's, so the one that is served asks at the operators'.
            try await with(["--tls-certificate", fixtures + "/server.pem", "--tls-key", key]) { place in
                let pid = place.cluster.coordinator.pid
                try await #require(place.operators.get("/health/live").status == 200)
                let before = try memory(pid, "VmRSS")
                let held = (0..<1_000).compactMap { number -> HTTPStranger? in
                    guard let stranger = HTTPStranger(place.port) else { return nil }
                    switch number % 3 {
                    case 0: break
                    case 1: stranger.send("\u{16}\u{3}\u{1}\u{2}")
                    default: stranger.send("GET / HTTP/1.1\r\n\r\n")
                    }
                    return stranger
                }
                #expect(try await place.operators.get("/health/live").status == 200)
                #expect(try memory(pid, "VmRSS") - before < Self.mostMemory)
                #expect(try await place.count("tls_handshake") > 0)
                try await within(.seconds(30), "the end of the handshakes") {
                    while try await place.count("slow_tls_handshake") == 0 {
                        try await Task.sleep(for: .milliseconds(100))
                    }
                }
                withExtendedLifetime(held) {}
            }
            withExtendedLifetime(folder) {}
        }
    }
}

private final class Flag: Sendable {
    let isSet = Atomic(false)
}

/// A connection of somebody who means no good. Closed with the object.
final class HTTPStranger: Sendable {
    private let descriptor: Int32

    /// nil: there was no connection to be had.
    init?(_ port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        guard status == 0 else { return nil }
    }

    deinit { close(descriptor) }

    /// Sends what can be sent; who was cut off sends nothing.
    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    func shut() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Reads until `count` answers have begun that say 401.
    private func refusals(_ count: Int) throws {
        let mark = Array("HTTP/1.1 401".utf8)
        var found = 0
        var matched = 0
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while found < count {
            let read = recv(descriptor, &bytes, bytes.count, 0)
            guard read > 0 else { throw POSIXError(.ECONNRESET) }
            for byte in bytes[..<read] {
                matched = byte == mark[matched] ? matched + 1 : byte == mark[0] ? 1 : 0
                guard matched == mark.count else { continue }
                found += 1
                matched = 0
            }
        }
    }

    /// Asks so many times with a wrong key, as fast as there are answers.
    static func ask(_ port: UInt16, times: Int) throws {
        guard let stranger = HTTPStranger(port) else { throw POSIXError(.ECONNREFUSED) }
        let body = #"{"model": "m", "prompt": "x"}"#
        var asked = 0
        while asked < times {
            let some = min(25, times - asked)
            let text = (0..<some).map { number in
                let digits = String(repeating: "0123456789abcdef", count: 4)
                return "POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wk_0123456789ab_\(digits)\r\n"
                    + "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            }.joined()
            stranger.send(text)
            try stranger.refusals(some)
            asked += some
        }
    }

    /// Has several do it, each on a thread of its own.
    static func together(_ count: Int, _ body: @escaping @Sendable () throws -> Void) throws {
        let group = DispatchGroup()
        let problem = Mutex<(any Error)?>(nil)
        for _ in 0..<count {
            group.enter()
            Thread.detachNewThread {
                do { try body() } catch { problem.withLock { $0 = error } }
                group.leave()
            }
        }
        group.wait()
        if let error = problem.withLock({ $0 }) { throw error }
    }
}
