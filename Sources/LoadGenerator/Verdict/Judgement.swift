// What one run says about its promises, and whether it may say anything.

/// The verdict on a run or a search.
public enum Verdict: String, Sendable, Codable {
    /// The measurement stands, and every promise is proved at the stated confidence.
    case valid = "VALID"
    /// The measurement stands, and a promise is broken.
    case missed = "MISSED"
    /// No promise is broken, but the run was too short to prove all of them.
    case inconclusive = "INCONCLUSIVE"
    /// The load generator was the bottleneck: this says nothing about the server.
    case invalid = "INVALID"
    /// The user ended the run before it could say anything.
    case interrupted = "INTERRUPTED"
    /// The measurement stands, and nothing was promised that could be kept.
    case measured = "MEASURED"
}

/// What a verdict asks of a run.
public struct VerdictRules: Sendable, Equatable {
    /// The promises; none makes a sound run MEASURED, if its requests were answered.
    public var objectives: [Objective]
    /// How sure the verdict must be, above 0 and below 1.
    public var confidence: Double
    /// How long a run must last.
    public var minimumDuration: Duration
    /// How late 1 in 100 requests may be sent; nil: 5 ms, or a twentieth of the median latency where that is more.
    public var maximumLateness: Duration?

    /// Makes rules.
    public init(
        objectives: [Objective] = [], confidence: Double = 0.99, minimumDuration: Duration = .zero,
        maximumLateness: Duration? = nil
    ) {
        self.objectives = objectives
        self.confidence = confidence
        self.minimumDuration = minimumDuration
        self.maximumLateness = maximumLateness
    }
}

/// One promise held against one run.
public struct ObjectiveResult: Sendable, Equatable {
    /// The promise.
    public let objective: Objective
    /// Requests it applies to.
    public let samples: Int
    /// Those that broke it, failures included.
    public let misses: Int
    /// The percentile as measured; nil when it lies among the failed requests, or there are none.
    public let observed: Duration?

    /// Whether the percentile as measured keeps the bound.
    public var isObserved: Bool {
        samples > 0 && misses <= LatencyDistribution.allowedMisses(objective.percentile, of: samples)
    }

    /// How sure the run makes one that the promise holds, 0...1.
    public var confidence: Double {
        BinomialTest.confidence(misses: misses, of: samples, objective.percentile)
    }

    /// How sure the run makes one that the promise is broken, 0...1.
    public var confidenceOfBreach: Double {
        BinomialTest.confidenceOfBreach(misses: misses, of: samples, objective.percentile)
    }

    /// Holds a promise against the records of runs at the same load, taken together.
    public init(_ objective: Objective, _ results: [RunResult]) {
        self.objective = objective
        let kept = results.flatMap { result in
            result.measured.compactMap { record in
                // A lost run gives its open requests up: what they would have come to is not known.
                result.ending == .lost && record.isUnfinished
                    ? objective.isBroken(by: record) ? false : nil : objective.isKept(by: record)
            }
        }
        samples = kept.count
        misses = kept.count { !$0 }
        let distributions = results.map { $0.distribution(of: objective.metric) }
        observed = LatencyDistribution(
            samples: distributions.flatMap(\.sorted), misses: distributions.reduce(0) { $0 + $1.misses }
        ).quantile(objective.percentile)
    }
}

/// The verdict on one run, with its reasons.
public struct Judgement: Sendable, Equatable {
    /// The verdict.
    public let verdict: Verdict
    /// Why it is not better, one sentence each.
    public let reasons: [String]
    /// Each promise.
    public let objectives: [ObjectiveResult]
    /// Requests per second that kept every promise, over the window.
    public let goodput: Double

    /// Whether no promise is broken as measured, however sure that is: what a search goes by on its way.
    public var isPassing: Bool {
        (verdict == .valid || verdict == .inconclusive) && objectives.allSatisfy(\.isObserved)
    }

    /// Judges a run.
    public init(_ result: RunResult, _ rules: VerdictRules) {
        let results = rules.objectives.map { ObjectiveResult($0, [result]) }
        objectives = results
        let span = max(result.span, .nanoseconds(1))
        let good = result.measured.count { record in
            record.outcome == .completed && rules.objectives.allSatisfy { $0.isKept(by: record) ?? true }
        }
        goodput = Double(good) / span.seconds
        // A run that is broken for certain stays so, whoever ended it; a late generator is to blame before the server. A
        // promise that applies to no request is not broken.
        let broken = results.filter { !$0.isObserved && $0.samples > 0 }
        let certain = broken.filter { broken in
            broken.misses > LatencyDistribution.allowedMisses(broken.objective.percentile, of: result.planned)
        }
        if let bottleneck = GeneratorHealth(result, maximumLateness: rules.maximumLateness).bottleneck {
            (verdict, reasons) = (.invalid, [bottleneck])
        } else if result.ending == .lost {
            (verdict, reasons) = (.missed, broken.isEmpty ? ["ended early: a promise was lost"] : broken.map(Self.miss))
        } else if !certain.isEmpty || (result.ending == .complete && !broken.isEmpty) {
            (verdict, reasons) = (.missed, broken.map(Self.miss))
        } else if result.ending != .complete {
            (verdict, reasons) = (.interrupted, ["ended after \(result.records.count) of \(result.planned) requests"])
        } else if result.measured.isEmpty {
            (verdict, reasons) = (.inconclusive, ["no request was due"])
        } else if let unanswered = Self.unanswered(result, hasPromises: !results.isEmpty) {
            (verdict, reasons) = (.missed, [unanswered])
        } else if results.isEmpty {
            (verdict, reasons) = (.measured, ["nothing was promised"])
        } else {
            let doubts = Self.doubts(results, rules, span: result.span)
            (verdict, reasons) = (doubts.isEmpty ? .valid : .inconclusive, doubts)
        }
    }

    private static func miss(_ result: ObjectiveResult) -> String {
        let observed = result.observed.map { "measured \($0.shortText)" } ?? "it lies among the failed requests"
        return
            "\(result.objective.name) is broken: \(observed), \(result.misses) of \(result.samples) requests miss it, "
            + "\(Share.sureness(result.confidenceOfBreach)) sure"
    }

    /// What a server owes that nobody has to ask for: an answer, but for 1 request in 100; with promises of its own, a
    /// run owes what they say, and one answer at least.
    private static func unanswered(_ result: RunResult, hasPromises: Bool) -> String? {
        let measured = result.measured
        let failures = measured.count { $0.outcome != .completed }
        let allowed =
            hasPromises ? measured.count - 1 : LatencyDistribution.allowedMisses(.p99, of: measured.count)
        guard failures > allowed else { return nil }
        return failures == measured.count
            ? "none of \(failures) requests was answered" : "\(failures) of \(measured.count) requests failed"
    }

    private static func doubts(_ results: [ObjectiveResult], _ rules: VerdictRules, span: Duration) -> [String] {
        var doubts = results.filter { $0.confidence < rules.confidence }.map { result in
            guard result.samples > 0 else {
                return "\(result.objective.name) says nothing about answers whose tokens come all at once"
            }
            let needed = BinomialTest.samplesNeeded(
                misses: result.misses, result.objective.percentile, confidence: rules.confidence)
            return
                "\(result.objective.name) holds with \(result.misses) of \(result.samples) missing it, which is only "
                + "\(Share.sureness(result.confidence)) sure: \(Share.percent(rules.confidence)) needs \(needed) requests"
        }
        if span < rules.minimumDuration {
            doubts.append("it lasted \(span.shortText), and a verdict needs \(rules.minimumDuration.shortText)")
        }
        return doubts
    }
}
