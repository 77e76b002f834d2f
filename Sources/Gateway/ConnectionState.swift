// Where a connection stands between its client's bytes and the answers. A pure value: events in, decisions out.

/// Follows one HTTP/1 connection: one request at a time, its version, and what happens when it is answered.
struct ConnectionState {
    /// A request under way.
    struct Exchange: Equatable {
        /// HTTP/1.0: no informational answers, no chunks.
        var isOld: Bool
        var staysOpen: Bool
        /// The whole request has arrived.
        var isRead = false
        /// The head of its answer is written.
        var isAnswering = false
        /// The answer is a stream of events, between two of which a comment may stand.
        var isEventStream = false
        /// Why it is refused once its body has come and is thrown away; nil: it is let through.
        var refusal: APIError?
        /// The web page that asks, where it is refused.
        var origin: String?
        /// Its answer has no body.
        var isHeadOnly = false
    }

    enum Phase: Equatable {
        /// Nothing under way; `since`: bytes of the next head have arrived.
        case idle(headBegan: Bool)
        case exchange(Exchange)
        /// The last answer is written; what still arrives is thrown away.
        case lingering
    }

    private(set) var phase = Phase.idle(headBegan: false)
    /// The client has shut its sending side.
    var inputEnded = false

    var exchange: Exchange? {
        if case .exchange(let exchange) = phase { exchange } else { nil }
    }

    /// Bytes arrive. `true`: they begin a head, whose time runs from now.
    mutating func bytesArrived() -> Bool {
        guard phase == .idle(headBegan: false) else { return false }
        phase = .idle(headBegan: true)
        return true
    }

    mutating func begin(_ exchange: Exchange) { phase = .exchange(exchange) }

    mutating func requestEnded() { change { $0.isRead = true } }

    /// How the head of an answer is to be completed.
    struct Framing: Equatable {
        /// It goes out as HTTP/1.0, which keeps it from being sent in chunks.
        var isOld: Bool
        /// The value of its Connection field; nil: none.
        var connection: String?
    }

    /// The answer begins. `closes`: it says itself that it is the connection's last.
    mutating func answer(closes: Bool, hasLength: Bool, isEventStream: Bool) -> Framing {
        guard let exchange else { return Framing(isOld: false, connection: nil) }
        // Without chunks only the connection's end says where a body of unknown length ends.
        let staysOpen = exchange.staysOpen && !closes && (hasLength || !exchange.isOld)
        change {
            $0.isAnswering = true
            $0.staysOpen = staysOpen
            $0.isEventStream = isEventStream
        }
        guard staysOpen else { return Framing(isOld: exchange.isOld, connection: "close") }
        return Framing(isOld: exchange.isOld, connection: exchange.isOld ? "keep-alive" : nil)
    }

    /// The answer is written. `true`: the connection stays open for another request.
    mutating func answered() -> Bool {
        guard let exchange else { return false }
        phase = exchange.staysOpen ? .idle(headBegan: false) : .lingering
        return exchange.staysOpen
    }

    mutating func linger() { phase = .lingering }

    /// What can be sent to find out whether a client that shut its sending side still listens.
    enum Probe: Equatable {
        case informational
        case comment
        /// Nothing: its next byte is part of the answer.
        case none
    }

    var probe: Probe {
        guard let exchange else { return .none }
        if exchange.isAnswering { return exchange.isEventStream ? .comment : .none }
        return exchange.isOld ? .none : .informational
    }

    private mutating func change(_ change: (inout Exchange) -> Void) {
        guard case .exchange(var exchange) = phase else { return }
        change(&exchange)
        phase = .exchange(exchange)
    }
}
