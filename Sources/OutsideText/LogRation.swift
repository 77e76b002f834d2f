// Lines about what strangers do: one a second, however often they do it.

/// Rations the lines of one kind of fault.
package struct LogRation: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private let interval: Duration
    private var next: Instant?
    private var count = 0

    package init(every interval: Duration = .seconds(1)) { self.interval = interval }

    /// Counts a fault. `nil`: say nothing now; else how many there were since the last line, this one included.
    package mutating func admit(now: Instant) -> Int? {
        count += 1
        guard next.map({ now >= $0 }) ?? true else { return nil }
        next = now + interval
        defer { count = 0 }
        return count
    }
}
