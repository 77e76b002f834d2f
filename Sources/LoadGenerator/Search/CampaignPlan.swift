// What a campaign does to every mode, as plain settings.

/// What is done to every mode.
public struct CampaignPlan: Sendable {
    /// How rates are chosen.
    public enum Way: Sendable {
        /// One run at this rate.
        case single(rate: Double)
        /// A ladder.
        case ladder(LadderRates)
        /// A search; a start of nil begins at half of what one request after the other gives.
        case search(start: Double?, ceiling: Double, precision: Double, confirmations: Int)
        /// The paper's ladder and rule; no ladder makes one around what one request after the other gives.
        case paper(LadderRates?)
    }

    /// How rates are chosen.
    public var way: Way
    /// When requests are sent.
    public var shape: LoadShape
    /// The promises.
    public var levels: [ServiceLevel]
    /// How sure a verdict must be, 0...1.
    public var confidence: Double
    /// How long a run must last for a verdict.
    public var minimumDuration: Duration
    /// The seed of everything.
    public var seed: UInt64
    /// Requests of each mode before anything counts.
    public var warmUp: Int
    /// How long a request may take.
    public var timeout: Duration
    /// How long open requests are waited for at a run's end.
    public var drainLimit: Duration
    /// Rest between runs.
    public var pause: Duration
    /// How long all of it may take.
    public var budget: Duration?
    /// Requests that may be open at a time.
    public var openLimit: Int
    /// How late the generator may be; see ``VerdictRules/maximumLateness``.
    public var maximumLateness: Duration?

    /// Requests of the unloaded measurement of each mode.
    public static let unloadedRequests = 3

    /// Makes a plan.
    public init(
        way: Way, shape: LoadShape, levels: [ServiceLevel] = [], confidence: Double = 0.99,
        minimumDuration: Duration = .zero, seed: UInt64 = 1, warmUp: Int = 1, timeout: Duration = .seconds(60),
        drainLimit: Duration = .seconds(60), pause: Duration = .zero, budget: Duration? = nil, openLimit: Int = 10_000,
        maximumLateness: Duration? = nil
    ) {
        self.way = way
        self.shape = shape
        self.levels = levels
        self.confidence = confidence
        self.minimumDuration = minimumDuration
        self.seed = seed
        self.warmUp = warmUp
        self.timeout = timeout
        self.drainLimit = drainLimit
        self.pause = pause
        self.budget = budget
        self.openLimit = openLimit
        self.maximumLateness = maximumLateness
    }

    /// Whether the modes must be measured without load first.
    var needsUnloaded: Bool {
        if levels.contains(where: \.isRelative) { return true }
        if case .single = way { return false }
        return true
    }

    /// The rates to try in one mode.
    ///
    /// - Parameter unloaded: how long one of its requests takes alone.
    func policy(unloaded: Duration?) -> any RatePolicy {
        // What one request after the other gives, or anything at all.
        let sequential = 1 / max(unloaded?.seconds ?? 1, 1e-4)
        switch way {
        case .single(let rate): return SingleRate(rate: rate, seed: seed)
        case .ladder(let rates): return LadderClimb(rates, sequential: sequential, seed: seed)
        case .paper(let rates): return LadderClimb(rates ?? .wide, sequential: sequential, seed: seed)
        case .search(let start, let ceiling, let precision, let confirmations):
            return MaximalRateSearch(
                .init(
                    start: start ?? sequential / 2, ceiling: ceiling, precision: precision,
                    confirmations: confirmations, confidence: confidence, seed: seed))
        }
    }
}
