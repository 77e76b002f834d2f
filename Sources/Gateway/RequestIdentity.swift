// The id by which client, server and log speak of one request.

import Foundation
import Glibc
import HTTPTypes

/// A client's own id of a request, where it sent one that can be repeated, and the server's.
struct RequestIdentity: Sendable {
    /// The longest id of a client's that is taken over, in bytes.
    static let longest = 128

    /// What the client called its request.
    let client: String?
    /// What this server calls it; of an answer also the `id` in its body.
    let own: String
    /// By which headers, logs, traces and the status page know it.
    var known: String { client ?? own }

    /// - Parameter endpoint: the one asked for an answer; `nil`: another.
    init(_ headers: HTTPFields, for endpoint: Endpoint?) {
        client = headers[.requestID].flatMap { Self.isSound($0) ? $0 : nil }
        own = Self.own(endpoint?.identityPrefix ?? "req-")
    }

    /// What one choice of an answer is known by: the request's own id, with the choice's number where there are several.
    func name(ofChoice choice: Int, of count: Int) -> String { count == 1 ? known : "\(known)#\(choice)" }

    /// Visible ASCII without quotes and commas: it stands in headers and logs as it is.
    private static func isSound(_ id: String) -> Bool {
        (1...longest).contains(id.utf8.count)
            && id.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: ",") }
    }

    static func own(_ prefix: String = "req-") -> String {
        prefix + UUID().uuidString.lowercased().filter { $0 != "-" }
    }
}

extension Endpoint {
    /// What the ids of its answers begin with, as OpenAI's do.
    fileprivate var identityPrefix: String { self == .chat ? "chatcmpl-" : "cmpl-" }
}

extension HTTPField.Name {
    // Constants spelled as the standard demands, so none can be nil.
    static let requestID = HTTPField.Name("x-request-id")!
}

/// The time as HTTP writes it.
enum HTTPDate {
    static func now() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 40)
        let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
