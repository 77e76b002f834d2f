// What is compared in a campaign, what came of it, and where it stands.

/// One way of asking one server: what is compared with what.
public struct CampaignMode: Sendable {
    /// How tables and reports call it.
    public let name: String
    /// The server's address.
    public let address: String
    /// The model asked for.
    public let model: String
    /// The server.
    public let target: any LoadTarget
    /// Its requests.
    public let source: any RequestSource

    /// Makes a mode.
    public init(name: String, address: String, model: String, target: any LoadTarget, source: any RequestSource) {
        self.name = name
        self.address = address
        self.model = model
        self.target = target
        self.source = source
    }
}

/// One finished run of a mode.
public struct CampaignRun: Sendable {
    /// Why and at which rate it was made.
    public let step: RateStep
    /// When its requests were due.
    public let load: Load
    /// What it measured.
    public let result: RunResult
    /// What that says.
    public let judgement: Judgement
    /// Where the server's time went, if it says.
    public let server: ServerWork?

    /// Makes a run.
    public init(
        step: RateStep, load: Load, result: RunResult, judgement: Judgement, server: ServerWork? = nil
    ) {
        self.step = step
        self.load = load
        self.result = result
        self.judgement = judgement
        self.server = server
    }
}

/// What is known about one mode.
public struct CampaignModeResult: Sendable {
    /// The mode's name.
    public let name: String
    /// The server's address.
    public let address: String
    /// The model asked for.
    public let model: String
    /// Its latency without load.
    public internal(set) var unloaded: UnloadedMeasurement?
    /// Its runs, in the order they were made.
    public internal(set) var runs: [CampaignRun]
    /// What the policy found.
    public internal(set) var finding: RateFinding

    /// When its last run ended; for telling which mode ran last.
    public internal(set) var lastEnd: ContinuousClock.Instant?

    /// Makes a result.
    public init(
        name: String, address: String, model: String, runs: [CampaignRun] = [],
        finding: RateFinding = RateFinding(verdict: .interrupted)
    ) {
        self.name = name
        self.address = address
        self.model = model
        self.runs = runs
        self.finding = finding
    }

    /// The first failure of a mode none of whose requests was answered; nil where one was, or none was sent.
    public var unanswered: String? {
        let records = (unloaded?.records ?? []) + runs.flatMap(\.result.records)
        guard !records.contains(where: { $0.outcome == .completed }) else { return nil }
        return records.lazy.compactMap { record in
            if case .failed(_, let detail) = record.outcome { detail } else { nil }
        }.first
    }

    init(_ mode: CampaignMode) {
        self.init(name: mode.name, address: mode.address, model: mode.model)
    }
}

/// Where a campaign stands, for a display.
public struct CampaignProgress: Sendable {
    /// What is being done, in words.
    public var activity = ""
    /// The mode at work.
    public var mode = ""
    /// The run under way.
    public var step: RateStep?
    /// Its numbers.
    public var run: RunProgress?
    /// The promises, once they are times.
    public var objectives: [Objective] = []
    /// How long it may still take, all modes together.
    public var remaining: Duration?
}
