// The HTTP client: one request to one response, with every way it can go wrong named.

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import OutsideText

/// An OpenAI-compatible server, over HTTP/1.1 with a connection per open stream.
public struct OpenAIClient: LoadTarget {
    /// The server's address without a trailing slash or `/v1`.
    public let address: String
    private let client: HTTPClient
    private let apiKey: String?

    /// Bodies of error responses and model lists are read up to this many bytes.
    private static let bodyLimit = 1 << 20

    /// Opens a client for the time of the closure.
    ///
    /// - Parameters:
    ///   - address: `http://host:port`, with or without a trailing `/v1`.
    ///   - apiKey: sent as a bearer token.
    ///   - connectionLimit: the most connections that are open at a time.
    ///   - connectTimeout: how long a connection may take to come up.
    ///   - trust: whose certificates are taken.
    /// - Throws: a usage error for a bad address or certificate file; whatever the closure throws.
    public static func withClient<Result: Sendable>(
        address: String, apiKey: String? = nil, connectionLimit: Int, connectTimeout: Duration = .seconds(10),
        trust: ServerTrust = ServerTrust(),
        _ body: @Sendable (OpenAIClient) async throws -> Result
    ) async throws -> Result {
        let base = try normalized(address)
        var configuration = HTTPClient.Configuration()
        // The default pool of 8 would hold requests back in the client: a closed loop in disguise.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connectionLimit
        // A refused connection is an answer, not something to try again behind the measurement's back.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .nanoseconds(Int64(connectTimeout.seconds * 1e9))
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.tlsConfiguration = try trust.configuration()
        return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
            try await body(OpenAIClient(address: base, client: client, apiKey: apiKey))
        }
    }

    private static func normalized(_ address: String) throws(LoadGeneratorError) -> String {
        var base = Substring(address)
        while base.hasSuffix("/") { base = base.dropLast() }
        if base.hasSuffix("/v1") { base = base.dropLast(3) }
        guard let url = URL(string: String(base)), let scheme = url.scheme, ["http", "https"].contains(scheme),
            let host = url.host, !host.isEmpty
        else {
            throw LoadGeneratorError(.usage, "target '\(address)'", "not an address such as http://127.0.0.1:8080")
        }
        return String(base)
    }

    /// The first model the server lists.
    ///
    /// - Throws: an unreachable error when there is no connection, no list, or no model in it.
    public func firstModel(timeout: Duration = .seconds(10)) async throws(LoadGeneratorError) -> String {
        struct ModelList: Decodable {
            struct Model: Decodable { var id: String }
            var data: [Model]
        }
        let url = address + "/v1/models"
        let body: ByteBuffer
        let status: UInt
        do {
            let deadline = NIODeadline.now() + .nanoseconds(Int64(timeout.seconds * 1e9))
            let response = try await client.execute(head(of: url, method: .GET), deadline: deadline)
            status = response.status.code
            body = try await response.body.collect(upTo: Self.bodyLimit)
        } catch {
            throw LoadGeneratorError(.unreachable, address, ConnectionProblem.text(of: error))
        }
        guard status == 200 else {
            throw LoadGeneratorError(
                .unreachable, url, "answered with status \(status) instead of a model list: name the model yourself")
        }
        guard let list = try? JSONDecoder().decode(ModelList.self, from: Data(body.readableBytesView)),
            let model = list.data.first
        else {
            throw LoadGeneratorError(.unreachable, url, "lists no model: name the model yourself")
        }
        return model.id
    }

    /// Asks for anything at all: whatever the server answers, it is there.
    ///
    /// - Throws: an unreachable error when there is no connection.
    public func checkConnection(timeout: Duration = .seconds(10)) async throws(LoadGeneratorError) {
        do {
            let deadline = NIODeadline.now() + .nanoseconds(Int64(timeout.seconds * 1e9))
            _ = try await client.execute(head(of: address + "/v1/models", method: .GET), deadline: deadline)
        } catch {
            throw LoadGeneratorError(.unreachable, address, ConnectionProblem.text(of: error))
        }
    }

    /// Sends a request and reads the event stream of its answer. See ``LoadTarget``.
    public func send(
        _ request: PreparedRequest, timeout: Duration,
        onFirstToken: @escaping @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response {
        let deadline = ContinuousClock.now + timeout
        return await withTaskGroup(of: Response?.self) { race in
            race.addTask { await exchange(request, onFirstToken: onFirstToken) }
            race.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)
                return nil
            }
            // The timer gives nil; then the exchange is cancelled, and says how far it had come.
            var timedOut = false
            while let finished = await race.next() {
                race.cancelAll()
                guard var response = finished else {
                    timedOut = !Task.isCancelled
                    continue
                }
                if timedOut, response.outcome == .interrupted {
                    response.outcome = .failed(.timeout, detail: "not finished after \(timeout.shortText)")
                }
                return response
            }
            return Response(outcome: .interrupted, end: .now)
        }
    }

    func head(of url: String, method: HTTPMethod) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.method = method
        if let apiKey { request.headers.add(name: "Authorization", value: "Bearer \(apiKey)") }
        return request
    }

    private func exchange(
        _ request: PreparedRequest, onFirstToken: @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response {
        var stream = CompletionStream()
        var failure: (kind: FailureKind, detail: String)?
        var retryAfter: Duration?
        do {
            var message = head(of: address + request.endpoint, method: .POST)
            message.headers.add(name: "Content-Type", value: "application/json")
            message.headers.add(name: "Accept", value: "text/event-stream")
            message.body = .bytes(ByteBuffer(bytes: request.body))
            let response = try await client.execute(message, deadline: .distantFuture)
            if response.status == .ok {
                failure = await Self.read(response.body, into: &stream, onFirstToken: onFirstToken)
            } else {
                retryAfter = RetryAfter.delay(
                    seconds: response.headers.first(name: "Retry-After"),
                    milliseconds: response.headers.first(name: "Retry-After-Ms"))
                let body = try? await response.body.collect(upTo: Self.bodyLimit)
                failure = Self.refusal(status: response.status.code, body: body ?? ByteBuffer())
            }
        } catch {
            failure = (.connection, ConnectionProblem.text(of: error))
        }
        let outcome: Outcome
        if let failure = stream.failure ?? failure {
            outcome = Task.isCancelled ? .interrupted : .failed(failure.kind, detail: failure.detail)
        } else {
            outcome = .completed
        }
        return Response(
            outcome: outcome, firstToken: stream.firstToken, end: stream.end ?? .now, tokens: stream.tokens,
            firstTokens: stream.firstTokens, text: stream.text, promptTokens: stream.promptTokens,
            report: stream.report, retryAfter: retryAfter)
    }

    /// Reads to `[DONE]` and on to the end of the body, so that the connection can be used again.
    private static func read(
        _ body: HTTPClientResponse.Body, into stream: inout CompletionStream,
        onFirstToken: @Sendable (ContinuousClock.Instant) -> Void
    ) async -> (kind: FailureKind, detail: String)? {
        do {
            for try await part in body {
                let now = ContinuousClock.now
                let hadToken = stream.firstToken != nil
                stream.receive(part.readableBytesView, at: now)
                if !hadToken, stream.firstToken != nil { onFirstToken(now) }
                // Leaving the loop closes the connection: nothing more is wanted from this server.
                if stream.failure != nil { break }
            }
        } catch  where stream.isDone {
            return nil
        } catch {
            return (.brokenStream, "the connection broke: \(ConnectionProblem.text(of: error))")
        }
        stream.finish()
        return nil
    }

    private static func refusal(status: UInt, body: ByteBuffer) -> (kind: FailureKind, detail: String) {
        struct Problem: Decodable {
            struct Detail: Decodable { var message: String }
            var error: Detail
        }
        let problem = try? JSONDecoder().decode(Problem.self, from: Data(body.readableBytesView))
        let said = problem?.error.message ?? String(decoding: body.readableBytesView.prefix(400), as: UTF8.self)
        let text = said.shown(upTo: 200)
        let detail = text.isEmpty ? "status \(status)" : "status \(status): \(text)"
        return ([429, 503, 529].contains(status) ? .refused : .httpError, detail)
    }
}

extension OpenAIClient {
    /// What the server counts about itself (`GET /metrics`); nil when it has no such page.
    ///
    /// A server that does not answer soon is measured without.
    public func counters() async -> ServerCounters? {
        let request = head(of: address + "/metrics", method: .GET)
        guard let (status, body) = try? await exchange(request, within: .seconds(5)), status == 200 else { return nil }
        return ServerCounters(text: String(decoding: body.readableBytesView, as: UTF8.self))
    }

    /// A counter of tokens by the server's own tokenizer; nil when the server has no endpoint for it.
    public func tokenCounter(model: String) async -> (any TokenCounter)? {
        for dialect in ServerTokenCounter.Dialect.allCases {
            var counter = ServerTokenCounter(client: self, model: model, dialect: dialect)
            guard let answer = try? await counter.ask("one two three") else { continue }
            counter.contextTokens = answer.contextTokens.flatMap { $0 > 0 ? $0 : nil }
            return counter
        }
        return nil
    }

    /// One small request outside of any measurement.
    func exchange(
        _ request: HTTPClientRequest, within timeout: TimeAmount = .seconds(30)
    ) async throws -> (status: UInt, body: ByteBuffer) {
        let response = try await client.execute(request, deadline: .now() + timeout)
        return (response.status.code, try await response.body.collect(upTo: 64 << 20))
    }
}
