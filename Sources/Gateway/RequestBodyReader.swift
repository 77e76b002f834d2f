// Takes in a request's body within its bounds of size, time and memory.

import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import OutsideText

/// A body that has arrived, and its share of the memory for bodies, which it holds as long as it lives.
struct RequestBytes: Sendable {
    var data: Data
    var share: BodyBudget.Share
}

/// Reads bodies of JSON.
struct RequestBodyReader: Sendable {
    let limits: GatewayLimits
    /// The most bytes a body can have whose text fits the model's context.
    let usefulBytes: Int
    let budget: BodyBudget

    /// Refuses a body for what its head says of it, before a byte of it is read.
    func check(_ headers: HTTPFields, _ field: String, contextLength: Int) throws(APIError) {
        try checkType(headers[.contentType])
        try checkEncoding(headers[.contentEncoding])
        guard let length = headers[.contentLength].flatMap(Int.init) else { return }
        if length > limits.bodyBytes { throw tooLarge }
        if length > usefulBytes {
            throw .invalid(
                field,
                "The request body has \(length) bytes; no text that fits the model's context of \(contextLength) tokens needs more than \(usefulBytes).",
                code: "context_length_exceeded")
        }
    }

    /// The whole body of a request that passed ``check(_:_:contextLength:)``. Throws `APIError` for one that breaks a
    /// bound; other errors mean the connection is broken.
    func read(_ request: Request, from address: String) async throws -> RequestBytes {
        try await withThrowingTaskGroup(of: RequestBytes.self) { group in
            group.addTask { try await collect(request, from: address) }
            group.addTask {
                try await Task.sleep(for: limits.bodyTime)
                throw tooSlow
            }
            defer { group.cancelAll() }
            guard let bytes = try await group.next() else { throw CancellationError() }
            return bytes
        }
    }

    private func collect(_ request: Request, from address: String) async throws -> RequestBytes {
        var body = RequestBytes(data: Data(), share: budget.share(of: address))
        for try await chunk in request.body {
            guard body.data.count + chunk.readableBytes <= limits.bodyBytes else { throw tooLarge }
            guard body.share.grow(by: chunk.readableBytes) else { throw busy }
            // What is announced is taken at its word only once something of it has come.
            if body.data.isEmpty, let length = request.headers[.contentLength].flatMap(Int.init) {
                body.data.reserveCapacity(min(length, limits.bodyBytes))
            }
            chunk.withUnsafeReadableBytes { body.data.append(contentsOf: $0) }
        }
        return body
    }

    /// A web page can send only other types to a foreign server unasked, and may leave the type out, so this also keeps
    /// pages from using a gateway on their reader's machine.
    private func checkType(_ type: String?) throws(APIError) {
        let name = type?.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        if let name, name == "application/json" || (name.hasPrefix("application/") && name.hasSuffix("+json")) {
            return
        }
        let found = type.map { "The body's Content-Type is \($0.shown)" } ?? "The request has no Content-Type"
        throw APIError(
            status: .unsupportedMediaType, type: "invalid_request_error", code: "unsupported_media_type",
            parameter: nil, message: "\(found): send 'Content-Type: application/json'.")
    }

    private func checkEncoding(_ encoding: String?) throws(APIError) {
        guard let encoding, encoding.lowercased() != "identity" else { return }
        throw APIError(
            status: .unsupportedMediaType, type: "invalid_request_error", code: "unsupported_content_encoding",
            parameter: nil,
            message: "The body's Content-Encoding is \(encoding.shown): send it uncompressed, without Content-Encoding."
        )
    }

    private var tooLarge: APIError {
        APIError(
            status: .contentTooLarge, type: "invalid_request_error", code: "request_too_large", parameter: nil,
            message: "The request body is larger than the \(limits.bodyBytes) bytes taken here.")
    }

    private var tooSlow: APIError {
        APIError(
            status: .requestTimeout, type: "invalid_request_error", code: "request_timeout", parameter: nil,
            message: "The request body did not arrive as a whole within \(limits.bodyTime).")
    }

    private var busy: APIError {
        .server(
            .serviceUnavailable, code: "overloaded",
            "The requests being read take all the memory there is for them: try again.", retryAfter: .seconds(1))
    }
}
