// What HTTP/1 itself demands of a server, seen byte by byte.

import Coordinator
import Foundation
import Gateway
import InMemoryLogging
import Logging
import NIOCore
import NIOHTTP1
import Testing

@Suite("HTTP rules", .timeLimit(.minutes(1)))
struct HTTPRulesTests {
    private static let type = "Content-Type: application/json\r\n"
    private static let body = #"{"model": "scripted", "prompt": "x"}"#
    private static let streamed = #"{"model": "scripted", "prompt": "x", "stream": true}"#

    private static func service() throws -> ScriptedService {
        try ScriptedService { submission in
            submission.prompt()
            submission.say("x")
            submission.finish()
        }
    }

    /// Everything the server answers to `request` until it closes.
    private func answer(_ request: String, limits: GatewayLimits = .init()) async throws -> String {
        var text = ""
        try await TestGateway.with(try Self.service(), limits: limits) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send(request)
                text = try await connection.receive()
            }
            #expect(try await gateway.get("/health/live").status == 200)
        }
        return text
    }

    @Test(
        "A head that is none gets a status, an error in JSON and an id, and the connection's end",
        arguments: [
            ("GET /health HTTP/1.1\r\n\r\n", 400, "no Host field"),
            ("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "2 Host fields"),
            ("GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "names no host"),
            ("GET /health HTTP/1.1\r\nHost: test\r\nbad field\r\n\r\n", 400, "not well-formed"),
            ("GET /health HTTP/1.1\r\nHost : test\r\n\r\n", 400, "not well-formed"),
            ("GET health HTTP/1.1\r\nHost: test\r\n\r\n", 400, "invalid_http"),
            ("FETCH /health HTTP/1.1\r\nHost: test\r\n\r\n", 400, "no method"),
            ("GET /health HTTP/2.0\r\nHost: test\r\n\r\n", 400, "HTTP/1.1"), ("GET /health\r\n\r\n", 400, "HTTP/1.1"),
            ("GET /\(String(repeating: "x", count: 9000)) HTTP/1.1\r\nHost: test\r\n\r\n", 414, "8192"),
            ("GET /health HTTP/1.1\r\nHost: test\r\nX: \(String(repeating: "x", count: 40_000))\r\n\r\n", 431, "32768"),
            (
                "GET /health HTTP/1.1\r\nHost: test\r\n\((0..<200).map { "X-\($0): y\r\n" }.joined())\r\n", 431,
                "100 fields"
            ),
            (
                "POST /tokenize HTTP/1.1\r\nHost: test\r\n\(type)Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                400, "invalid_http"
            ),
            ("POST /tokenize HTTP/1.0\r\n\(type)Transfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding"),
            ("POST /tokenize HTTP/1.1\r\nHost: test\r\n\(type)Content-Length: x\r\n\r\n", 400, "not well-formed"),
            (
                "POST /tokenize HTTP/1.1\r\nHost: test\r\n\(type)Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
                "not well-formed"
            ),
        ] as [(String, Int, String)])
    func malformed(request: String, status: Int, says: String) async throws {
        let answer = try await answer(request)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) ") || answer.hasPrefix("HTTP/1.0 \(status) "), "\(answer)")
        let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1)
        let head = try #require(parts.first).lowercased()
        for field in ["connection: close", "content-type: application/json", "x-request-id: req-", "date: "] {
            #expect(head.contains(field), "\(field) in \(head)")
        }
        let error = try JSON(String(try #require(parts.last)))["error"]
        #expect(error?["message"]?.string?.contains(says) == true || error?["code"] == .string(says), "\(answer)")
    }

    @Test("A target may name the whole address")
    func absoluteForm() async throws {
        let answer = try await answer(
            "GET http://other.example/health/live?x=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"), "\(answer)")
    }

    @Test("HTTP/1.0 gets its answer and the connection's end, without chunks", arguments: [body, streamed])
    func oldClose(body: String) async throws {
        let answer = try await answer(
            "POST /v1/completions HTTP/1.0\r\n\(Self.type)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        #expect(answer.hasPrefix("HTTP/1.0 200 OK\r\n"), "\(answer)")
        let head = answer.prefix { $0 != "{" }.lowercased()
        #expect(head.contains("connection: close") && !head.contains("transfer-encoding"), "\(answer)")
        #expect(answer.hasSuffix(body == Self.streamed ? "data: [DONE]\n\n" : "}"))
    }

    @Test("HTTP/1.0 that asks for it keeps its connection, unless a stream ends with it")
    func oldKeepAlive() async throws {
        try await TestGateway.with(try Self.service()) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                let head = "POST /v1/completions HTTP/1.0\r\nConnection: Keep-Alive\r\n\(Self.type)"
                for _ in 0..<3 {
                    try await connection.send(head + "Content-Length: \(Self.body.utf8.count)\r\n\r\n\(Self.body)")
                    let answer = try await connection.receive(until: "}")
                    #expect(answer.lowercased().contains("connection: keep-alive\r\n"), "\(answer)")
                    #expect(answer.lowercased().contains("content-length: "))
                }
                try await connection.send(head + "Content-Length: \(Self.streamed.utf8.count)\r\n\r\n\(Self.streamed)")
                let answer = try await connection.receive()
                #expect(answer.hasSuffix("data: [DONE]\n\n") && answer.lowercased().contains("connection: close"))
            }
        }
    }

    @Test("A client that asks for the end gets it, however it writes that", arguments: ["close", "Close", "x, close"])
    func close(value: String) async throws {
        let answer = try await answer("GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: \(value)\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.lowercased().contains("connection: close"), "\(answer)")
    }

    @Test("Requests sent ahead are answered in their order; what is none after them is refused last")
    func pipelined() async throws {
        let post =
            "POST /v1/completions HTTP/1.1\r\nHost: test\r\n\(Self.type)Content-Length: \(Self.body.utf8.count)\r\n\r\n\(Self.body)"
        let get = "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
        let answer = try await answer(post + get + post + get + "nonsense\r\n\r\n")
        let statuses = answer.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
        #expect(statuses == ["200", "200", "200", "200", "400"], "\(answer)")
    }

    @Test("A client that sends ahead and shuts its sending side gets all answers")
    func pipelinedHalfClose() async throws {
        try await TestGateway.with(try Self.service()) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                let get = "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
                try await connection.send(get + get + get)
                connection.finishSending()
                let answer = try await connection.receive()
                #expect(answer.components(separatedBy: "HTTP/1.1 200 OK").count == 4, "\(answer)")
            }
        }
    }

    @Test("A body that ends early is named")
    func shortBody() async throws {
        try await TestGateway.with(try Self.service()) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send(
                    "POST /tokenize HTTP/1.1\r\nHost: test\r\n\(Self.type)Content-Length: 50\r\n\r\n{")
                connection.finishSending()
                let answer = try await connection.receive()
                #expect(answer.hasPrefix("HTTP/1.1 400") && answer.contains("ended before"), "\(answer)")
            }
        }
    }

    @Test("A head that does not come in time is refused")
    func slowHead() async throws {
        let answer = try await answer("GET /health", limits: .init(headTime: .milliseconds(50)))
        #expect(answer.hasPrefix("HTTP/1.1 408") && answer.contains("request_timeout"), "\(answer)")
    }

    @Test("With every connection held by half a head, probes and requests are answered")
    func halfHeads() async throws {
        let limits = GatewayLimits(connections: 4, connectionsPerAddress: 4, reservedConnections: 2)
        try await TestGateway.with(try Self.service(), limits: limits) { gateway in
            func held(_ left: Int, _ body: @Sendable () async throws -> Void) async throws {
                guard left > 0 else { return try await body() }
                try await RawConnection.with(port: gateway.port) { connection in
                    try await connection.send("GET /health/live HTTP/1.1\r\nHos")
                    try await held(left - 1, body)
                }
            }
            try await held(20) { () async throws -> Void in
                for path in ["/health/live", "/health/ready", "/metrics", "/v1/models"] {
                    #expect(try await gateway.get(path).status == 200)
                }
                #expect(try await gateway.complete(Self.body).status == 200)
            }
        }
    }

    @Test("With every connection busy, requests are refused and probes answered")
    func busy() async throws {
        let service = try ScriptedService()
        let limits = GatewayLimits(connections: 2, connectionsPerAddress: 2, reservedConnections: 2)
        try await TestGateway.with(service, limits: limits) { gateway in
            async let first = gateway.complete(Self.body)
            async let second = gateway.complete(Self.body)
            var hands: [ScriptedService.Submission] = []
            for await hand in service.submissions {
                hands.append(hand)
                if hands.count == 2 { break }
            }
            let refused = try await gateway.complete(Self.body)
            #expect(refused.status == 503)
            #expect(refused.headers["retry-after"] == "1")
            #expect(try refused.json["error"]?["code"] == .string("overloaded"))
            #expect(try await gateway.get("/health/live").status == 200)
            #expect(try await gateway.get("/metrics").status == 200)
            for hand in hands { hand.finish() }
            #expect(try await [first.status, second.status] == [200, 200])
        }
    }

    @Test("Every answer has a request id: the client's, if it is sound")
    func ids() async throws {
        let lines = InMemoryLogHandler()
        try await TestGateway.with(try Self.service(), logger: Logger(label: "test") { _ in lines }) { gateway in
            let requests: [(path: String, body: String, status: Int)] = [
                ("/v1/completions", Self.body, 200), ("/v1/completions", Self.streamed, 200),
                ("/v1/completions", "{", 400), ("/nothing", "{}", 404), ("/v1/models", "{}", 405),
                ("/tokenize", #"{"prompt": "x"}"#, 200),
            ]
            for request in requests {
                for id in [nil, "trace-7/ä", "my id", String(repeating: "x", count: 129), "", "4711/a:b"] as [String?] {
                    let isSound = id == "4711/a:b"
                    var headers: HTTPHeaders = ["content-type": "application/json"]
                    if let id { headers.add(name: "x-request-id", value: id) }
                    let reply = try await gateway.send(.POST, request.path, headers: headers, body: request.body)
                    #expect(reply.status == request.status)
                    let answered = try #require(reply.headers["x-request-id"])
                    #expect(
                        isSound
                            ? answered == id : answered.hasPrefix(request.path == "/v1/completions" ? "cmpl-" : "req-"))
                    #expect(lines.entries.last?.metadata["request_id"]?.description == answered)
                }
            }
            #expect(try await gateway.get("/health/live").headers["x-request-id"]?.hasPrefix("req-") == true)
        }
    }

    @Test("The coordinator knows a request by the id that its client was told, and its choices apart")
    func oneName() async throws {
        let service = try Self.service()
        try await TestGateway.with(service) { gateway in
            let lone = try await gateway.complete(Self.body)
            #expect(await service.submissions.first()?.request.name == lone.headers["x-request-id"])
            #expect(try lone.json["id"]?.string == lone.headers["x-request-id"])

            let named = try await gateway.send(
                .POST, "/v1/completions", headers: ["content-type": "application/json", "x-request-id": "mine"],
                body: #"{"model": "scripted", "prompt": "x", "n": 2}"#)
            #expect(named.status == 200)
            #expect(await service.submissions.first()?.request.name == "mine#0")
            #expect(await service.submissions.first()?.request.name == "mine#1")
        }
    }

    @Test("Addresses that clients make up by habit are served; others are told what there is")
    func paths() async throws {
        try await TestGateway.with(try Self.service()) { gateway in
            for path in ["/v1/completions", "/completions", "/v1/completions/", "//v1/completions", "/v1//completions"]
            {
                #expect(try await gateway.post(path, Self.body).status == 200, "\(path)")
            }
            for path in [
                "/models", "/v1/models/", "//v1/models", "/models/scripted", "/health", "/health/", "/metrics/",
                "/v1/models?x=1",
            ] {
                #expect(try await gateway.get(path).status == 200, "\(path)")
            }
            let unknown = try await gateway.get("/v1/v1/models")
            #expect(unknown.status == 404 && unknown.text.contains("/v1/chat/completions"))
            gateway.service.set(.notReady(reason: "no worker"))
            #expect(try await gateway.get("/health").status == 503)
        }
    }

    @Test("A body needs a type, and no coding")
    func types() async throws {
        try await TestGateway.with(try Self.service()) { gateway in
            func status(_ headers: HTTPHeaders) async throws -> (Int, String) {
                let reply = try await gateway.send(.POST, "/v1/completions", headers: headers, body: Self.body)
                return (reply.status, reply.text)
            }
            #expect(try await status([:]).0 == 415)
            #expect(try await status([:]).1.contains("no Content-Type"))
            for type in [
                "text/plain", "application/jsonx", "text/plain;application/json", "application/x-www-form-urlencoded",
            ] {
                #expect(try await status(["content-type": type]).0 == 415, "\(type)")
            }
            for type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
                #expect(try await status(["content-type": type]).0 == 200, "\(type)")
            }
            let coded = try await status(["content-type": "application/json", "content-encoding": "gzip"])
            #expect(coded.0 == 415 && coded.1.contains("Content-Encoding is gzip"), "\(coded)")
            #expect(try await status(["content-type": "application/json", "content-encoding": "identity"]).0 == 200)
        }
    }
}
