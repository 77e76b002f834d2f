/// What a client may cost: sizes and times the gateway never exceeds.
public struct GatewayLimits: Sendable, Equatable {
    /// The largest request body taken, in bytes; a larger one gets 413.
    public var bodyBytes: Int
    /// The most bytes of request bodies held at a time, over all requests; half of it from one address. More get 503.
    public var bodyBudget: Int
    /// The most requests answered at a time; more get 503.
    public var connections: Int
    /// The most of them from one address (of IPv6: from one /64 network).
    public var connectionsPerAddress: Int
    /// Connections above these two limits, from which only health and metrics are answered. Where more are opened, those
    /// that have been silent for longest are closed.
    public var reservedConnections: Int
    /// TLS handshakes of one address a second, beyond as many at once as may stand; more are cut off. Each takes up to a
    /// millisecond of a CPU, by the kind of the certificate's key.
    public var handshakesPerSecond: Int
    /// The most requests that wait for their prompts to be parsed, rendered and tokenised; more get 429.
    public var promptQueue: Int
    /// The longest a request's head may take to arrive as a whole; after it the client gets 408.
    public var headTime: Duration
    /// The longest a request body may take to arrive as a whole; after it the client gets 408.
    public var bodyTime: Duration
    /// The longest a connection may stay open with nothing asked, or stall within a request.
    public var idleTime: Duration
    /// The longest a client may refuse to read its answer before the connection is cut and the request cancelled.
    public var writeTime: Duration
    /// How long after a client shut its sending side it is first found out whether it still listens.
    public var halfCloseTime: Duration
    /// The longest a graceful shutdown waits for running requests before it cancels them.
    public var drainTime: Duration
    /// Tokens a chat answer gets that names no maximum (less where the context has less left).
    public var defaultChatTokens: Int
    /// The most answers one request may ask for, over all its prompts.
    public var choices: Int
    /// The longest a stream stays silent: a comment goes out then, so that no proxy takes it for dead.
    public var silenceTime: Duration

    /// The largest head of a request, in bytes, and the most fields in it.
    static let headBytes = 32 << 10
    static let headFields = 100

    /// For an address at which nothing is computed and few look on.
    var ofOperators: GatewayLimits {
        var limits = self
        (limits.connections, limits.connectionsPerAddress, limits.reservedConnections) = (48, 32, 16)
        return limits
    }

    /// Limits that suit prompts of up to a million tokens of text on a local network.
    public init(
        bodyBytes: Int = 16 << 20, bodyBudget: Int = 64 << 20, connections: Int = 1024,
        connectionsPerAddress: Int = 768, reservedConnections: Int = 64, handshakesPerSecond: Int = 200,
        promptQueue: Int = 512,
        headTime: Duration = .seconds(10), bodyTime: Duration = .seconds(30), idleTime: Duration = .seconds(75),
        writeTime: Duration = .seconds(30), halfCloseTime: Duration = .seconds(1),
        drainTime: Duration = .seconds(10), defaultChatTokens: Int = 512, choices: Int = 128,
        silenceTime: Duration = .seconds(5)
    ) {
        self.bodyBytes = bodyBytes
        self.bodyBudget = bodyBudget
        self.connections = connections
        self.connectionsPerAddress = connectionsPerAddress
        self.reservedConnections = reservedConnections
        self.handshakesPerSecond = handshakesPerSecond
        self.promptQueue = promptQueue
        self.headTime = headTime
        self.bodyTime = bodyTime
        self.idleTime = idleTime
        self.writeTime = writeTime
        self.halfCloseTime = halfCloseTime
        self.drainTime = drainTime
        self.defaultChatTokens = defaultChatTokens
        self.choices = choices
        self.silenceTime = silenceTime
    }
}
