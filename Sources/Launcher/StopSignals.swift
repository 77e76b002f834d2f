// The signals that end a program, as a stream.

public import Dispatch
internal import Glibc

/// Turns SIGINT, SIGTERM and SIGHUP into values until it is cancelled.
public final class StopSignals {
    /// One element per signal received.
    public let reasons: AsyncStream<StopReason>
    private let sources: [any DispatchSourceSignal]

    /// Takes the three signals over from their default action, for the whole process. None that comes later is lost.
    ///
    /// - Parameter onHangUp: called for SIGHUP; whether that was all, and nothing stops.
    public init(onHangUp: @escaping @Sendable () -> Bool = { false }) {
        let (stream, continuation) = AsyncStream.makeStream(of: StopReason.self, bufferingPolicy: .bufferingNewest(8))
        reasons = stream
        let queue = DispatchQueue(label: "stop-signals")
        sources = listen(to: [SIGINT, SIGTERM, SIGHUP], on: queue) { number in
            if number == SIGHUP, onHangUp() { return }
            continuation.yield(number == SIGINT ? .interrupt : .terminate)
        }
    }

    /// Ends the stream's supply; the signals stay without effect.
    public func cancel() {
        for source in sources { source.cancel() }
    }
}

/// Takes signals over from their default action, for the whole process, and calls `handler` on `queue` for each.
///
/// It returns when all are watched: libdispatch begins to watch on a thread of its own, and a signal that comes before
/// would be ignored.
public func listen(
    to numbers: [Int32], on queue: DispatchQueue, _ handler: @escaping @Sendable (Int32) -> Void
) -> [any DispatchSourceSignal] {
    numbers.map { number in
        let watched = DispatchSemaphore(value: 0)
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setRegistrationHandler { watched.signal() }
        source.setEventHandler { handler(number) }
        // libdispatch watches what is ignored; what isn't keeps its action besides.
        signal(number, SIG_IGN)
        source.resume()
        watched.wait()
        return source
    }
}
