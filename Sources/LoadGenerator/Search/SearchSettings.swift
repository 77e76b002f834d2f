// What is asked of a search for the maximal rate.

extension MaximalRateSearch {
    /// What is asked of a search.
    public struct Settings: Sendable, Equatable {
        /// The first rate to try, requests per second.
        public var start: Double
        /// The highest rate to try.
        public var ceiling: Double
        /// The bracket is narrow enough when its ends differ by less than this share.
        public var precision: Double
        /// Runs with fresh seeds that, taken together, must prove the result.
        public var confirmations: Int
        /// How sure the proof must be, 0...1.
        public var confidence: Double
        /// The seed all others are drawn from.
        public var seed: UInt64
        /// Runs after which the search gives up.
        public var maximumRuns: Int

        /// Makes settings.
        public init(
            start: Double, ceiling: Double = ArrivalSchedule.maximumRate, precision: Double = 0.05,
            confirmations: Int = 2, confidence: Double = 0.99, seed: UInt64 = 1, maximumRuns: Int = 40
        ) {
            self.start = start
            self.ceiling = ceiling
            self.precision = precision
            self.confirmations = confirmations
            self.confidence = confidence
            self.seed = seed
            self.maximumRuns = maximumRuns
        }
    }
}
