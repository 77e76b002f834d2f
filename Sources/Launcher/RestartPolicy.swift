// Whether a process that has ended by itself is started again, and when.

/// What becomes of processes that end though nobody has asked the launch to end.
///
/// A process is started again after a back-off that doubles with each end and begins anew after a life of
/// ``steadyLife``. It is given up where starting it again can't help: after a mistake in its arguments or files (exit
/// status 64 or 65), and when it has ended too often. While the cluster has never served, whoever ends with any status
/// but 0 is given up too: who has just started it should see why, not wait. A process that was killed is started again
/// even then.
public struct RestartPolicy: Equatable, Sendable {
    /// Which ends lead to a new start.
    public enum Condition: String, CaseIterable, Sendable {
        /// All.
        case always
        /// All but an exit with status 0.
        case onFailure = "on-failure"
        /// None.
        case never
    }

    /// Which ends lead to a new start.
    public var condition: Condition
    /// The wait after the first end, over 0.
    public var backoff: Duration
    /// The longest wait; at least ``backoff``.
    public var maxBackoff: Duration
    /// A process is given up when it has ended more often than this within ``window``; at least 1.
    public var giveUp: Int
    /// The time in which ends are counted.
    public var window: Duration

    /// A life after which a process's earlier ends no longer count.
    public static let steadyLife: Duration = .seconds(60)

    /// Always, after 0.5 s doubling to 30 s, at most ten times in five minutes.
    public init(
        condition: Condition = .always, backoff: Duration = .milliseconds(500), maxBackoff: Duration = .seconds(30),
        giveUp: Int = 10, window: Duration = .seconds(300)
    ) {
        self.condition = condition
        self.backoff = backoff
        self.maxBackoff = maxBackoff
        self.giveUp = giveUp
        self.window = window
    }

    /// The starts and ends of one process; times since the launch began.
    package struct Record: Equatable, Sendable {
        /// When it was started last.
        package var started: Duration
        /// Ends that count, oldest first; at most ``RestartPolicy/giveUp`` and one more.
        package var ends: [Duration] = []
        /// The wait after the last end, nil before the first and after a steady life.
        package var lastWait: Duration?

        /// One that is started at this time, or has not been.
        package init(started: Duration = .zero) { self.started = started }
    }

    /// What to do after an end.
    package enum Decision: Equatable, Sendable {
        case restart(after: Duration)
        /// Not to be started again; why, as the end of "not started again: ...".
        case giveUp(String)
    }

    /// Decides about a process that has ended `now`.
    ///
    /// - Parameter hasServed: Whether the cluster has served once.
    package func decision(
        after end: ProcessEnd, at now: Duration, hasServed: Bool, _ record: inout Record
    ) -> Decision {
        if now - record.started >= Self.steadyLife { record = Record(started: record.started) }
        record.ends.append(now)
        record.ends.removeAll { now - $0 > window }
        switch (condition, end) {
        case (.never, _): return .giveUp("the restart policy is `never`")
        case (.onFailure, .exited(0)): return .giveUp("it ended with 0 and the restart policy is `on-failure`")
        case (_, .exited(64)): return .giveUp("its arguments are wrong")
        case (_, .exited(65)): return .giveUp("a file it needs is bad")
        case (_, .exited(1...)) where !hasServed: return .giveUp("it ended before the cluster could serve")
        case (_, .notStarted) where !hasServed: return .giveUp("it can't be started")
        default: break
        }
        guard record.ends.count <= giveUp else {
            return .giveUp("it has ended \(record.ends.count) times within \(window)")
        }
        let wait = min(record.lastWait.map { $0 * 2 } ?? backoff, maxBackoff)
        record.lastWait = wait
        return .restart(after: wait)
    }
}
