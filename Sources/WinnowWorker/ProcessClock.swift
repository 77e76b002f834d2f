/// The clock of this process, in microseconds since a moment of its own. The coordinator finds out how it stands to its own.
enum ProcessClock {
    private static let origin = ContinuousClock.now

    static var microseconds: UInt64 { UInt64(max(0, origin.duration(to: .now) / .microseconds(1))) }
}
