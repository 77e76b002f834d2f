// How long a user of a closed loop waits after a request that failed.

/// The pause before the next request: none after an answer, longer and longer while requests fail.
///
/// A user who sends as soon as the last answer has come would do nothing but send to a server that refuses, as no real
/// client does. What the server says itself (`Retry-After`) is never cut short.
package struct BackOff {
    /// The pause after the first failure; each one more doubles it.
    package static let shortest = Duration.milliseconds(100)
    /// The longest pause that a server did not ask for.
    package static let longest = Duration.seconds(5)

    private var failures = 0
    private var generator: SplitMix64

    /// - Parameter seed: of the pauses' spread, so that users that failed together do not come back together.
    package init(seed: UInt64) {
        generator = SplitMix64(seed: seed)
    }

    /// The pause after a request that ended so: half of the doubled time at least, and never less than what was asked for.
    package mutating func pause(after outcome: Outcome, retryAfter: Duration?) -> Duration {
        guard case .failed = outcome else {
            failures = 0
            return .zero
        }
        // From the sixth doubling on it is the longest.
        let doubled = min(Self.shortest * Double(1 << min(failures, 10)), Self.longest)
        failures += 1
        return max(doubled * (0.5 + generator.unit() / 2), retryAfter ?? .zero)
    }
}
