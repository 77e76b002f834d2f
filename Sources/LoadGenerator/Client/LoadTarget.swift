// What load is put on.

/// Something that answers requests.
public protocol LoadTarget: Sendable {
    /// Sends a request and waits for its end. Cancelling the task ends it early.
    ///
    /// - Parameters:
    ///   - timeout: counted from the call.
    ///   - onFirstToken: called once, when the first token has come.
    func send(
        _ request: PreparedRequest, timeout: Duration,
        onFirstToken: @escaping @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response

    /// What the server counts about itself right now; nil when it doesn't say.
    func counters() async -> ServerCounters?
}

extension LoadTarget {
    /// Most servers say nothing.
    public func counters() async -> ServerCounters? { nil }
}
