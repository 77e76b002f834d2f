// Takes in a request's body within its bounds of size and time.

import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import OutsideText

/// Reads bodies of JSON.
struct RequestBodyReader: Sendable {
    let limits: GatewayLimits

    /// The whole body. Throws `APIError` for one that breaks a bound; other errors mean the connection is broken.
    func read(_ request: Request) async throws -> Data {
        try checkType(request.headers[.contentType])
        if let length = request.headers[.contentLength].flatMap(Int.init), length > limits.bodyBytes { throw tooLarge }
        let buffer = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            group.addTask { try await request.body.collect(upTo: limits.bodyBytes) }
            group.addTask {
                try await Task.sleep(for: limits.bodyTime)
                throw tooSlow
            }
            defer { group.cancelAll() }
            do {
                return try await group.next() ?? ByteBuffer()
            } catch is NIOTooManyBytesError {
                throw tooLarge
            }
        }
        return Data(buffer.readableBytesView)
    }

    /// A web page can send only other types to a foreign server unasked, so this also keeps pages from using a
    /// gateway on their reader's machine.
    private func checkType(_ type: String?) throws(APIError) {
        guard let type else { return }
        let name = type.prefix { $0 != ";" }.trimmingPrefix { $0 == " " }.lowercased()
        guard name.hasPrefix("application/json") || (name.hasPrefix("application/") && name.hasSuffix("+json")) else {
            throw APIError(
                status: .unsupportedMediaType, type: "invalid_request_error", code: "unsupported_media_type",
                parameter: nil, message: "The body's Content-Type is \(type.shown); send application/json.")
        }
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
}
