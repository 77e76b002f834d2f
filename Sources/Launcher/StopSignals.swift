// The signals that end a launch, as a stream.

internal import Dispatch
internal import Glibc

/// Turns SIGINT, SIGTERM and SIGHUP into values until it is cancelled.
public final class StopSignals {
    /// One element per signal received.
    public let reasons: AsyncStream<StopReason>
    private let sources: [any DispatchSourceSignal]

    /// Takes the three signals over from their default action, for the whole process.
    public init() {
        let (stream, continuation) = AsyncStream.makeStream(of: StopReason.self, bufferingPolicy: .bufferingNewest(8))
        reasons = stream
        let queue = DispatchQueue(label: "stop-signals")
        sources = [SIGINT, SIGTERM, SIGHUP].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { continuation.yield(number == SIGINT ? .interrupt : .terminate) }
            source.resume()
            return source
        }
    }

    /// Ends the stream's supply; the signals stay without effect.
    public func cancel() {
        for source in sources { source.cancel() }
    }
}
