// One run as the report page shows it.

/// One run at one rate.
public struct PageRun: Sendable, Equatable {
    /// The rate asked for, in requests/s.
    public var offeredRate: Double
    /// The rate of completed requests, in requests/s.
    public var achievedRate: Double
    /// Why it was made: `bracket`, `bisect`, `confirm`, `rung` or `run`.
    public var purpose: String
    /// `VALID`, `MISSED`, `INCONCLUSIVE`, `INVALID`, `INTERRUPTED` or `MEASURED`.
    public var verdict: String
    /// The verdict in a sentence.
    public var verdictReason: String
    /// Requests sent.
    public var requests: Int
    /// Those with a whole answer.
    public var completed: Int
    /// Tokens of the whole answers, per second.
    public var outputTokensPerSecond: Double?
    /// Those without, by what went wrong.
    public var failedByKind: [String: Int]
    /// By metric: `ttft`, `tpot` and `e2e`.
    public var latencies: [String: PageLatency]
    /// The share of requests that broke each promise, 0...1, in the order of ``PageContent/objectives``.
    public var missShares: [Double?]
    /// The share of right answers, 0...1; nil when none was judged.
    public var accuracy: Double?
    /// Answers with a known right one.
    public var judged: Int
    /// The share of prompt tokens that were prefilled, 0...1.
    public var keepRate: Double?
    /// Order statistics of the measured TTFT in milliseconds, ascending and evenly spaced up to the slowest, so
    /// that value i of n is the (i + 1)/n quantile of those measured; at most 1000. Failures have none.
    public var ttftQuantiles: [Double]
    /// The share of requests without a TTFT, 0...1.
    public var ttftFailures: Double
    /// Second by second.
    public var timeline: [PageTick]
    /// How busy each part of the server was.
    public var stages: [PageStage]
    /// What limits the rate, in a sentence.
    public var bottleneck: String?

    /// Makes a run.
    public init(
        offeredRate: Double, achievedRate: Double = 0, purpose: String = "run", verdict: String = "INCONCLUSIVE",
        verdictReason: String = "", requests: Int = 0, completed: Int = 0,
        outputTokensPerSecond: Double? = nil, failedByKind: [String: Int] = [:],
        latencies: [String: PageLatency] = [:], missShares: [Double?] = [], accuracy: Double? = nil,
        judged: Int = 0, keepRate: Double? = nil, ttftQuantiles: [Double] = [], ttftFailures: Double = 0,
        timeline: [PageTick] = [], stages: [PageStage] = [], bottleneck: String? = nil
    ) {
        self.offeredRate = offeredRate
        self.achievedRate = achievedRate
        self.purpose = purpose
        self.verdict = verdict
        self.verdictReason = verdictReason
        self.requests = requests
        self.completed = completed
        self.outputTokensPerSecond = outputTokensPerSecond
        self.failedByKind = failedByKind
        self.latencies = latencies
        self.missShares = missShares
        self.accuracy = accuracy
        self.judged = judged
        self.keepRate = keepRate
        self.ttftQuantiles = ttftQuantiles
        self.ttftFailures = ttftFailures
        self.timeline = timeline
        self.stages = stages
        self.bottleneck = bottleneck
    }

    /// Failed requests of every kind.
    var failed: Int { failedByKind.values.reduce(0) { $0.addingReportingOverflow(max(0, $1)).partialValue } }
}

/// The percentiles of one latency in milliseconds; nil where the percentile lies among the failed requests.
public struct PageLatency: Sendable, Equatable {
    /// Half the requests are no slower.
    public var p50: Double?
    /// 90 of 100 requests are no slower.
    public var p90: Double?
    /// 95 of 100 requests are no slower.
    public var p95: Double?
    /// 99 of 100 requests are no slower.
    public var p99: Double?
    /// The slowest request.
    public var max: Double?
    /// The mean of the measured ones.
    public var mean: Double?
    /// The confidence interval of ``p99`` in milliseconds.
    public var p99Interval: PageInterval?
    /// Percentiles beside those above, for objectives such as p95 and p99.9.
    public var others: [PagePercentile]

    /// Makes percentiles.
    public init(
        p50: Double? = nil, p90: Double? = nil, p95: Double? = nil, p99: Double? = nil, max: Double? = nil,
        mean: Double? = nil,
        p99Interval: PageInterval? = nil, others: [PagePercentile] = []
    ) {
        self.p50 = p50
        self.p90 = p90
        self.p95 = p95
        self.p99 = p99
        self.max = max
        self.mean = mean
        self.p99Interval = p99Interval
        self.others = others
    }

    /// ``max`` as a percentile.
    var slowest: PagePercentile { PagePercentile(100, milliseconds: max) }

    /// The percentile as it was measured; nil when it was not.
    func percentile(_ percentile: Double) -> PagePercentile? {
        switch percentile {
        case 50: PagePercentile(percentile, milliseconds: p50)
        case 90: PagePercentile(percentile, milliseconds: p90)
        case 95: PagePercentile(percentile, milliseconds: p95)
        case 99: PagePercentile(percentile, milliseconds: p99)
        default: others.first { abs($0.percentile - percentile) < 1e-6 }
        }
    }
}

/// A percentile of a latency.
public struct PagePercentile: Sendable, Equatable {
    /// Above 0 and under 100, such as 99.9.
    public var percentile: Double
    /// In milliseconds; nil when it lies among the failed requests.
    public var milliseconds: Double?

    /// Makes a percentile.
    public init(_ percentile: Double, milliseconds: Double?) {
        self.percentile = percentile
        self.milliseconds = milliseconds
    }
}

/// A confidence interval.
public struct PageInterval: Sendable, Equatable {
    /// Its lower end.
    public var low: Double
    /// Its upper end; nil when it lies among the failed requests.
    public var high: Double?

    /// Makes an interval.
    public init(low: Double, high: Double?) {
        self.low = low
        self.high = high
    }
}

/// One second of a run.
public struct PageTick: Sendable, Equatable {
    /// Seconds since the start of the run.
    public var second: Int
    /// Requests due in this second.
    public var offered: Double
    /// Requests completed in this second.
    public var completed: Double
    /// Requests that were open, on average over this second.
    public var inFlight: Double
    /// Requests failed in this second.
    public var failed: Double

    /// Makes a tick.
    public init(
        second: Int, offered: Double = 0, completed: Double = 0, inFlight: Double = 0, failed: Double = 0
    ) {
        self.second = second
        self.offered = offered
        self.completed = completed
        self.inFlight = inFlight
        self.failed = failed
    }
}

/// A part of the server.
public struct PageStage: Sendable, Equatable {
    /// As the plot prints it.
    public var name: String
    /// The share of the run it was busy, 0...1.
    public var busyShare: Double
    /// More in a few words, such as its layers or its queue.
    public var detail: String

    /// Makes a stage.
    public init(name: String, busyShare: Double, detail: String = "") {
        self.name = name
        self.busyShare = busyShare
        self.detail = detail
    }
}
