// The seeded generator behind every schedule.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
///
/// Small, fast, and fully given by its 64-bit seed, so a schedule can be drawn again anywhere from the
/// seed in a report. Not for secrets.
public struct SplitMix64: RandomNumberGenerator, Sendable, Equatable {
    private var state: UInt64

    /// Starts the sequence of one seed; any value is a good seed.
    public init(seed: UInt64) {
        state = seed
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A uniform number in (0, 1]: never 0, so that its logarithm is finite.
    mutating func unit() -> Double {
        Double((next() >> 11) + 1) * 0x1p-53
    }
}
