// What is known about one request after it ended.

/// Why a request gave no complete answer. Every one of them is a miss in the percentiles.
public enum FailureKind: String, Sendable, Codable, CaseIterable {
    /// Status 429, 503 or 529: the server was too busy, and said so.
    case refused
    /// Any other status than 200.
    case httpError = "http_error"
    /// Not finished within the request timeout.
    case timeout
    /// No connection, or one that broke before the response's head.
    case connection
    /// The event stream ended early or was not one.
    case brokenStream = "broken_stream"
    /// An event that is not a completion chunk.
    case badJSON = "bad_json"
    /// An error event in the stream: the server gave up on this request.
    case serverError = "server_error"
    /// Still open when the drain limit passed.
    case unfinished
    /// Never sent: too many requests were open.
    case unsent
}

/// How a request ended.
public enum Outcome: Sendable, Equatable {
    /// A whole answer.
    case completed
    /// No whole answer; the detail is for people.
    case failed(FailureKind, detail: String)
    /// The run was ended by its user while the request was open: neither an answer nor a miss.
    case interrupted
}

/// What a target gives back for one request, in the clock's own times.
public struct Response: Sendable, Equatable {
    /// How it ended.
    public var outcome: Outcome
    /// When the first token came.
    public var firstToken: ContinuousClock.Instant?
    /// When it ended.
    public var end: ContinuousClock.Instant
    /// Tokens generated.
    public var tokens = 0
    /// Those of them that came with the first.
    public var firstTokens = 1
    /// The answer's text.
    public var text = ""
    /// Tokens of the prompt, where the server counts them.
    public var promptTokens: Int?
    /// What the server says it did to the prompt.
    public var report: PrefillReport?
    /// How long a server that refused wants to be left alone.
    public var retryAfter: Duration?

    /// Makes a response.
    public init(
        outcome: Outcome, firstToken: ContinuousClock.Instant? = nil, end: ContinuousClock.Instant, tokens: Int = 0,
        firstTokens: Int = 1, text: String = "", promptTokens: Int? = nil, report: PrefillReport? = nil,
        retryAfter: Duration? = nil
    ) {
        self.outcome = outcome
        self.firstToken = firstToken
        self.end = end
        self.tokens = tokens
        self.firstTokens = firstTokens
        self.text = text
        self.promptTokens = promptTokens
        self.report = report
        self.retryAfter = retryAfter
    }
}

/// One request of a run. Times count from the start of the measured window.
public struct RequestRecord: Sendable, Equatable {
    /// The position in the schedule, from 0.
    public let index: Int
    /// When it was due: latencies count from here.
    public let scheduled: Duration
    /// When it was handed to the client; what lies between it and `scheduled` is the generator's own delay.
    public let sent: Duration
    /// When its first token came.
    public let firstToken: Duration?
    /// When it ended.
    public let end: Duration
    /// Tokens generated.
    public let tokens: Int
    /// Those of them that came with the first.
    public let firstTokens: Int
    /// How it ended.
    public let outcome: Outcome
    /// Whether the answer holds what was expected; nil where nothing was, or there is no whole answer.
    public let isCorrect: Bool?
    /// Tokens of the prompt, where the server counts them.
    public let promptTokens: Int?
    /// What the server says it did to the prompt.
    public let report: PrefillReport?

    /// Makes a record.
    public init(
        index: Int, scheduled: Duration, sent: Duration, firstToken: Duration?, end: Duration, tokens: Int,
        firstTokens: Int = 1, outcome: Outcome, isCorrect: Bool? = nil, promptTokens: Int? = nil,
        report: PrefillReport? = nil
    ) {
        self.index = index
        self.scheduled = scheduled
        self.sent = sent
        self.firstToken = firstToken
        self.end = end
        self.tokens = tokens
        self.firstTokens = firstTokens
        self.outcome = outcome
        self.isCorrect = isCorrect
        self.promptTokens = promptTokens
        self.report = report
    }

    /// Time to first token, from the scheduled time.
    public var timeToFirstToken: Duration? { firstToken.map { $0 - scheduled } }
    /// End-to-end latency, from the scheduled time.
    public var endToEnd: Duration { end - scheduled }
    /// Time per output token after those that came first; nil where none came after them.
    public var timePerOutputToken: Duration? {
        let later = tokens - max(firstTokens, 1)
        guard let firstToken, later > 0 else { return nil }
        return (end - firstToken) / later
    }
    /// Whether it was given up at the end of the drain.
    var isUnfinished: Bool {
        if case .failed(.unfinished, _) = outcome { true } else { false }
    }
    /// How late it was sent.
    public var lateness: Duration { sent - scheduled }

    /// Whether an answer holds the expected text as a word of its own.
    ///
    /// White space is compared as single spaces. A match that goes on with a character of the same class (a digit after a
    /// digit, a letter after a letter) is no match: 48213 is not the answer 482.
    public static func isCorrect(_ answer: String, expected: String) -> Bool {
        let answer = Array(normalized(answer))
        let expected = Array(normalized(expected))
        guard let first = expected.first, let last = expected.last, expected.count <= answer.count else { return false }
        return (0...(answer.count - expected.count)).contains { start in
            let end = start + expected.count
            guard answer[start..<end].elementsEqual(expected) else { return false }
            let goesOn = end < answer.count && isSameClass(last, answer[end])
            let wentBefore = start > 0 && isSameClass(first, answer[start - 1])
            return !goesOn && !wentBefore
        }
    }

    private static func normalized(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    private static func isSameClass(_ left: Character, _ right: Character) -> Bool {
        left.isNumber && right.isNumber || left.isLetter && right.isLetter
    }
}
