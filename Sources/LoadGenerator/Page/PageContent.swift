// What the report page shows: plain values, independent of how they were measured.

/// Everything the page of a search or a single run shows.
public struct PageContent: Sendable, Equatable {
    /// The heading.
    public var title: String
    /// What is needed to repeat the measurement, in the order given.
    public var facts: [PageFact]
    /// The promises the runs were held to.
    public var objectives: [PageObjective]
    /// What was compared; the order fixes the colours.
    public var modes: [PageMode]
    /// Ratios between modes.
    public var comparisons: [PageComparison]
    /// Warnings and simplifications in plain words.
    public var notes: [String]

    /// Makes the content of a page.
    public init(
        title: String = "Load report", facts: [PageFact] = [], objectives: [PageObjective] = [],
        modes: [PageMode] = [], comparisons: [PageComparison] = [], notes: [String] = []
    ) {
        self.title = title
        self.facts = facts
        self.objectives = objectives
        self.modes = modes
        self.comparisons = comparisons
        self.notes = notes
    }
}

/// One thing to know for repeating the measurement: `seed`, `42`.
public struct PageFact: Sendable, Equatable {
    /// What it is.
    public var label: String
    /// Its value as people read it.
    public var value: String

    /// Makes a fact.
    public init(label: String, value: String) {
        self.label = label
        self.value = value
    }
}

/// One promise: `metric` stays within the bound for `percentile` of 100 requests.
public struct PageObjective: Sendable, Equatable {
    /// `ttft`, `tpot` or `e2e`: a key of ``PageRun/latencies``.
    public var metric: String
    /// Above 0 and under 100, such as 99 or 99.9.
    public var percentile: Double
    /// The bound in milliseconds.
    public var boundMilliseconds: Double

    /// Makes a promise.
    public init(metric: String = "ttft", percentile: Double = 99, boundMilliseconds: Double) {
        self.metric = metric
        self.percentile = percentile
        self.boundMilliseconds = boundMilliseconds
    }
}

/// How many times more (or less) of something one mode has than another.
public struct PageComparison: Sendable, Equatable {
    /// What is compared, such as `maximal QPS`.
    public var what: String
    /// The mode in the numerator.
    public var of: String
    /// The mode in the denominator.
    public var against: String
    /// The one divided by the other.
    public var ratio: Double
    /// The confidence interval's lower end; nil when unknown.
    public var low: Double?
    /// The confidence interval's upper end; nil when unknown.
    public var high: Double?

    /// Makes a comparison.
    public init(
        what: String, of: String, against: String, ratio: Double, low: Double? = nil, high: Double? = nil
    ) {
        self.what = what
        self.of = of
        self.against = against
        self.ratio = ratio
        self.low = low
        self.high = high
    }
}

/// One of the things compared: a way to prefill, or a server.
public struct PageMode: Sendable, Equatable {
    /// As the legend prints it, such as `dense` or `keep 0.1`.
    public var name: String
    /// `VALID`, `MISSED`, `INCONCLUSIVE`, `INVALID`, `INTERRUPTED` or `MEASURED`.
    public var verdict: String
    /// The verdict in a sentence.
    public var verdictReason: String
    /// The highest rate that is proved to keep the promises, in requests/s; nil when none is or none was searched for.
    public var maximalRate: Double?
    /// The highest rate that kept the promises as measured, in requests/s.
    public var passedRate: Double?
    /// The lowest rate above it that failed, in requests/s; nil when none did.
    public var maximalRateHigh: Double?
    /// How the promises stood in the runs that decided, a sentence each.
    public var promises: [String]
    /// The median TTFT without load, in milliseconds.
    public var unloadedTTFTMilliseconds: Double?
    /// The runs in the order they were made.
    public var runs: [PageRun]
    /// The index in ``runs`` of the run to show in detail; nil takes the highest valid one, else the last that counts.
    public var focus: Int?

    /// Makes a mode.
    public init(
        name: String, verdict: String = "INCONCLUSIVE", verdictReason: String = "", maximalRate: Double? = nil,
        passedRate: Double? = nil, maximalRateHigh: Double? = nil, promises: [String] = [],
        unloadedTTFTMilliseconds: Double? = nil, runs: [PageRun] = [],
        focus: Int? = nil
    ) {
        self.name = name
        self.verdict = verdict
        self.verdictReason = verdictReason
        self.maximalRate = maximalRate
        self.passedRate = passedRate
        self.promises = promises
        self.maximalRateHigh = maximalRateHigh
        self.unloadedTTFTMilliseconds = unloadedTTFTMilliseconds
        self.runs = runs
        self.focus = focus
    }

    /// The index of the run to show in detail; nil without one that counts.
    var focusIndex: Int? {
        if let focus, runs.indices.contains(focus) { return focus }
        let valid = runs.indices.filter { PageVerdict(runs[$0].verdict) == .valid }
        return valid.max { runs[$0].offeredRate < runs[$1].offeredRate }
            ?? runs.indices.last { PageVerdict(runs[$0].verdict).counts }
    }

    /// The run to show in detail.
    var focusRun: PageRun? { focusIndex.map { runs[$0] } }
}
