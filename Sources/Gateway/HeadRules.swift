// What the first lines of a request must be, as RFC 9112 has it, whatever they ask for.

import HTTPTypes
import NIOHTTP1
import OutsideText

/// Checks heads, and brings their targets into the one form that routes know.
enum HeadRules {
    /// The longest target, in bytes.
    static let longestTarget = 8192

    /// The head with a target that begins with `/` (or is `*`), or why it is refused.
    static func check(_ head: HTTPRequestHead) throws(APIError) -> HTTPRequestHead {
        guard head.version.major == 1 else {
            throw refusal(
                .httpVersionNotSupported,
                "HTTP/\(head.version.major).\(head.version.minor) is not spoken here: use HTTP/1.1.")
        }
        guard HTTPRequest.Method(head.method.rawValue) != nil else {
            throw refusal(.notImplemented, "The method '\(head.method.rawValue.shown)' is no method of HTTP.")
        }
        try checkHost(head)
        try checkFraming(head)
        var head = head
        head.uri = try path(head.uri)
        return head
    }

    private static func checkHost(_ head: HTTPRequestHead) throws(APIError) {
        let hosts = head.headers["host"]
        guard hosts.count < 2 else {
            throw refusal(.badRequest, "The request has \(hosts.count) Host fields: send one.")
        }
        guard let host = hosts.first else {
            guard head.version.minor == 0 else {
                throw refusal(.badRequest, "The request has no Host field, which HTTP/1.1 demands.")
            }
            return
        }
        let isSound = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-._~!$&'()*+,;=%[]:".utf8.contains(byte)
            }
        }
        guard isSound else { throw refusal(.badRequest, "The Host field names no host: '\(host.shown)'.") }
    }

    /// Two ways to say where the body ends may be read in two ways, by a proxy and by this server.
    private static func checkFraming(_ head: HTTPRequestHead) throws(APIError) {
        let codings = head.headers["transfer-encoding"]
        guard !codings.isEmpty else { return }
        guard head.version.minor > 0, !head.headers.contains(name: "content-length") else {
            throw refusal(
                .badRequest,
                "Transfer-Encoding is not possible in HTTP/1.0, nor beside Content-Length: send one of them.")
        }
        guard codings.count == 1, codings[0].lowercased() == "chunked" else {
            throw refusal(
                .notImplemented, "The transfer coding '\(codings[0].shown)' is not known here: send 'chunked'.")
        }
    }

    /// The path and query of a target in origin form or absolute form.
    private static func path(_ target: String) throws(APIError) -> String {
        guard target.utf8.count <= longestTarget else {
            throw refusal(.uriTooLong, "The target has \(target.utf8.count) bytes; at most \(longestTarget) are taken.")
        }
        if target.hasPrefix("/") || target == "*" { return target }
        let lower = target.prefix(8).lowercased()
        guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix) else {
            throw refusal(.badRequest, "The target '\(target.shown)' is no path: it begins with '/'.")
        }
        let rest = target.dropFirst(scheme.count)
        guard let end = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) else { return "/" }
        return rest[end] == "/" ? String(rest[end...]) : "/" + rest[end...]
    }

    private static func refusal(_ status: HTTPResponse.Status, _ message: String) -> APIError {
        APIError(
            status: status, type: "invalid_request_error", code: "invalid_http", parameter: nil, message: message)
    }

    /// What an error of the parser means to the client; nil if it is none of the parser's.
    static func refusal(_ error: any Error) -> APIError? {
        switch error as? HTTPParserError {
        case nil: return nil
        case .headerOverflow:
            return refusal(
                .requestHeaderFieldsTooLarge,
                "The request's head is larger than the \(GatewayLimits.headBytes) bytes or \(GatewayLimits.headFields) fields taken here."
            )
        case .invalidVersion:
            return refusal(.badRequest, "The request is of no version of HTTP/1: use HTTP/1.1.")
        case .invalidEOFState, .closedConnection:
            return refusal(.badRequest, "The request ended before it was complete.")
        case .invalidMethod: return refusal(.badRequest, "The request begins with no method of HTTP.")
        case .some(let fault): return refusal(.badRequest, "The request is not well-formed HTTP/1.1: \(fault).")
        }
    }
}
