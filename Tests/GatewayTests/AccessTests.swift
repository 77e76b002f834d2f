// Who is answered, on real sockets.

import Coordinator
import Foundation
import Gateway
import InMemoryLogging
import Logging
import NIOHTTP1
import Testing

@Suite("Access with keys", .timeLimit(.minutes(1)))
struct AccessTests {
    private static let body = #"{"model": "scripted", "prompt": "x"}"#

    /// The keys of a test, in a file.
    private struct Keys {
        var list = APIKeyList()
        let path: String
        let client: String
        let watcher: String
        let expired: String

        init(in folder: String, _ limits: APIKeyList.Limits = .init()) throws {
            path = folder + "/keys"
            client = try list.add("alice", limits)
            watcher = try list.add("grafana", .init(isOperator: true))
            expired = try list.add("old", .init(expiry: 1_000_000_000))
            try list.write(to: path)
        }
    }

    private func with(
        _ limits: APIKeyList.Limits = .init(), hasAdmin: Bool = false, cors: CORSPolicy = .none,
        logger: Logger = .silent,
        _ body: (TestGateway, Keys, GatewaySecurity) async throws -> Void
    ) async throws {
        try await Scratch.with { folder in
            let keys = try Keys(in: folder, limits)
            let security = GatewaySecurity(keys: try APIKeyFile(path: keys.path), tls: nil)
            let service = try ScriptedService { hand in
                hand.say("late")
                hand.finish()
            }
            try await TestGateway.with(
                service, cors: cors, security: security, hasAdmin: hasAdmin, logger: logger
            ) { try await body($0, keys, security) }
        }
    }

    private func complete(_ gateway: TestGateway, _ authorization: String?) async throws -> Reply {
        var headers: HTTPHeaders = ["content-type": "application/json"]
        if let authorization { headers.add(name: "authorization", value: authorization) }
        return try await gateway.send(.POST, "/v1/completions", headers: headers, body: Self.body)
    }

    @Test("A key opens the API; without one, or with another, there is 401 in OpenAI's form")
    func unauthorized() async throws {
        try await with { (gateway, keys, _) async throws in
            #expect(try await complete(gateway, "Bearer \(keys.client)").status == 200)
            #expect(try await complete(gateway, "bearer  \(keys.client)").status == 200)
            let forged = keys.client.dropLast() + (keys.client.hasSuffix("0") ? "1" : "0")
            let encoded = Data("x:\(keys.client)".utf8).base64EncodedString()
            let wrong = [
                nil, "", "Bearer", "Bearer ", keys.client, "Bearer \(forged)", "Bearer \(keys.client)x",
                "Bearer \(keys.expired)", "Basic \(encoded)", "Bearer \(String(repeating: "x", count: 20_000))",
                "Bearer wk_\(String(repeating: "é", count: 38))x",
            ]
            for authorization in wrong {
                let reply = try await complete(gateway, authorization)
                #expect(reply.status == 401, "\(authorization ?? "nothing")")
                #expect(reply.headers["www-authenticate"] == #"Bearer realm="winnow""#)
                let error = try reply.json["error"]
                #expect(error?["code"] == .string("invalid_api_key"))
                #expect(error?["type"] == .string("invalid_request_error"))
            }
        }
    }

    @Test("Nothing but health is open, whatever the path looks like")
    func paths() async throws {
        try await with { (gateway, keys, _) async throws in
            for path in ["/health", "/health/live", "/health/ready", "//health/live"] {
                #expect(try await gateway.get(path).status == 200)
            }
            let closed = [
                "/v1/models", "/models", "//v1//models", "/v1/models/scripted", "/metrics", "/status", "/status/stream",
                "/",
                "/status/page.js", "/nothing", "/health/../v1/models", "/health/live/x", "/%6detrics", "/tokenize",
            ]
            for path in closed {
                for isHead in [false, true] {
                    #expect(try await gateway.get(path, head: isHead).status == 401, "\(path)")
                }
            }
            for path in ["/metrics", "/status", "/", "/status/page.js"] {
                #expect(try await gateway.get(path, key: keys.client).status == 403)
                #expect(try await gateway.get(path, key: keys.watcher).status == 200)
                // What a browser sends once it has asked its user.
                let encoded = Data("anybody:\(keys.watcher)".utf8).base64EncodedString()
                #expect(
                    try await gateway.send(.GET, path, headers: ["authorization": "Basic \(encoded)"]).status == 200)
            }
            #expect(try await gateway.get("/status").headers["www-authenticate"]?.contains("Basic") == true)
            #expect(try await gateway.get("/v1/models", key: keys.watcher).status == 200)
            #expect(try await gateway.get("/nothing", key: keys.client).status == 404)
        }
    }

    @Test("Names of workers are told to operators alone")
    func readiness() async throws {
        try await with { (gateway, keys, _) async throws in
            gateway.service.set(.notReady(reason: "worker-7 is away"))
            for key in [nil, keys.client] {
                let reply = try await gateway.get("/health/ready", key: key)
                #expect(reply.status == 503 && !reply.text.contains("worker-7"))
            }
            #expect(try await gateway.get("/health/ready", key: keys.watcher).text.contains("worker-7"))
        }
    }

    @Test("A browser asks without a key what it may ask")
    func preflight() async throws {
        let cors = try CORSPolicy(allowing: ["https://app.example.com"])
        try await with(cors: cors) { (gateway, _, _) async throws in
            let reply = try await gateway.send(
                .OPTIONS, "/v1/completions",
                headers: ["origin": "https://app.example.com", "access-control-request-method": "POST"])
            #expect(reply.status == 204)
        }
    }

    @Test("A page may read why it was refused, a page of another origin may not")
    func pages() async throws {
        let cors = try CORSPolicy(allowing: ["https://app.example.com"])
        try await with(cors: cors) { (gateway, keys, _) async throws in
            func headers(_ origin: String, _ key: String?) -> HTTPHeaders {
                var headers: HTTPHeaders = ["origin": origin, "content-type": "application/json"]
                if let key { headers.add(name: "authorization", value: "Bearer \(key)") }
                return headers
            }
            // Refused with its connection kept, for want of an operator's key, and with a body too long to be read.
            let requests: [(HTTPMethod, String, String?, String?, Int)] = [
                (.POST, "/v1/completions", nil, Self.body, 401),
                (.POST, "/v1/completions", keys.expired, Self.body, 401),
                (.GET, "/v1/models", "x", nil, 401), (.HEAD, "/v1/models", "x", nil, 401),
                (.GET, "/status", keys.client, nil, 403),
                (.POST, "/v1/completions", nil, String(repeating: " ", count: 100_000), 401),
            ]
            for (method, path, key, body, status) in requests {
                let reply = try await gateway.send(
                    method, path, headers: headers("https://app.example.com", key), body: body)
                #expect(reply.status == status)
                #expect(reply.headers["access-control-allow-origin"] == "https://app.example.com", "\(method) \(path)")
                #expect(reply.headers["access-control-expose-headers"]?.contains("x-request-id") == true)
                let other = try await gateway.send(
                    method, path, headers: headers("https://evil.example", key), body: body)
                #expect(other.status == status)
                #expect(!other.headers.keys.contains { $0.hasPrefix("access-control") })
                #expect(other.headers["vary"] == "Origin")
            }
            // The next request on a connection is perhaps another page's.
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send(
                    "GET /v1/models HTTP/1.1\r\nHost: test\r\nOrigin: https://app.example.com\r\n\r\n"
                        + "GET /v1/models HTTP/9.9\r\n\r\n")
                let answers = try await connection.receive().components(separatedBy: "HTTP/1.1 ").dropFirst()
                #expect(answers.map { $0.contains("access-control-allow-origin") } == [true, false])
            }
        }
    }

    @Test("A refused request keeps its connection, unless its body is long or of unknown length")
    func connections() async throws {
        try await with { (gateway, keys, _) async throws in
            try await RawConnection.with(port: gateway.port) { connection in
                for _ in 0..<3 {
                    try await connection.post("/v1/completions", Self.body, headers: "Authorization: Bearer x\r\n")
                    let answer = try await connection.receive(until: "}}")
                    #expect(answer.hasPrefix("HTTP/1.1 401") && !answer.lowercased().contains("connection: close"))
                }
                try await connection.send("HEAD /v1/models HTTP/1.1\r\nHost: test\r\n\r\n")
                #expect(try await connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 401"))
                // Sent ahead, a good one behind a bad one.
                let good = "GET /v1/models HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer \(keys.client)\r\n"
                try await connection.send(
                    "GET /v1/models HTTP/1.1\r\nHost: test\r\n\r\n" + good + "Connection: close\r\n\r\n")
                let answers = try await connection.receive()
                #expect(answers.hasPrefix("HTTP/1.1 401") && answers.contains("HTTP/1.1 200"))
            }
            for head in [
                "Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 5\r\nExpect: 100-continue",
            ] {
                try await RawConnection.with(port: gateway.port) { connection in
                    try await connection.send("POST /v1/completions HTTP/1.1\r\nHost: test\r\n\(head)\r\n\r\n")
                    let answer = try await connection.receive()
                    #expect(answer.hasPrefix("HTTP/1.1 401") && answer.contains("connection: close"), "\(answer)")
                }
            }
        }
    }

    @Test("Revoked and made keys count at once")
    func reload() async throws {
        try await with { (gateway, keys, security) async throws in
            var list = keys.list
            let bob = try list.add("bob", .init())
            #expect(try await gateway.get("/v1/models", key: bob).status == 401)
            #expect(list.revoke("alice") == 1)
            try list.write(to: keys.path)
            security.reload(isAsked: false, .silent)
            #expect(try await gateway.get("/v1/models", key: bob).status == 200)
            #expect(try await gateway.get("/v1/models", key: keys.client).status == 401)
        }
    }

    @Test("A key that has used up what it may gets 429 and a time to come again")
    func limits() async throws {
        try await with(.init(requestsPerMinute: 2)) { (gateway, keys, _) async throws in
            for _ in 0..<2 { #expect(try await gateway.get("/v1/models", key: keys.client).status == 200) }
            let reply = try await gateway.get("/v1/models", key: keys.client)
            #expect(reply.status == 429)
            #expect(reply.headers["retry-after"].flatMap(Int.init).map { (1...30).contains($0) } == true)
            #expect(try reply.json["error"]?["code"] == .string("rate_limit_exceeded"))
            #expect(try await gateway.get("/v1/models", key: keys.watcher).status == 200)
            let metrics = try await gateway.get("/metrics", key: keys.watcher).text
            #expect(metrics.contains(#"winnow_http_refused_total{reason="rate_limit"} 1"#))
        }
        try await with(.init(tokensPerMinute: 1)) { (gateway, keys, _) async throws in
            #expect(try await complete(gateway, "Bearer \(keys.client)").status == 200)
            #expect(try await complete(gateway, "Bearer \(keys.client)").status == 429)
        }
    }

    @Test("As many requests of a key as it may have are answered at a time")
    func concurrency() async throws {
        try await Scratch.with { folder in
            let keys = try Keys(in: folder, .init(concurrentRequests: 1))
            let security = GatewaySecurity(keys: try APIKeyFile(path: keys.path), tls: nil)
            let service = try ScriptedService()
            try await TestGateway.with(service, security: security) { gateway in
                async let first = complete(gateway, "Bearer \(keys.client)")
                let hand = try #require(await service.submissions.first())
                let second = try await complete(gateway, "Bearer \(keys.client)")
                #expect(second.status == 429 && second.headers["retry-after"] == "1")
                hand.finish()
                #expect(try await first.status == 200)
                async let third = complete(gateway, "Bearer \(keys.client)")
                try #require(await service.submissions.first()).finish()
                #expect(try await third.status == 200)
            }
        }
    }

    @Test("Log and metrics say whose request it was, and no key")
    func told() async throws {
        let lines = InMemoryLogHandler()
        let start = ContinuousClock.now
        try await with(logger: Logger(label: "test") { _ in lines }) { (gateway, keys, _) async throws in
            #expect(try await complete(gateway, "Bearer \(keys.client)").status == 200)
            for _ in 0..<50 { #expect(try await complete(gateway, "Bearer \(keys.client)x").status == 401) }
            let id = keys.list.entries[0].id
            let line = try #require(lines.entries.first { $0.message == "request" })
            #expect(line.metadata["key"]?.description == "alice")
            #expect(line.metadata["key_id"]?.description == id)
            // Counted, not logged each.
            let refused = lines.entries.filter { $0.message == "refused" }
            let seconds = Int(start.duration(to: .now) / .seconds(1))
            #expect((1...seconds + 2).contains(refused.count))
            #expect(refused.first?.metadata["reason"] == "wrong_key")
            #expect(lines.entries.allSatisfy { !"\($0)".contains(keys.client.suffix(64)) })
            let metrics = try await gateway.get("/metrics", key: keys.watcher).text
            #expect(metrics.contains(#"winnow_http_refused_total{reason="wrong_key"} 50"#))
            #expect(metrics.contains(#"winnow_key_requests_total{key="alice",key_id="\#(id)"} 1"#))
            #expect(!metrics.contains(keys.client.suffix(64)))
        }
    }

    @Test(
        "Operators have an address of their own: no key there, no API; the other one shows neither metrics nor status")
    func admin() async throws {
        try await with(hasAdmin: true) { (gateway, keys, _) async throws in
            let admin = try #require(gateway.adminPort)
            gateway.service.set(.notReady(reason: "worker-7 is away"))
            for path in ["/metrics", "/status", "/", "/health/live"] {
                #expect(try await gateway.get(path, port: admin).status == 200, "\(path)")
            }
            #expect(try await gateway.get("/health/ready", port: admin).text.contains("worker-7"))
            for path in ["/v1/models", "/v1/completions", "/nothing"] {
                #expect(try await gateway.get(path, key: keys.client, port: admin).status == 404, "\(path)")
            }
            for path in ["/metrics", "/status", "/status/stream", "/"] {
                #expect(try await gateway.get(path, key: keys.watcher).status == 404, "\(path)")
            }
            #expect(try await gateway.get("/health/live").status == 200)
            #expect(try await gateway.get("/health/ready", key: keys.watcher).text.contains("worker-7") == false)
            #expect(try await gateway.get("/v1/models", key: keys.client).status == 200)
        }
    }
}
