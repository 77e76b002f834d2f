// One log line per request, as structured metadata.

import Coordinator
import Hummingbird
import Logging
import OutsideText

/// The keys of the request log.
enum LogKey: String {
    case id, route, status, stream, error
    case requestID = "request_id"
    case promptTokens = "prompt_tokens"
    case keptTokens = "kept_tokens"
    case tokens
    case finish
    case key
    case keyID = "key_id"
    case timeToFirstToken = "ttft_ms"
    case duration = "duration_ms"
}

/// Collects what the line will say, from the request's arrival on.
struct RequestLog: Sendable {
    /// The status logged when the client left before its answer was complete (nginx's number for it).
    static let clientClosed = HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request")

    private var metadata: Logger.Metadata
    private let caller: Caller?
    /// Tokens of its prompt and answer, for the limits of its key.
    var tokens = 0
    private let logger: Logger
    private let start = ContinuousClock.now

    init(route: String, identity: RequestIdentity? = nil, caller: Caller? = nil, logger: Logger) {
        self.logger = logger
        self.caller = caller
        metadata = [LogKey.route.rawValue: "\(route.shown)"]
        if let identity { note(.requestID, identity.known) }
        if let entry = caller?.entry {
            note(.key, entry.name)
            note(.keyID, entry.id)
        }
    }

    mutating func note(_ key: LogKey, _ value: some CustomStringConvertible & Sendable) {
        metadata[key.rawValue] = .stringConvertible(value)
    }

    mutating func noteFirstToken() { note(.timeToFirstToken, elapsed) }

    /// Writes the line.
    func end(_ status: HTTPResponse.Status, error: APIError? = nil) {
        if tokens > 0 { caller?.spend(tokens) }
        var line = self
        line.note(.status, status.code)
        line.note(.duration, elapsed)
        if let error { line.note(.error, error.message.shown(upTo: 500)) }
        logger.log(level: status.code >= 500 ? .warning : .info, "request", metadata: line.metadata)
    }

    /// Milliseconds since the request arrived, in whole microseconds.
    private var elapsed: Double { ((ContinuousClock.now - start).milliseconds * 1000).rounded() / 1000 }
}
