/// What a client may cost: sizes and times the gateway never exceeds.
public struct GatewayLimits: Sendable, Equatable {
    /// The largest request body taken, in bytes; a larger one gets 413.
    public var bodyBytes: Int
    /// The most connections open at a time; more wait in the kernel's queue.
    public var connections: Int
    /// The longest a request body may take to arrive as a whole; after it the client gets 408.
    public var bodyTime: Duration
    /// The longest a connection may stay open with nothing asked, or stall within a request's head.
    public var idleTime: Duration
    /// The longest a client may refuse to read its answer before the connection is cut and the request cancelled.
    public var writeTime: Duration
    /// The longest a graceful shutdown waits for running requests before it cancels them.
    public var drainTime: Duration
    /// Tokens a chat answer gets that names no maximum (less where the context has less left).
    public var defaultChatTokens: Int

    /// Limits that suit prompts of up to a million tokens of text on a local network.
    public init(
        bodyBytes: Int = 16 << 20, connections: Int = 1024, bodyTime: Duration = .seconds(30),
        idleTime: Duration = .seconds(75), writeTime: Duration = .seconds(30), drainTime: Duration = .seconds(10),
        defaultChatTokens: Int = 512
    ) {
        self.bodyBytes = bodyBytes
        self.connections = connections
        self.bodyTime = bodyTime
        self.idleTime = idleTime
        self.writeTime = writeTime
        self.drainTime = drainTime
        self.defaultChatTokens = defaultChatTokens
    }
}
