// What a worker has and does at a moment.

/// A worker at a moment. Counters begin with the worker and never fall.
public struct WorkerSnapshot: Sendable, Equatable {
    /// Where a worker is in its life.
    public enum Phase: String, Sendable, CaseIterable {
        /// Made, or running and not answered by a coordinator.
        case waiting
        /// A coordinator answers and has given no place yet, or has taken it away.
        case registered
        /// A place is given; its weights are being loaded.
        case loading
        /// Weights are loaded; the next neighbour is not reached yet.
        case linking
        /// Serving.
        case ready
        /// The assignment can't be served any further; see ``WorkerSnapshot/fault``.
        case faulty
        /// Wants to be relieved, and still serves what it has.
        case draining
        /// Ended.
        case ended
    }

    /// Where the worker is in its life.
    public var phase = Phase.waiting
    /// Its place, if it has one.
    public var assignment: WorkerAssignment?
    /// The layers whose weights are held; of the first and the last perhaps a part.
    public var loadedLayers: Range<Int>?
    /// Of weights being loaded, how much is there, 0 to 1.
    public var loadedFraction = 0.0
    /// Tokens' worth of KV cache reserved by requests.
    public var kvTokensUsed = 0
    /// Tokens' worth of KV cache there is.
    public var kvTokens = 0
    /// Requests held.
    public var requests = 0
    /// Micro-batches, or prompts, computed.
    public var messages: UInt64 = 0
    /// Token rows computed.
    public var rows: UInt64 = 0
    /// Time spent computing.
    public var busy = Duration.zero
    /// Rows a second over the last ten seconds, or since the worker runs.
    public var rowsPerSecond = 0.0
    /// Share of the same time spent computing, 0 to 1.
    public var busyShare = 0.0
    /// What is wrong with the assignment.
    public var fault: String?

    /// Nothing yet.
    public init() {}
}

/// How a worker stands, as far as events tell of it.
package struct WorkerStatus: Equatable {
    /// Loading is told in so many steps.
    package static let steps = 20

    package var isRegistered = false
    package var isDraining = false
    /// Another one for another assignment.
    package var epoch: String?
    package var assignment: WorkerAssignment?
    /// Layers that are wanted and not all there.
    package var loadingLayers: Range<Int>?
    package var loadingStep = 0
    package var isLoaded = false
    package var isReady = false
    package var fault: String?

    package init() {}

    package var phase: WorkerSnapshot.Phase {
        if isDraining { return .draining }
        guard isRegistered else { return .waiting }
        guard assignment != nil else { return .registered }
        if fault != nil { return .faulty }
        return isReady ? .ready : isLoaded ? .linking : .loading
    }
}

/// Counts at moments of the last ten seconds.
package struct RateWindow {
    private struct Point {
        var at: ContinuousClock.Instant
        var rows: UInt64
        var busy: Duration
    }
    private static let span = Duration.seconds(10)
    private static let spacing = Duration.milliseconds(500)
    private var points: [Point] = []

    package init() {}

    /// Takes the counts of this moment. Returns rows a second, and the busy share, since the oldest moment kept.
    package mutating func add(rows: UInt64, busy: Duration, at now: ContinuousClock.Instant) -> (
        rows: Double, busy: Double
    ) {
        if points.last.map({ $0.at.duration(to: now) >= Self.spacing }) ?? true {
            points.append(Point(at: now, rows: rows, busy: busy))
        }
        while points.count > 2, points[1].at.duration(to: now) >= Self.span { points.removeFirst() }
        guard let first = points.first, first.at < now else { return (0, 0) }
        let seconds = first.at.duration(to: now) / .seconds(1)
        return (
            Double(rows &- first.rows) / seconds, min(1, max(0, (busy - first.busy) / .seconds(1) / seconds))
        )
    }
}
