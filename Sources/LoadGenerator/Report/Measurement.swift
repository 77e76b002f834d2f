// The report of a call: everything needed to repeat it, and what it measured. Written as JSON.

public import Foundation

/// What kind of call it was.
public enum MeasurementKind: String, Sendable, Codable {
    /// One run.
    case run
    /// A ladder of rates.
    case ladder
    /// The search for the maximal rate.
    case search
    /// The paper's ladder and rule.
    case paper
}

/// What was asked of the load generator.
public struct LoadSettings: Codable, Sendable, Equatable {
    /// What kind of call it was.
    public var kind: MeasurementKind
    /// Where the prompts are from.
    public var prompts: String
    /// The seed everything is drawn from.
    public var seed: UInt64
    /// The promises as they were asked for.
    public var slo: [String]
    /// How sure a verdict must be, 0...1.
    public var confidence: Double
    /// The confidence of the intervals around percentiles, 0...1.
    public var intervalConfidence = QuantileInterval.confidence
    /// The request timeout, in seconds.
    public var timeoutS: Double
    /// The drain limit, in seconds.
    public var drainLimitS: Double
    /// Requests of each mode before anything counts.
    public var warmUp: Int
    /// The tokens asked for, where they were set for all prompts.
    @OrNull public var maxTokens: Int?
    /// Fields laid over every request.
    public var extraBody: [String: JSONValue]
    /// The command line, without keys.
    public var command: [String]
    /// The version of winnow that measured.
    public var version: String
    /// The host the load came from.
    public var host: String
    /// Its system and processors.
    public var system: String
    /// When it began.
    public var startedAt: Date

    /// Makes settings.
    public init(
        kind: MeasurementKind, prompts: String, slo: [String], plan: CampaignPlan, maxTokens: Int?,
        extraBody: [String: JSONValue], command: [String], version: String, host: String, system: String,
        startedAt: Date
    ) {
        self.kind = kind
        self.prompts = prompts
        seed = plan.seed
        self.slo = slo
        confidence = plan.confidence
        timeoutS = plan.timeout.seconds
        drainLimitS = plan.drainLimit.seconds
        warmUp = plan.warmUp
        self.maxTokens = maxTokens
        self.extraBody = extraBody
        self.command = command
        self.version = version
        self.host = host
        self.system = system
        self.startedAt = startedAt
    }
}

/// How two modes compare.
public struct ComparisonSummary: Codable, Sendable, Equatable {
    /// What is compared, such as `maximal QPS`.
    public var what: String
    /// The one.
    public var of: String
    /// The other.
    public var against: String
    /// The one over the other.
    public var ratio: Double
    /// The lower end of its interval, where there is one.
    @OrNull public var low: Double?
    /// The upper end.
    @OrNull public var high: Double?
}

/// Everything one call measured.
///
/// The numbers of the first mode's headline run stand at the top, beside the settings.
public struct Measurement: Encodable, Sendable {
    /// What was asked.
    public let settings: LoadSettings
    /// What was measured.
    public let modes: [ModeSummary]
    /// The modes against the first.
    public let comparisons: [ComparisonSummary]

    /// Takes the results of a campaign.
    public init(settings: LoadSettings, results: [CampaignModeResult]) {
        self.settings = settings
        let summaries = results.map { ModeSummary($0, kind: settings.kind) }
        modes = summaries
        comparisons = summaries.dropFirst().flatMap { mode in
            summaries.first.map { Comparison.modes(mode, against: $0, seed: settings.seed, proof: settings.confidence) }
                ?? []
        }
    }

    private enum CodingKeys: String, CodingKey {
        case schemaVersion, target, model, verdict, reasons, maxQps, passedQps, maxQpsBroken, objectives
        case unloadedTtftMs, unloadedEndToEndMs, modes, comparisons
    }

    /// Writes all of it into one object.
    public func encode(to encoder: any Encoder) throws {
        try settings.encode(to: encoder)
        let mode = modes.first
        if let run = mode?.headlineRun { try Headline(run).encode(to: encoder) }
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(RunSummary.schemaVersion, forKey: .schemaVersion)
        try container.encode(mode?.target, forKey: .target)
        try container.encode(mode?.model, forKey: .model)
        try container.encode(mode?.verdict ?? .interrupted, forKey: .verdict)
        try container.encode(mode?.reasons ?? [], forKey: .reasons)
        try container.encode(mode?.maxQps, forKey: .maxQps)
        try container.encode(mode?.passedQps, forKey: .passedQps)
        try container.encode(mode?.maxQpsBroken, forKey: .maxQpsBroken)
        try container.encode(mode?.objectives ?? [], forKey: .objectives)
        try container.encode(mode?.unloadedTtftMs, forKey: .unloadedTtftMs)
        try container.encode(mode?.unloadedEndToEndMs, forKey: .unloadedEndToEndMs)
        try container.encode(modes, forKey: .modes)
        try container.encode(comparisons, forKey: .comparisons)
    }
}

/// The numbers of a run that stand at the top of a report.
private struct Headline: Encodable {
    var offeredRate: Double
    @OrNull var scheduledRate: Double?
    var achievedRate: Double
    var goodput: Double
    var arrivals: String
    @OrNull var scheduleHash: String?
    var durationS: Double
    var requests: Int
    var completed: Int
    var failed: [String: Int]
    var outputTokensPerS: Double
    var ttftMs: LatencySummary
    var tpotMs: LatencySummary
    var e2eMs: LatencySummary
    var lateSends: Int
    @OrNull var accuracy: Double?

    init(_ run: RunSummary) {
        offeredRate = run.offeredRate
        scheduledRate = run.scheduledRate
        achievedRate = run.achievedRate
        goodput = run.goodput
        arrivals = run.arrivals
        scheduleHash = run.scheduleHash
        durationS = run.windowS
        requests = run.requests
        completed = run.completed
        failed = run.failed
        outputTokensPerS = run.outputTokensPerS
        ttftMs = run.ttftMs
        tpotMs = run.tpotMs
        e2eMs = run.e2eMs
        lateSends = run.lateSends
        accuracy = run.accuracy
    }
}

/// What `loadgen compare` reads of a report.
public struct MeasurementFile: Decodable, Sendable {
    /// The greatest report that is read, in bytes.
    public static let maximumFileSize = 512 << 20

    /// The version of its fields.
    public let schemaVersion: Int
    /// What kind of call it was.
    public let kind: MeasurementKind
    /// What was measured.
    public let modes: [ModeSummary]

    /// Reads a report.
    ///
    /// - Throws: a prompts error (bad input data) that names the file and what it should be.
    public init(file path: String) throws(LoadGeneratorError) {
        let contents = try InputFile.read(
            path, limit: Self.maximumFileSize, fix: "give a report as winnow loadgen --json wrote it")
        struct Version: Decodable { var schemaVersion: Int }
        let decoder = ReportFile.decoder
        guard let version = try? decoder.decode(Version.self, from: contents) else {
            throw LoadGeneratorError(.prompts, path, "not a report of winnow loadgen --json")
        }
        guard version.schemaVersion == RunSummary.schemaVersion else {
            throw LoadGeneratorError(
                .prompts, path,
                "has schema version \(version.schemaVersion), and this winnow reads \(RunSummary.schemaVersion): measure again"
            )
        }
        do {
            self = try decoder.decode(MeasurementFile.self, from: contents)
        } catch {
            throw LoadGeneratorError(.prompts, path, "a damaged report: \(String(describing: error).prefix(200))")
        }
        guard !modes.isEmpty else { throw LoadGeneratorError(.prompts, path, "holds no measurement") }
    }
}

/// Writes and reads reports.
public enum ReportFile {
    /// The report as JSON on one line: snake case, sorted keys, ISO 8601 dates.
    public static func json(_ report: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(report) + Data("\n".utf8)
    }

    static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.dateDecodingStrategy = .iso8601
        return decoder
    }
}
