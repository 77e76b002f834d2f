// What every answer has, whichever endpoint gives it: a request id, and what browsers ask for.

import HTTPTypes
import Hummingbird
import OutsideText

/// Wraps the endpoints' answers.
struct EnvelopeResponder: HTTPResponder {
    let endpoints: GatewayResponder
    let cors: CORSPolicy
    /// Whether the gateway listens where only this machine's programs reach it, web browsers among them.
    let isLocal: Bool
    /// What its address serves.
    let surface: AccessPolicy.Surface

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        let identity = RequestIdentity(
            request.headers, for: Route.endpoint(method: request.method, path: request.uri.path))
        var context = context
        context.identity = identity
        context.surface = surface
        var response: Response
        if let fields = cors.preflight(request.method, request.headers) {
            response = Response(status: .noContent, headers: fields)
        } else if isLocal, let origin = Self.rebound(request), !cors.allows(origin) {
            response = try endpoints.refusal(Self.foreign(origin), request, context)
        } else {
            response = try await endpoints.respond(to: request, context: context)
        }
        response.headers[.requestID] = identity.known
        for field in cors.fields(for: request.headers[.origin]) where !response.headers.contains(field.name) {
            response.headers.append(field)
        }
        return response
    }

    /// The origin of a page that takes this server for its own under a name that is not this machine's: its author has
    /// the name lead here, after the page was loaded from elsewhere, to use the server in its reader's stead.
    static func rebound(_ request: Request) -> String? {
        guard request.method == .post, let origin = request.headers[.origin], let host = request.head.authority else {
            return nil
        }
        let page = origin.lowercased().split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).last
        guard page == host.lowercased()[...] else { return nil }
        return HostName.isLocal(host) ? nil : origin
    }

    private static func foreign(_ origin: String) -> APIError {
        APIError(
            status: .forbidden, type: "invalid_request_error", code: "origin_not_allowed", parameter: nil,
            message:
                "Pages of \(origin.shown) may not use this server, which listens on this machine alone: start it with --cors-origin \(origin.shown) to allow them."
        )
    }
}
