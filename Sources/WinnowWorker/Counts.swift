// What the computing half of a worker has done so far.

import Synchronization

/// Counters that one thread adds to and any reads.
final class Counts: Sendable {
    private let messages = Atomic<UInt64>(0)
    private let rows = Atomic<UInt64>(0)
    private let busyMicroseconds = Atomic<UInt64>(0)

    /// One message is done, for which computing began at `start`.
    func add(rows count: Int, since start: ContinuousClock.Instant, _ clock: ContinuousClock) {
        messages.add(1, ordering: .relaxed)
        rows.add(UInt64(max(0, count)), ordering: .relaxed)
        busyMicroseconds.add(UInt64(max(0, start.duration(to: clock.now) / .microseconds(1))), ordering: .relaxed)
    }

    func fill(_ load: inout WorkerState.Load) {
        load.messages = messages.load(ordering: .relaxed)
        load.rows = rows.load(ordering: .relaxed)
        load.busyMicroseconds = busyMicroseconds.load(ordering: .relaxed)
    }
}
