// Which web pages may use the gateway, and what is told to a browser that asks.

import Coordinator
import Gateway
import NIOHTTP1
import Testing

@Suite("Web pages", .timeLimit(.minutes(1)))
struct CORSTests {
    private static let body = #"{"model": "scripted", "prompt": "x"}"#
    private static let preflight: HTTPHeaders = [
        "origin": "https://app.example", "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    ]

    @Test("Unless they are named, no page gets a word")
    func off() async throws {
        try await TestGateway.with(try ScriptedService { $0.finish() }) { gateway in
            let asked = try await gateway.send(.OPTIONS, "/v1/completions", headers: Self.preflight)
            #expect(asked.status == 405)
            let reply = try await gateway.send(
                .POST, "/v1/completions",
                headers: ["origin": "https://app.example", "content-type": "application/json"], body: Self.body)
            #expect(reply.status == 200)
            for answer in [asked, reply] {
                #expect(!answer.headers.keys.contains { $0.hasPrefix("access-control") })
            }
        }
    }

    @Test("A named origin is answered, another is not", arguments: [["https://app.example"], ["*"]])
    func named(origins: [String]) async throws {
        let cors = try CORSPolicy(allowing: origins)
        try await TestGateway.with(try ScriptedService { $0.finish() }, cors: cors) { gateway in
            let asked = try await gateway.send(.OPTIONS, "/v1/completions", headers: Self.preflight)
            #expect(asked.status == 204)
            #expect(asked.headers["access-control-allow-origin"] == "https://app.example")
            #expect(asked.headers["access-control-allow-methods"] == "GET, HEAD, POST")
            #expect(asked.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os")
            for stream in [false, true] {
                let reply = try await gateway.send(
                    .POST, "/v1/completions",
                    headers: ["origin": "https://app.example", "content-type": "application/json"],
                    body: #"{"model": "scripted", "prompt": "x", "stream": \#(stream)}"#)
                #expect(reply.status == 200)
                #expect(reply.headers["access-control-allow-origin"] == "https://app.example")
                #expect(reply.headers["access-control-expose-headers"]?.contains("x-request-id") == true)
            }
            // A page must be able to read why it was refused.
            let refused = try await gateway.send(
                .POST, "/v1/completions",
                headers: ["origin": "https://app.example", "content-type": "application/json"], body: "{")
            #expect(refused.status == 400)
            #expect(refused.headers["access-control-allow-origin"] == "https://app.example")
            guard origins != ["*"] else { return }
            for origin in ["https://evil.example", "http://app.example", "https://app.example:8443", "null"] {
                var headers = Self.preflight
                headers.replaceOrAdd(name: "origin", value: origin)
                let other = try await gateway.send(.OPTIONS, "/v1/completions", headers: headers)
                #expect(other.status == 405)
                #expect(other.headers["access-control-allow-origin"] == nil)
                #expect(other.headers["vary"] == "Origin")
            }
        }
    }

    @Test("A page that takes this server for its own under a foreign name is refused on loopback")
    func rebinding() async throws {
        func status(host: String, origin: String, cors: CORSPolicy = .none) async throws -> String {
            var answer = ""
            try await TestGateway.with(try ScriptedService { $0.finish() }, cors: cors) { gateway in
                try await RawConnection.with(port: gateway.port) { connection in
                    try await connection.send(
                        "POST /v1/completions HTTP/1.1\r\nHost: \(host)\r\nOrigin: \(origin)\r\nConnection: close\r\n"
                            + "Content-Type: application/json\r\nContent-Length: \(Self.body.utf8.count)\r\n\r\n\(Self.body)"
                    )
                    answer = String(try await connection.receive().dropFirst("HTTP/1.1 ".count).prefix(3))
                }
            }
            return answer
        }
        #expect(try await status(host: "evil.example:8080", origin: "http://evil.example:8080") == "403")
        #expect(try await status(host: "127.0.0.1.evil.example", origin: "http://127.0.0.1.evil.example") == "403")
        for host in ["localhost:3000", "127.0.0.1:8080", "[::1]:8080", "app.localhost"] {
            #expect(try await status(host: host, origin: "http://\(host)") == "200", "\(host)")
        }
        let named = try CORSPolicy(allowing: ["https://ui.example"])
        #expect(try await status(host: "ui.example", origin: "https://ui.example", cors: named) == "200")
    }

    @Test(
        "What is no origin is refused",
        arguments: ["app.example", "https://", "https://a/b", "https://a b", "", "://a"])
    func noOrigin(text: String) {
        #expect(throws: CORSPolicy.OriginError(origin: text)) { try CORSPolicy(allowing: [text]) }
    }
}
