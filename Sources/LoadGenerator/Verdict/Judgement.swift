// What one run says about its promises, and whether it may say anything.

import Foundation

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
}

/// What a verdict asks of a run.
public struct VerdictRules: Sendable, Equatable {
    /// The promises; none makes every sound run VALID.
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

    /// Holds a promise against the records of a run.
    init(_ objective: Objective, _ result: RunResult) {
        self.objective = objective
        let kept = result.measured.compactMap { record in
            // A lost run gives its open requests up: what they would have come to is not known.
            result.ending == .lost && record.isUnfinished
                ? objective.isBroken(by: record) ? false : nil : objective.isKept(by: record)
        }
        samples = kept.count
        misses = kept.count { !$0 }
        observed = result.distribution(of: objective.metric).quantile(objective.percentile)
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
        let results = rules.objectives.map { ObjectiveResult($0, result) }
        objectives = results
        let span = max(result.span, .nanoseconds(1))
        let good = result.measured.count { record in
            record.outcome == .completed && rules.objectives.allSatisfy { $0.isKept(by: record) ?? true }
        }
        goodput = Double(good) / span.seconds
        // A run that is broken for certain stays so, whoever ended it; a late generator is to blame before the server.
        let broken = results.filter { !$0.isObserved }
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
        } else {
            let doubts = Self.doubts(results, rules, span: result.span)
            (verdict, reasons) = (doubts.isEmpty ? .valid : .inconclusive, doubts)
        }
    }

    private static func miss(_ result: ObjectiveResult) -> String {
        let observed = result.observed.map { "measured \($0.shortText)" } ?? "it lies among the failed requests"
        return
            "\(result.objective.name) is broken: \(observed), \(result.misses) of \(result.samples) requests miss it, "
            + "\(Share.percent(result.confidenceOfBreach)) sure"
    }

    private static func doubts(_ results: [ObjectiveResult], _ rules: VerdictRules, span: Duration) -> [String] {
        var doubts = results.filter { $0.confidence < rules.confidence }.map { result in
            let needed = BinomialTest.samplesNeeded(
                misses: result.misses, result.objective.percentile, confidence: rules.confidence)
            return
                "\(result.objective.name) holds with \(result.misses) of \(result.samples) missing it, which is only "
                + "\(Share.percent(result.confidence)) sure: \(Share.percent(rules.confidence)) needs \(needed) requests"
        }
        if span < rules.minimumDuration {
            doubts.append("it lasted \(span.shortText), and a verdict needs \(rules.minimumDuration.shortText)")
        }
        return doubts
    }
}

/// Whether the load generator kept up with its own schedule.
public struct GeneratorHealth: Sendable, Equatable {
    /// A request sent later than this after its time counts as a late send.
    public static let lateThreshold = Duration.milliseconds(5)
    /// The part of the median latency that lateness may be before the generator, not the server, is being measured.
    static let lateShare = 0.05

    /// How late the 99th of 100 requests was sent.
    public let lateness: Duration
    /// A sentence that blames the generator; nil while it kept up.
    public let bottleneck: String?

    /// Looks at a run.
    ///
    /// Latencies count from the scheduled time, so lateness can only make a server look slower: it disqualifies a run
    /// when it is a visible part of the latency. Beyond the generator's reach the whole latency is lateness.
    public init(_ result: RunResult, maximumLateness: Duration? = nil) {
        lateness = LatencyDistribution(samples: result.records.map(\.lateness)).quantile(.p99) ?? .zero
        let unsent = result.records.count { record in
            if case .failed(.unsent, _) = record.outcome { true } else { false }
        }
        let latency = result.distribution(of: .e2e)
        let median = latency.quantile(.p50) ?? latency.maximumMeasured ?? .zero
        let limit = maximumLateness ?? max(Self.lateThreshold, median * Self.lateShare)
        // A single one is chance, however few there are.
        let late = result.records.count { $0.lateness > limit }
        if unsent > 0 {
            bottleneck =
                "the load generator was the bottleneck: \(unsent) requests were not sent, because as many as it can hold were open"
        } else if late > max(1, result.records.count / 100) {
            bottleneck =
                "the load generator was the bottleneck: \(late) of \(result.records.count) requests were sent over \(limit.shortText) late, 1 in 100 over \(lateness.shortText)"
        } else {
            bottleneck = nil
        }
    }
}

/// Shares in words.
enum Share {
    /// `18 %`, `98.9 %`, `99.87 %`: finer the closer it comes to certainty, which is never quite reached.
    static func percent(_ share: Double) -> String {
        if share < 1, share > 0.9999 { return "over 99.99 %" }
        let percent = share * 100
        let text = String(format: percent < 90 ? "%.0f" : percent < 99 ? "%.1f" : "%.2f", percent)
        return (text.contains(".") ? text.replacing(#/\.?0+$/#, with: "") : text) + " %"
    }
}
