// What a request must show to be answered. A pure value.

import Foundation
import HTTPTypes
import OutsideText

/// Which paths an address serves, and to whom.
package struct AccessPolicy: Equatable {
    /// What an address is for.
    package enum Surface: Equatable, Sendable {
        /// All there is.
        case everything
        /// The API and health, where operators have an address of their own.
        case clients
        /// Health, metrics, status and page, without keys: who can connect may look.
        case operators
    }

    /// What a path asks for.
    enum Need: Equatable {
        case nothing
        /// A key; `isOperator`: one that opens metrics and status.
        case key(isOperator: Bool)
        /// It is not served at this address.
        case elsewhere
    }

    let surface: Surface
    /// Whether there are keys.
    let hasKeys: Bool

    /// - Parameter path: without its query.
    func need(method: HTTPRequest.Method?, path: String) -> Need {
        let route = Route.find(path)?.route
        switch route {
        case .live, .ready: return .nothing
        case .metrics, .status, .page:
            if surface == .operators { return .nothing }
            if surface == .clients { return .elsewhere }
            return hasKeys ? .key(isOperator: true) : .nothing
        case .answer, .tokenize, .models, .model, nil:
            if surface == .operators { return route == nil ? .nothing : .elsewhere }
            // A browser asks without a key what it may ask; the answer tells nothing else.
            return hasKeys && method != .options ? .key(isOperator: false) : .nothing
        }
    }
}

/// What a request shows of itself.
enum Credentials {
    /// The key of an `Authorization` field: a bearer's, or where `takesBasic` the password that a browser asked for.
    /// nil: there is none, or none that can be one.
    static func key(_ field: String?, takesBasic: Bool) -> APIKey? {
        guard let field, field.utf8.count <= 1024, let space = field.firstIndex(of: " ") else { return nil }
        let scheme = field[..<space].lowercased()
        let rest = field[space...].drop { $0 == " " }
        if scheme == "bearer" { return APIKey(rest) }
        guard takesBasic, scheme == "basic", let bytes = Data(base64Encoded: String(rest)),
            let text = String(data: bytes, encoding: .utf8), let colon = text.firstIndex(of: ":")
        else { return nil }
        return APIKey(text[text.index(after: colon)...])
    }
}

extension APIError {
    /// No key, or one that is nobody's.
    static func unauthorized(_ message: String, takesBasic: Bool) -> APIError {
        var error = APIError(
            status: .unauthorized, type: "invalid_request_error", code: "invalid_api_key", parameter: nil,
            message: message)
        error.challenges = [#"Bearer realm="winnow""#] + (takesBasic ? [#"Basic realm="winnow", charset="UTF-8""#] : [])
        return error
    }

    static let noOperator = APIError(
        status: .forbidden, type: "invalid_request_error", code: "insufficient_permissions", parameter: nil,
        message: "This key opens the API alone: metrics and status need one made with `winnow keys api new --operator`."
    )

    static func elsewhere(_ path: String) -> APIError {
        APIError(
            status: .notFound, type: "invalid_request_error", code: "unknown_url", parameter: nil,
            message: "\(path.shown) is not served at this address: this server has several, each for its own.")
    }

    /// A key has used up what it may.
    init(_ refusal: KeyUse.Refusal) {
        func limited(_ what: String, _ wait: Duration) -> APIError {
            APIError(
                status: .tooManyRequests, type: "rate_limit_error", code: "rate_limit_exceeded", parameter: nil,
                message: "This key may use \(what): try again later.", retryAfter: wait)
        }
        switch refusal {
        case .requests(let limit, let wait): self = limited("\(limit) requests per minute", wait)
        case .tokens(let limit, let wait): self = limited("\(limit) tokens per minute", wait)
        case .concurrency(let limit): self = limited("\(limit) requests at a time", .seconds(1))
        }
    }
}
