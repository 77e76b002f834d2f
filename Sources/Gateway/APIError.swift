// An error as OpenAI's clients expect it: a status, and a body they turn into their typed exceptions.

import Coordinator
import Hummingbird
import OutsideText

/// A refusal or a failure, ready to be told to the client.
struct APIError: Error, Sendable, Equatable {
    var status: HTTPResponse.Status
    /// OpenAI's class of the error, such as `invalid_request_error`.
    var type: String
    /// A word that programs can compare.
    var code: String
    /// The request's field at fault, with its path: `messages[2].content`.
    var parameter: String?
    var message: String
    /// When it is worth trying again.
    var retryAfter: Duration?
    /// How a client may show who it is, each a `WWW-Authenticate` field.
    var challenges: [String] = []

    /// A request that can never succeed as it stands.
    static func invalid(_ parameter: String?, _ message: String, code: String = "invalid_value") -> APIError {
        APIError(
            status: .badRequest, type: "invalid_request_error", code: code, parameter: parameter, message: message)
    }

    /// A field of another type than asked for.
    static func wrongType(_ field: String, expected: String, found: String) -> APIError {
        invalid(field, "'\(field)' must be \(expected), found \(found).", code: "invalid_type")
    }

    /// A fault on this side.
    static func server(
        _ status: HTTPResponse.Status, code: String, _ message: String, retryAfter: Duration? = nil
    ) -> APIError {
        APIError(
            status: status, type: "server_error", code: code, parameter: nil, message: message, retryAfter: retryAfter)
    }

    /// What a coordinator's error means to a client. `promptField`: what this request called its prompt.
    init(_ error: RequestError, promptField: String) {
        switch error.code {
        case .invalidRequest:
            self = .invalid(error.field, error.message)
        case .promptTooLong:
            self = .invalid(error.field ?? promptField, error.message, code: "context_length_exceeded")
        case .overloaded:
            self = .server(
                .tooManyRequests, code: "overloaded", error.message, retryAfter: error.retryAfter ?? .seconds(1))
            type = "rate_limit_error"
        case .unavailable:
            self = .server(
                .serviceUnavailable, code: "unavailable", error.message, retryAfter: error.retryAfter ?? .seconds(5))
        case .workerLost:
            self = .server(
                .serviceUnavailable, code: "worker_lost", error.message, retryAfter: error.retryAfter ?? .seconds(1))
        case .deadlineExceeded:
            self = .server(.gatewayTimeout, code: "deadline_exceeded", error.message)
        case .cancelled:
            self = .server(.serviceUnavailable, code: "cancelled", error.message, retryAfter: error.retryAfter)
        case .internalError:
            self = .server(.internalServerError, code: "internal_error", error.message)
        }
    }

    init(
        status: HTTPResponse.Status, type: String, code: String, parameter: String?, message: String,
        retryAfter: Duration? = nil
    ) {
        self.status = status
        self.type = type
        self.code = code
        self.parameter = parameter
        self.message = message
        self.retryAfter = retryAfter
    }
}

extension APIError {
    /// `retryAfter` in whole seconds, at least one.
    var retryAfterSeconds: Int? { retryAfter.map { max(1, Int(($0 / .seconds(1)).rounded(.up))) } }
}

/// `{"error": {...}}`, the body of every refusal and the last event of a stream that failed.
struct ErrorBody: Encodable {
    struct Content: Encodable {
        var message: String
        var type: String
        var param: Nullable<String>
        var code: String
    }
    var error: Content

    init(_ error: APIError) {
        // Messages repeat only cut words of the client's; this bounds them whatever they repeat.
        self.error = Content(
            message: error.message.shown(upTo: 2000), type: error.type,
            param: Nullable(error.parameter?.shown(upTo: 200)), code: error.code)
    }
}
