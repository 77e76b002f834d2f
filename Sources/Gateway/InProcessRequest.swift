// The gateway's reading of requests, for who calls a coordinator in its own process.

public import Coordinator
import Foundation
import HTTPTypes

/// A request refused before it reached the coordinator; the text is the one an HTTP client would have got.
public struct InProcessRefusal: Error, Sendable, CustomStringConvertible {
    /// The status an HTTP client would have got.
    public let status: Int
    /// What is wrong, and the fix.
    public let description: String
}

/// Requests as the HTTP endpoints take them, without HTTP.
public enum InProcessRequest {
    /// Reads a body as `POST path` would.
    ///
    /// - Parameters:
    ///   - path: `/v1/completions` or `/v1/chat/completions`.
    ///   - body: JSON.
    /// - Throws: what the endpoint would answer.
    public static func parse(
        path: String, body: [UInt8], for service: any GenerationService
    ) throws(InProcessRefusal) -> GenerationRequest {
        do {
            let data = Data(body)
            let shape = JSONShape.Limits.forContext(of: service.contextLength)
            if path == "/v1/chat/completions" {
                let fields = try RequestParsing.decode(ChatFields.self, from: data, limits: shape)
                return try Call(fields, for: service, defaultTokens: Call.defaultCompletionTokens).request
            }
            return try Call(RequestParsing.decode(CompletionFields.self, from: data, limits: shape), for: service)
                .request
        } catch {
            throw InProcessRefusal(status: error.status.code, description: error.message)
        }
    }

    /// The text of `GET /metrics`.
    public static func metrics(of service: any GenerationService, version: String) -> String {
        service.metrics().prometheusText(version: version)
    }
}
