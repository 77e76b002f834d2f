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

/// A request as the HTTP endpoints read it.
public struct InProcessCall: Sendable {
    /// What the coordinator is to do.
    public let request: GenerationRequest
    /// The answer ends before the first of these.
    public let stop: [String]
}

/// Requests as the HTTP endpoints take them, without HTTP.
public enum InProcessRequest {
    /// Reads a body as `POST path` would.
    ///
    /// - Parameters:
    ///   - path: `/v1/completions` or `/v1/chat/completions`.
    ///   - body: JSON; one prompt that asks for one answer.
    ///   - limits: what a request may cost, and gets that does not say.
    /// - Throws: what the endpoint would answer.
    public static func parse(
        path: String, body: [UInt8], for service: any GenerationService, limits: GatewayLimits = .init()
    ) throws(InProcessRefusal) -> InProcessCall {
        let call: Call
        do {
            let endpoint: Endpoint = path == "/v1/chat/completions" ? .chat : .completions
            call = try Call(endpoint, body: Data(body), for: service, limits: limits)
        } catch {
            throw InProcessRefusal(status: error.status.code, description: error.message)
        }
        guard let choice = call.choices.first, call.choices.count == 1 else {
            throw InProcessRefusal(
                status: 400,
                description: "The request asks for \(call.choices.count) answers; in process, one is taken per request."
            )
        }
        return InProcessCall(request: choice.request, stop: call.stop)
    }

    /// The text of `GET /metrics`.
    public static func metrics(of service: any GenerationService, version: String) -> String {
        service.metrics().prometheusText(version: version)
    }
}
