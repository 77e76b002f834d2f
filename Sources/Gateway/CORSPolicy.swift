// Which web pages may use the gateway from a browser.

import HTTPTypes

/// The origins whose pages a browser lets read answers: none, unless they are named.
public struct CORSPolicy: Sendable, Equatable {
    private enum Origins: Equatable {
        case any
        case some(Set<String>)
    }

    private let origins: Origins

    /// No page of another origin may.
    public static let none = CORSPolicy(origins: .some([]))

    private init(origins: Origins) { self.origins = origins }

    /// Pages of these origins, each `scheme://host` or `scheme://host:port`; `*` means every page.
    /// Throws ``OriginError`` for one that no browser would send.
    public init(allowing origins: [String]) throws(OriginError) {
        if origins.contains("*") {
            self.origins = .any
            return
        }
        var names: Set<String> = []
        for origin in origins {
            let name = origin.lowercased()
            let parts = name.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
            let isSound =
                parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty
                && name.utf8.allSatisfy { (0x21...0x7E).contains($0) } && !parts[1].contains { "/?#@,".contains($0) }
            guard isSound || name == "null" else { throw OriginError(origin: origin) }
            names.insert(name)
        }
        self.origins = .some(names)
    }

    /// An origin that can't be one.
    public struct OriginError: Error, Equatable, CustomStringConvertible {
        /// What was given.
        public let origin: String

        package init(origin: String) { self.origin = origin }

        public var description: String {
            "'\(origin)' is no origin: write scheme and host alone, for example https://app.example.com or http://localhost:3000; '*' allows every page"
        }
    }

    /// Whether pages of `origin` may.
    func allows(_ origin: String) -> Bool {
        switch origins {
        case .any: true
        case .some(let names): names.contains(origin.lowercased())
        }
    }

    /// The fields that let a browser give an answer, a refusal too, to the page that asked; none for a page that may not
    /// have it.
    ///
    /// - Parameter origin: the page's, as its browser says; nil: it is no page that asks.
    func fields(for origin: String?) -> HTTPFields {
        guard self != .none else { return [:] }
        guard let origin, allows(origin) else { return [.vary: "Origin"] }
        return [
            .vary: "Origin", .accessControlAllowOrigin: origin,
            .accessControlExposeHeaders: "x-request-id, retry-after",
        ]
    }

    /// The answer to a browser that asks whether it may ask; nil when this is no such question or the page may not.
    func preflight(_ method: HTTPRequest.Method, _ headers: HTTPFields) -> HTTPFields? {
        guard method == .options, let origin = headers[.origin], allows(origin),
            headers.contains(.accessControlRequestMethod)
        else { return nil }
        var fields = self.fields(for: origin)
        fields[.vary] = "Origin, Access-Control-Request-Headers"
        fields[.accessControlAllowMethods] = "GET, HEAD, POST"
        // Clients bring fields of their own (`x-stainless-...`); none of them has a meaning here that could do harm.
        if let asked = headers[.accessControlRequestHeaders], asked.utf8.count <= 4096 {
            fields[.accessControlAllowHeaders] = asked
        }
        fields[.accessControlMaxAge] = "600"
        if headers[.requestPrivateNetwork] == "true" { fields[.allowPrivateNetwork] = "true" }
        return fields
    }
}

extension HTTPField.Name {
    // Constants spelled as the standard demands, so none can be nil.
    fileprivate static let requestPrivateNetwork = HTTPField.Name("access-control-request-private-network")!
    fileprivate static let allowPrivateNetwork = HTTPField.Name("access-control-allow-private-network")!
}
