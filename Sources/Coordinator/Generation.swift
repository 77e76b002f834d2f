/// The events of one request, as they happen. Ends exactly once: with `.finished`, or by throwing a `RequestError`.
///
/// Cancelling the consuming task, dropping the sequence, or `cancel()` cancels the request on every stage;
/// `conclude()` ends it there as well, as an answer that is complete. Iterate it once.
public struct Generation: AsyncSequence, Sendable {
    public typealias Element = GenerationEvent
    public typealias Failure = RequestError

    /// The coordinator's number of this request, unique in its life.
    public let id: UInt64
    private let stream: AsyncThrowingStream<GenerationEvent, any Error>
    private let cancellation: @Sendable () -> Void
    private let conclusion: @Sendable () -> Void

    /// A generation and the way to feed it. `onCancel` is called when the consumer gives up, `onConclude` when it has all
    /// it wanted; either may come more than once, and after the end.
    ///
    /// The stream's buffer needs no bound of its own: it never holds more than a prompt report, the prompt's tokens,
    /// `maxTokens` tokens and an end.
    public static func make(
        id: UInt64, onCancel: @escaping @Sendable () -> Void, onConclude: @escaping @Sendable () -> Void
    ) -> (generation: Generation, sink: Sink) {
        let (stream, continuation) = AsyncThrowingStream<GenerationEvent, any Error>.makeStream()
        continuation.onTermination = { reason in
            if case .cancelled = reason { onCancel() }
        }
        let generation = Generation(id: id, stream: stream, cancellation: onCancel, conclusion: onConclude)
        let sink = Sink(onEvent: { continuation.yield($0) }, onEnd: { continuation.finish(throwing: $0) })
        return (generation, sink)
    }

    /// Gives the request up.
    public func cancel() { cancellation() }

    /// Ends the request as a finished one before its model does: the tokens so far are the whole answer, because a stop
    /// string has come.
    public func conclude() { conclusion() }

    public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator()) }

    public struct Iterator: AsyncIteratorProtocol {
        public typealias Element = GenerationEvent
        public typealias Failure = RequestError
        fileprivate var base: AsyncThrowingStream<GenerationEvent, any Error>.Iterator

        public mutating func next() async throws(RequestError) -> GenerationEvent? {
            try await next(isolation: nil)
        }

        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(RequestError) -> GenerationEvent? {
            do {
                return try await base.next(isolation: actor)
            } catch let error as RequestError {
                throw error
            } catch {
                throw RequestError(.internalError, "\(error)")
            }
        }
    }

    /// The producing end. Calls after the end are ignored.
    public struct Sink: Sendable {
        private let onEvent: @Sendable (GenerationEvent) -> Void
        private let onEnd: @Sendable (RequestError?) -> Void

        /// - Parameter onEnd: told why the generation failed; `nil`: it ended well.
        package init(
            onEvent: @escaping @Sendable (GenerationEvent) -> Void, onEnd: @escaping @Sendable (RequestError?) -> Void
        ) {
            self.onEvent = onEvent
            self.onEnd = onEnd
        }

        public func yield(_ event: GenerationEvent) { onEvent(event) }
        public func finish() { onEnd(nil) }
        public func fail(_ error: RequestError) { onEnd(error) }
    }
}
