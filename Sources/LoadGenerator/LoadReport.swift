// The report of a call: everything needed to repeat it, and what it measured. Written as JSON.

public import Foundation

/// What was asked of the load generator.
public struct LoadSettings: Codable, Sendable, Equatable {
    /// The server's address.
    public var target: String
    /// The model asked for.
    public var model: String
    /// The prompt file.
    public var prompts: String
    /// How many prompts it holds.
    public var promptCount: Int
    /// The kind of arrivals.
    public var arrivals: ArrivalProcess
    /// The seed of the schedule.
    public var seed: UInt64
    /// The window, or a rung's expected length, in seconds.
    public var durationS: Double
    /// The request timeout, in seconds.
    public var timeoutS: Double
    /// The drain limit, in seconds.
    public var drainLimitS: Double
    /// Requests before the window that do not count.
    public var warmUp: Int
    /// The tokens asked for, where they were set for all prompts.
    @OrNull public var maxTokens: Int?
    /// Fields laid over every request.
    public var extraBody: [String: JSONValue]
    /// The host the load came from.
    public var host: String
    /// When it began.
    public var startedAt: Date

    /// Makes settings.
    public init(
        target: String, model: String, prompts: String, promptCount: Int, arrivals: ArrivalProcess, seed: UInt64,
        duration: Duration, timeout: Duration, drainLimit: Duration, warmUp: Int, maxTokens: Int?,
        extraBody: [String: JSONValue], host: String, startedAt: Date
    ) {
        self.target = target
        self.model = model
        self.prompts = prompts
        self.promptCount = promptCount
        self.arrivals = arrivals
        self.seed = seed
        durationS = duration.seconds
        timeoutS = timeout.seconds
        drainLimitS = drainLimit.seconds
        self.warmUp = warmUp
        self.maxTokens = maxTokens
        self.extraBody = extraBody
        self.host = host
        self.startedAt = startedAt
    }
}

/// One run at one rate: the settings and the summary side by side in one object.
public struct RunReport: Encodable, Sendable {
    /// What was asked.
    public let settings: LoadSettings
    /// What was measured.
    public let summary: RunSummary

    /// Makes a report.
    public init(settings: LoadSettings, summary: RunSummary) {
        self.settings = settings
        self.summary = summary
    }

    /// Writes both into one object.
    public func encode(to encoder: any Encoder) throws {
        try ReportHeader(kind: "run").encode(to: encoder)
        try settings.encode(to: encoder)
        try summary.encode(to: encoder)
    }
}

/// A ladder: the settings, and the modes with their rungs.
public struct LadderReport: Encodable, Sendable {
    /// One rung.
    public struct Rung: Codable, Sendable, Equatable {
        /// What it says.
        public let verdict: RungVerdict
        /// What was measured.
        public let summary: RunSummary
    }

    /// One mode.
    public struct Mode: Codable, Sendable, Equatable {
        /// Its name.
        public let name: String
        /// The median TTFT without load, in milliseconds.
        @OrNull public var unloadedTtftMs: Double?
        /// Requests behind it, failed ones included.
        public let unloadedRequests: Int
        /// The highest rate that passed, requests per second.
        @OrNull public var highestPassingRate: Double?
        /// Why it climbed no further.
        public let ending: LadderModeResult.Ending
        /// Its runs, by ascending rate.
        public let rungs: [Rung]
    }

    /// What was asked.
    public let settings: LoadSettings
    /// The promise on the p99 TTFT, in milliseconds.
    public let ttftBoundMs: Double
    /// The rates asked for.
    public let rates: [Double]
    /// What was measured.
    public let modes: [Mode]
    /// What this can be used for.
    public let note: String

    /// Takes the results of a ladder.
    public init(settings: LoadSettings, plan: LadderPlan, results: [LadderModeResult]) {
        self.settings = settings
        ttftBoundMs = LatencySummary.rounded(plan.bound.milliseconds)
        rates = plan.ladder.rates
        modes = results.map { result in
            Mode(
                name: result.name, unloadedTtftMs: LatencySummary.milliseconds(result.unloaded?.median),
                unloadedRequests: result.unloaded?.timesToFirstToken.count ?? 0,
                highestPassingRate: result.highestPassing, ending: result.ending,
                rungs: result.rungs.map { rung in
                    let summary = RunSummary(rung.result, mode: result.name, schedule: rung.schedule)
                    return Rung(verdict: rung.verdict, summary: summary)
                })
        }
        let counts = modes.flatMap(\.rungs).map(\.summary.requests)
        note = Self.note(fewest: counts.min() ?? 0, most: counts.max() ?? 0)
    }

    /// A p99 promise needs 459 clean samples to be claimed at 99 % confidence (0.99^459 < 0.01).
    private static func note(fewest: Int, most: Int) -> String {
        let samples = fewest == most ? "\(most)" : "\(fewest) to \(most)"
        return "quick estimate, not a verdict: \(samples) requests per rung, one run each; "
            + "a p99 claim at 99 % confidence needs 459 clean ones"
    }

    private enum CodingKeys: String, CodingKey {
        case ttftBoundMs, rates, modes, note
    }

    /// Writes all of it into one object.
    public func encode(to encoder: any Encoder) throws {
        try ReportHeader(kind: "ladder").encode(to: encoder)
        try settings.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(ttftBoundMs, forKey: .ttftBoundMs)
        try container.encode(rates, forKey: .rates)
        try container.encode(modes, forKey: .modes)
        try container.encode(note, forKey: .note)
    }
}

/// What every report begins with.
private struct ReportHeader: Encodable {
    let schemaVersion = 1
    let kind: String
}

/// Writes reports.
public enum ReportFile {
    /// The report as JSON: snake case, sorted keys, ISO 8601 dates.
    public static func json(_ report: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(report) + Data("\n".utf8)
    }
}
