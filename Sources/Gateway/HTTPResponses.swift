// Answers without a model in them: JSON bodies, refusals, and the way to end a connection politely.

import HTTPTypes
import Hummingbird
import NIOCore

extension Response {
    /// A JSON body, or only the head that it would have.
    static func json(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:], headOnly: Bool = false
    ) throws -> Response {
        let response = Response(json: try encoded(value), status: status, headers: headers)
        return headOnly ? response.createHeadResponse() : response
    }

    /// Metrics in Prometheus' text format, or only the head that they would have.
    static func metrics(_ text: String, headOnly: Bool) -> Response {
        let response = Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        return headOnly ? response.createHeadResponse() : response
    }

    /// A JSON text as body.
    init(json: ByteBuffer, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        var headers = headers
        headers[.contentType] = "application/json"
        self.init(status: status, headers: headers, body: ResponseBody(byteBuffer: json))
    }

    /// An error as OpenAI's clients expect it.
    static func refusal(_ error: APIError, headers: HTTPFields = [:]) throws -> Response {
        var headers = headers
        if let wait = error.retryAfterSeconds { headers[.retryAfter] = "\(wait)" }
        for challenge in error.challenges { headers.append(HTTPField(name: .wwwAuthenticate, value: challenge)) }
        return try json(ErrorBody(error), status: error.status, headers: headers)
    }

    /// An error told to a client whose body was not read to its end: the connection cannot serve another request, and
    /// ends once the rest of the body is thrown away.
    static func lastRefusal(_ error: APIError) throws -> Response {
        try refusal(error, headers: [.connection: "close"])
    }
}
