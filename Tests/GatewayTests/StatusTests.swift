// The status page, the snapshot and the stream of snapshots, over a real socket.

import AsyncHTTPClient
import Coordinator
import Foundation
import Gateway
import NIOCore
import NIOHTTP1
import Testing

@Suite("Status", .timeLimit(.minutes(1)))
struct StatusTests {
    private static func status(_ sequence: UInt64) -> FleetStatus {
        var status = FleetStatus()
        status.sequence = sequence
        status.model = "scripted"
        status.pipelines = [FleetStatus.Pipeline(name: "main")]
        return status
    }

    @Test("The snapshot is the coordinator's, with the release")
    func snapshot() async throws {
        let service = try ScriptedService()
        service.set(Self.status(7))
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.get("/status")
            #expect(reply.status == 200 && reply.headers["cache-control"] == "no-store")
            #expect(reply.headers["content-type"] == "application/json")
            var expected = Self.status(7)
            expected.release = "unknown"
            #expect(try FleetStatus(json: Data(reply.text.utf8)) == expected)
            #expect(try await gateway.get("/status", head: true).text.isEmpty)
            #expect(try await gateway.post("/status", "{}").status == 405)
        }
    }

    @Test("A stream tells every new snapshot, and an old one once")
    func stream() async throws {
        let service = try ScriptedService()
        service.set(Self.status(1))
        try await TestGateway.with(service, limits: GatewayLimits(silenceTime: .milliseconds(100))) { gateway in
            let response = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: "http://127.0.0.1:\(gateway.port)/status/stream"), timeout: .seconds(30))
            #expect(response.headers.first(name: "content-type") == "text/event-stream")
            var text = ""
            var told: [UInt64] = []
            for try await piece in response.body {
                text += String(buffer: piece)
                guard text.hasSuffix("\n\n") else { continue }
                // A comment comes once the first has been told and nothing is new.
                let comments = Reply.comments(text).count
                told = try Reply.events(text).map { try FleetStatus(json: Data($0.utf8)).sequence }
                if told == [1], comments > 0 { service.set(Self.status(2)) }
                if told == [1, 2] { break }
            }
            #expect(told == [1, 2])
        }
    }

    @Test("Only so many may look on; who has left makes room, and a shutdown waits for none")
    func bounds() async throws {
        let service = try ScriptedService()
        service.set(Self.status(1))
        try await TestGateway.with(service, limits: GatewayLimits(silenceTime: .milliseconds(100))) { gateway in
            // The shared client opens eight connections to a server.
            var configuration = HTTPClient.Configuration()
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 100
            let client = HTTPClient(configuration: configuration)
            func open() async throws -> HTTPClientResponse {
                try await client.execute(
                    HTTPClientRequest(url: "http://127.0.0.1:\(gateway.port)/status/stream"), timeout: .seconds(30))
            }
            var streams: [HTTPClientResponse] = []
            for _ in 0..<16 { streams.append(try await open()) }
            #expect(streams.allSatisfy { $0.status == .ok })
            let refused = try await open()
            #expect(refused.status == .serviceUnavailable && refused.headers.first(name: "retry-after") == "5")
            #expect(try await gateway.get("/status").status == 200)
            // The gateway finds out by writing.
            streams.removeLast()
            var next = try await open()
            while next.status != .ok { next = try await open() }
            streams.append(next)
            let start = ContinuousClock.now
            await gateway.shutDown()
            try await gateway.ended()
            #expect(start.duration(to: .now) < .seconds(8))
            streams = []
            try await client.shutdown()
        }
    }

    @Test(
        "The page's files are all here, under a strict policy",
        arguments: [
            ("/", "text/html"), ("/status/page.css", "text/css"), ("/status/page.js", "text/javascript"),
            ("/status/picture.js", "text/javascript"), ("/status/charts.js", "text/javascript"),
            ("/status/icon.svg", "image/svg+xml"),
        ])
    func files(path: String, type: String) async throws {
        try await TestGateway.with(try ScriptedService()) { gateway in
            let reply = try await gateway.get(path)
            #expect(reply.status == 200 && reply.headers["content-type"]?.hasPrefix(type) == true)
            let policy = try #require(reply.headers["content-security-policy"])
            #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self'"))
            #expect(!policy.contains("unsafe") && !policy.contains("http"))
            #expect(reply.headers["x-content-type-options"] == "nosniff")
            // Nothing of it is taken from elsewhere, and nothing stands in it that the policy forbids.
            let text = reply.text.replacing("http://www.w3.org/2000/svg", with: "")
            for word in ["http:", "https:", "//cdn", "innerHTML", " style=", "onclick=", "eval("] {
                #expect(!text.contains(word), "\(word)")
            }
            for name in text.matches(of: /(?:src|href)="([^"#]+)"/).map({ String($0.1) }) {
                #expect(try await gateway.get("/" + name).status == 200, "\(name)")
            }
        }
    }
}
