// What the status's addresses answer: the page's files, the snapshot, and the stream of snapshots.

import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// A file of the status page. The page is served from the program itself and fetches nothing from anywhere else.
enum PageFile: String, CaseIterable, Sendable {
    case page = ""
    case style = "page.css"
    case picture = "picture.js"
    case charts = "charts.js"
    case script = "page.js"
    case icon = "icon.svg"

    fileprivate var text: String {
        switch self {
        case .page: StatusPage.html
        case .style: StatusPage.style
        case .picture: StatusPage.picture
        case .charts: StatusPage.charts
        case .script: StatusPage.script
        case .icon: StatusPage.icon
        }
    }

    private var type: String {
        switch self {
        case .page: "text/html; charset=utf-8"
        case .style: "text/css; charset=utf-8"
        case .picture, .charts, .script: "text/javascript; charset=utf-8"
        case .icon: "image/svg+xml"
        }
    }

    /// Nothing but these files may load, run or be connected to, and no other page may frame this one.
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    ].joined(separator: "; ")

    func response(headOnly: Bool) -> Response {
        let response = Response(
            status: .ok,
            headers: [
                .contentType: type, .cacheControl: "no-cache", .contentSecurityPolicy: Self.policy,
                .xContentTypeOptions: "nosniff", .referrerPolicy: "no-referrer",
            ], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        return headOnly ? response.createHeadResponse() : response
    }
}

/// The texts of the status page, in files of their own.
enum StatusPage {}

extension StatusFeed {
    /// The newest snapshot.
    func response(headOnly: Bool) throws -> Response {
        let response = Response(json: try newest().text, headers: [.cacheControl: "no-store"])
        return headOnly ? response.createHeadResponse() : response
    }

    /// Snapshots as they come, as server-sent events, until the client leaves or the server ends.
    ///
    /// - Throws: an `APIError` when too many look on already.
    func stream(headOnly: Bool, silence: Duration) throws -> Response {
        guard let watcher = watch() else {
            throw APIError.server(
                .serviceUnavailable, code: "overloaded",
                "\(Self.mostWatchers) streams of the status are open, or the server ends: ask for /status instead.",
                retryAfter: .seconds(5))
        }
        let response = Response(
            status: .ok, headers: .events,
            body: ResponseBody { body in
                var told: UInt64?
                var spoken = ContinuousClock.now
                while !watcher.feed.isOver {
                    let (sequence, text) = try watcher.feed.newest()
                    if sequence != told {
                        var event = ByteBuffer(string: "data: ")
                        event.writeImmutableBuffer(text)
                        event.writeString("\n\n")
                        try await body.write(event)
                        told = sequence
                        spoken = .now
                    } else if spoken.duration(to: .now) >= silence {
                        // Nothing new: who has left is found out by writing.
                        try await body.write(ByteBuffer(string: ":\n\n"))
                        spoken = .now
                    }
                    try await Task.sleep(for: Self.interval)
                }
                try await body.finish(nil)
            })
        return headOnly ? response.createHeadResponse() : response
    }
}

extension HTTPFields {
    /// Of a stream of server-sent events. Proxies must pass each event on as it comes.
    static let events: HTTPFields = [
        .contentType: "text/event-stream", .cacheControl: "no-cache", .accelBuffering: "no",
    ]
}

extension HTTPField.Name {
    // Constants spelled as the standard demands, so none can be nil.
    fileprivate static let accelBuffering = HTTPField.Name("x-accel-buffering")!
    fileprivate static let referrerPolicy = HTTPField.Name("referrer-policy")!
}
