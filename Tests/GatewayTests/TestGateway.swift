// A gateway on a real socket, and a client that talks to it.

import AsyncHTTPClient
import Coordinator
import Foundation
import Gateway
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization

/// What came back.
struct Reply: Sendable {
    var status: Int
    /// By lower-case name.
    var headers: [String: String]
    var text: String

    var json: JSON { get throws { try JSON(text) } }
    /// The data of each event of a stream.
    var events: [String] { Reply.events(text) }

    /// Comments are left out.
    static func events(_ text: String) -> [String] {
        text.components(separatedBy: "\n\n").filter { $0.hasPrefix("data: ") }.map {
            String($0.dropFirst("data: ".count))
        }
    }

    /// The comments of a stream.
    static func comments(_ text: String) -> [String] {
        text.components(separatedBy: "\n\n").filter { $0.hasPrefix(":") }
    }
}

/// A running gateway, as a client sees it.
struct TestGateway: Sendable {
    let service: ScriptedService
    let port: Int
    /// Of the operators' address, where there is one.
    var adminPort: Int?
    /// Lets running requests end, and takes no others.
    let drain: @Sendable () async -> Void
    /// Tells the gateway to end gracefully.
    let shutDown: @Sendable () async -> Void
    /// Comes back when the gateway has ended.
    let ended: @Sendable () async throws -> Void

    /// Runs a gateway in front of `service` for as long as `body` takes.
    static func with(
        _ service: ScriptedService, limits: GatewayLimits = .init(), cors: CORSPolicy = .none,
        security: GatewaySecurity = .open, hasAdmin: Bool = false, logger: Logger = .silent,
        _ body: (TestGateway) async throws -> Void
    ) async throws {
        let (bound, continuation) = AsyncStream<Int>.makeStream()
        let adminPort = Mutex<Int?>(nil)
        let gateway = Gateway(
            service: service, port: 0, limits: limits, cors: cors, security: security,
            admin: hasAdmin ? Gateway.Address(host: "127.0.0.1", port: 0) : nil, logger: logger,
            onBound: { continuation.yield($0) }, onAdminBound: { port in adminPort.withLock { $0 = port } })
        let group = ServiceGroup(configuration: .init(services: [gateway], logger: .silent))
        let running = Task {
            defer { continuation.finish() }
            try await group.run()
        }
        guard let port = await bound.first() else {
            // It never listened, or this test's time is over: then nobody else would end it.
            running.cancel()
            return try await running.value
        }
        let test = TestGateway(
            service: service, port: port, adminPort: adminPort.withLock { $0 },
            drain: { await gateway.drain() },
            shutDown: { await group.triggerGracefulShutdown() },
            ended: { try await running.value })
        do {
            try await body(test)
        } catch {
            running.cancel()
            throw error
        }
        await test.shutDown()
        try await running.value
    }

    /// A request with any method and fields.
    func send(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: String? = nil
    ) async throws -> Reply {
        try await send(method, path, headers: headers, bytes: body.map(ByteBuffer.init(string:)))
    }

    /// The same with a body that need not be text.
    func send(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders, bytes: ByteBuffer?
    ) async throws -> Reply {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = method
        request.headers = headers
        if let bytes { request.body = .bytes(bytes) }
        return try await reply(to: request)
    }

    func get(_ path: String, head: Bool = false, key: String? = nil, port: Int? = nil) async throws -> Reply {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port ?? self.port)\(path)")
        request.method = head ? .HEAD : .GET
        if let key { request.headers.add(name: "authorization", value: "Bearer \(key)") }
        return try await reply(to: request)
    }

    func post(_ path: String, _ body: String, type: String = "application/json") async throws -> Reply {
        try await reply(to: request(path, body, type: type))
    }

    func complete(_ body: String) async throws -> Reply { try await post("/v1/completions", body) }

    func chat(_ body: String) async throws -> Reply { try await post("/v1/chat/completions", body) }

    /// A response whose body is still coming.
    func open(_ path: String, _ body: String) async throws -> HTTPClientResponse {
        try await HTTPClient.shared.execute(request(path, body, type: "application/json"), timeout: .seconds(30))
    }

    private func request(_ path: String, _ body: String, type: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = .POST
        request.headers.add(name: "content-type", value: type)
        request.body = .bytes(ByteBuffer(string: body))
        return request
    }

    private func reply(to request: HTTPClientRequest) async throws -> Reply {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 24)
        return Reply(
            status: Int(response.status.code),
            headers: Dictionary(
                response.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { "\($0), \($1)" }),
            text: String(buffer: body))
    }
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}
