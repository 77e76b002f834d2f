import Foundation
import Launcher

/// Waits for what ends a serving command: SIGINT, SIGTERM, SIGHUP, and, if asked for, the end of standard input.
///
/// A launcher holds the write end of its children's standard input, so they end with it however it ends.
final class EndSignals {
    private let signals: StopSignals
    private let stream: AsyncStream<StopReason>
    private let relay: Task<Void, Never>
    /// Seconds that running requests have once standard input has ended.
    private static let patience: UInt32 = 5

    /// - Parameter onHangUp: called for SIGHUP of others than a terminal that is closed; whether that was all.
    init(withStandardInput: Bool, onHangUp: @escaping @Sendable () -> Bool = { false }) {
        // Who began at a terminal ends with it.
        let hasTerminal = isatty(STDIN_FILENO) == 1
        signals = StopSignals { (!hasTerminal || isatty(STDIN_FILENO) == 1) && onHangUp() }
        let (stream, continuation) = AsyncStream.makeStream(of: StopReason.self, bufferingPolicy: .bufferingNewest(8))
        self.stream = stream
        let reasons = signals.reasons
        relay = Task { for await reason in reasons { continuation.yield(reason) } }
        guard withStandardInput else { return }
        // A thread that reads, not a dispatch source: those crash now and then when the descriptor they watch ends while
        // the process does. It needs no end of its own.
        Thread.detachNewThread {
            var bytes = [UInt8](repeating: 0, count: 4096)
            // What is written there is of no interest, only that it ends.
            while true {
                let count = read(STDIN_FILENO, &bytes, bytes.count)
                if count == 0 || (count < 0 && errno != EINTR) { break }
            }
            continuation.yield(.terminate)
            // Nobody is left who could ask again, as one does who will not wait for requests to end.
            sleep(Self.patience)
            continuation.yield(.terminate)
        }
    }

    /// The next of them; one task at a time waits.
    func next() async -> StopReason? {
        for await reason in stream { return reason }
        return nil
    }

    deinit {
        relay.cancel()
        signals.cancel()
    }
}
