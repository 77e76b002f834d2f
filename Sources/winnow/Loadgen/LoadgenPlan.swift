// The options of `winnow loadgen` to a plan: what is contradictory or missing is said here.

import ArgumentParser
import Foundation
import LoadGenerator

/// What the options come to.
struct LoadgenPlan {
    let kind: MeasurementKind
    let plan: CampaignPlan
    /// The trace that gives times and lengths.
    let trace: Trace?

    private static let defaultDuration = Duration.seconds(30)
    private static let searchDuration = Duration.seconds(60)
    /// Misses the default number of requests can carry and still prove a promise.
    private static let tolerableMisses = 3
    private static let defaultOpenLimit = 10_000

    init(
        arrivals: LoadgenArrivalOptions, verdict: LoadgenVerdictOptions, requests: LoadgenRequestOptions
    ) throws {
        trace = try Self.trace(arrivals, requests)
        let isPaper = verdict.policy == .paper
        kind = isPaper ? .paper : verdict.findsMaximum ? .search : verdict.ladder != nil ? .ladder : .run
        let isSearch = kind == .search
        let timeout = arrivals.timeout
        let openLimit = OpenFiles.raiseLimit(wanted: Self.defaultOpenLimit)
        let duration = arrivals.duration ?? (kind == .search ? Self.searchDuration : Self.defaultDuration)
        let process = arrivals.arrivals ?? (isPaper ? .constant : .poisson)
        let way: CampaignPlan.Way
        var shape = LoadShape.timed(process, duration)
        switch kind {
        case .run:
            if let trace {
                shape = .recorded(
                    try ArrivalSchedule(trace: trace.name, offsets: trace.entries.map(\.offset)))
            } else if let concurrency = arrivals.concurrency {
                shape = .closed(concurrency: concurrency, duration)
            }
            way = .single(rate: arrivals.rate ?? 0)
        case .ladder:
            guard let ladder = verdict.ladder else { throw ValidationError("--ladder names no rates.") }
            way = .ladder(ladder)
            shape = .counted(process, duration, minimum: verdict.samples ?? 3)
        case .search:
            way = .search(
                start: arrivals.rate, ceiling: verdict.maxRate ?? ArrivalSchedule.maximumRate,
                precision: verdict.precision ?? 0.05, confirmations: verdict.confirmations ?? 2)
            shape = .counted(
                process, duration, minimum: verdict.samples ?? Self.samples(verdict, misses: Self.tolerableMisses),
                bracket: Self.samples(verdict, misses: 1))
        case .paper:
            way = .paper(verdict.ladder)
            shape = .counted(process, .zero, minimum: verdict.samples ?? PaperRule.requests)
        }
        plan = CampaignPlan(
            way: way, shape: shape, levels: verdict.levels, confidence: verdict.confidence,
            minimumDuration: isSearch ? arrivals.duration ?? .zero : .zero, seed: arrivals.seed,
            warmUp: arrivals.warmUp, timeout: timeout, drainLimit: arrivals.drain ?? timeout,
            pause: verdict.pause ?? (isPaper ? PaperRule.pause : .zero), budget: verdict.maxTime, openLimit: openLimit,
            maximumLateness: arrivals.maxLateness)
        if case .timed(let process, let duration) = shape, case .single(let rate) = way {
            let schedule = try ArrivalSchedule(process, rate: rate, duration: duration, seed: arrivals.seed)
            if schedule.offsets.isEmpty {
                throw LoadGeneratorError(
                    .usage, "--rate",
                    "seed \(arrivals.seed) draws no arrival in \(duration) at \(rate)/s: lengthen --duration")
            }
        }
    }

    private static func samples(_ verdict: LoadgenVerdictOptions, misses: Int) -> Int {
        verdict.levels.map { level in
            BinomialTest.samplesNeeded(misses: misses, level.percentile, confidence: verdict.confidence)
        }.max() ?? 100
    }

    /// What is contradictory or missing.
    static func check(_ arrivals: LoadgenArrivalOptions, _ verdict: LoadgenVerdictOptions) throws {
        let isSearch = verdict.findsMaximum || verdict.ladder != nil || verdict.policy == .paper
        let loads = [
            arrivals.rate != nil && !isSearch, arrivals.trace != nil, arrivals.concurrency != nil, isSearch,
        ].count { $0 }
        guard loads == 1 else {
            throw ValidationError(
                loads == 0
                    ? "Say what load: --rate, --trace, --concurrency, --find-max-qps, --ladder, or --policy paper."
                    : "Give one of --rate, --trace, --concurrency, and a search (--find-max-qps, --ladder, --policy paper)."
            )
        }
        guard !verdict.findsMaximum || (verdict.ladder == nil && verdict.policy == .search) else {
            throw ValidationError(
                "Give one of --find-max-qps, --ladder and --policy paper (which may have a --ladder).")
        }
        if (verdict.findsMaximum || verdict.ladder != nil) && verdict.policy == .search && verdict.levels.isEmpty {
            throw ValidationError("A maximum needs a promise: --slo ttft:p99:2s for example.")
        }
        if verdict.policy == .paper && !verdict.levels.isEmpty {
            throw ValidationError("--policy paper has a rule of its own (time-outs, --timeout): leave out --slo.")
        }
        if let rate = arrivals.rate, !rate.isFinite || rate <= 0 {
            throw ValidationError("--rate must be above 0, found \(Self.plain(rate)).")
        }
        if let duration = arrivals.duration, duration <= .zero {
            throw ValidationError("--duration must be more than 0.")
        }
        guard arrivals.timeout > .zero else { throw ValidationError("--timeout must be more than 0.") }
        guard (0...10_000).contains(arrivals.warmUp) else { throw ValidationError("--warm-up must be 0 to 10000.") }
        if let users = arrivals.concurrency, !(1...10_000).contains(users) {
            throw ValidationError("--concurrency must be 1 to 10000, found \(users).")
        }
        guard arrivals.timeScale == nil || arrivals.trace != nil else {
            throw ValidationError("--time-scale belongs to --trace.")
        }
        guard arrivals.trace == nil || arrivals.arrivals == nil else {
            throw ValidationError("--trace has its own arrivals: leave out --arrivals.")
        }
        guard verdict.confidence > 0.5, verdict.confidence < 1 else {
            throw ValidationError(
                "--confidence must be above 0.5 and below 1, found \(Self.plain(verdict.confidence)).")
        }
        if let precision = verdict.precision, !(0.001...1).contains(precision) {
            throw ValidationError("--precision must be 0.001 to 1, found \(Self.plain(precision)).")
        }
        if let confirmations = verdict.confirmations, !(1...20).contains(confirmations) {
            throw ValidationError("--confirmations must be 1 to 20, found \(confirmations).")
        }
        if let samples = verdict.samples, !(1...ArrivalSchedule.maximumCount).contains(samples) {
            throw ValidationError("--samples must be 1 to \(ArrivalSchedule.maximumCount), found \(samples).")
        }
        // What would have no effect is refused: nobody should believe it had one.
        if arrivals.rate != nil && isSearch && !verdict.findsMaximum {
            throw ValidationError("--rate belongs to a single run or to --find-max-qps; --ladder names its own rates.")
        }
        guard arrivals.concurrency == nil || arrivals.arrivals == nil else {
            throw ValidationError("--concurrency is a closed loop and has no --arrivals.")
        }
        let searchOnly = verdict.precision != nil || verdict.confirmations != nil || verdict.maxRate != nil
        guard verdict.findsMaximum || !searchOnly else {
            throw ValidationError("--precision, --confirmations and --max-rate belong to --find-max-qps.")
        }
        guard isSearch || (verdict.samples == nil && verdict.pause == nil) else {
            throw ValidationError("--samples and --pause belong to --find-max-qps, --ladder and --policy paper.")
        }
        if let rate = verdict.maxRate, !rate.isFinite || rate <= 0 {
            throw ValidationError("--max-rate must be above 0, found \(Self.plain(rate)).")
        }
    }

    /// A number as it was typed.
    private static func plain(_ value: Double) -> String { String(format: "%.15g", value) }

    private static func trace(
        _ arrivals: LoadgenArrivalOptions, _ requests: LoadgenRequestOptions
    ) throws(LoadGeneratorError) -> Trace? {
        guard let text = arrivals.trace else { return nil }
        var trace = try Trace(parsing: text)
        if let scale = arrivals.timeScale { trace = try trace.scaled(by: scale) }
        if let duration = arrivals.duration { trace = try trace.prefix(within: duration) }
        if let limit = requests.maxPromptTokens { trace = trace.clipped(promptTokens: limit) }
        return trace
    }
}
