// The id by which client, server and log speak of one request.

import Foundation
import Glibc
import HTTPTypes

/// A client's own id of a request, where it sent one that can be repeated, and the server's otherwise.
struct RequestIdentity: Sendable {
    /// The longest id of a client's that is taken over, in bytes.
    static let longest = 128

    /// What the client called its request.
    let client: String?
    let own: String

    init(_ headers: HTTPFields) {
        client = headers[.requestID].flatMap { Self.isSound($0) ? $0 : nil }
        own = Self.own()
    }

    /// Visible ASCII without quotes and commas: it stands in headers and logs as it is.
    private static func isSound(_ id: String) -> Bool {
        (1...longest).contains(id.utf8.count)
            && id.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: ",") }
    }

    static func own() -> String { "req-" + UUID().uuidString.lowercased().filter { $0 != "-" } }
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
