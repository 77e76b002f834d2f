// The options of `winnow loadgen`, in the groups its help shows them in.

import ArgumentParser
import LoadGenerator

/// What the requests are.
struct LoadgenRequestOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Prompts to send, in order and round again (JSONL or text).", valueName: "file"))
    var prompts: String?

    @Option(
        help: ArgumentHelp(
            "Synthetic prompts of this length: 512, uniform:100-900, normal:MEAN,SD, lognormal:MEDIAN,SIGMA, exponential:MEAN.",
            valueName: "tokens"),
        transform: LengthDistribution.init(parsing:))
    var promptTokens: LengthDistribution?

    @Option(
        help: ArgumentHelp("Answer lengths of synthetic prompts, likewise. (default: 16)", valueName: "tokens"),
        transform: LengthDistribution.init(parsing:))
    var outputTokens: LengthDistribution?

    @Option(help: ArgumentHelp("Tokens at the front that synthetic prompts share.", valueName: "tokens"))
    var sharedPrefix = 0

    @Option(help: ArgumentHelp("How many different shared fronts there are.", valueName: "n"))
    var prefixGroups = 1

    @Option(
        help: ArgumentHelp(
            "Make this many synthetic prompts beforehand, each of exactly the tokens asked for as the server counts them, and send them round and round. (default: new ones all the time, within some per cent)",
            valueName: "prompts"))
    var exactLengths: Int?

    @Option(help: ArgumentHelp("Cut the prompts of a trace to this length.", valueName: "tokens"))
    var maxPromptTokens: Int?

    @Option(help: "Tokens to generate at most. (default: each prompt's own max_tokens, or 16)")
    var maxTokens: Int?

    @Option(help: ArgumentHelp("Prune prompts to this share of their tokens, above 0 and up to 1.", valueName: "share"))
    var keepRate: Double?

    @Flag(help: "Prefill whole prompts. (default: what the server does on its own)")
    var dense = false

    @Option(help: ArgumentHelp("Modes side by side, in turns: dense, as-is, or keep rates.", valueName: "modes"))
    var compare: String?

    @Option(help: "Model to ask for. (default: the first each server lists)")
    var model: String?

    @Option(help: ArgumentHelp("Fields for every request body, such as '{\"top_p\": 0.9}'.", valueName: "json"))
    var extraBody: String?

    @Flag(
        help:
            "Ask for the count of tokens in every chunk (vLLM's and winnow's continuous_usage_stats), which makes TPOT exact where chunks hold several tokens."
    )
    var continuousUsage = false
}

/// When the requests are sent.
struct LoadgenArrivalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Requests per second; of a search, where it begins.", valueName: "requests/s"))
    var rate: Double?

    @Option(
        help: ArgumentHelp(
            "poisson (independent users), constant (equal gaps), gamma:SHAPE (below 1 in bursts), ramp:FROM-TO (shares of the rate).",
            valueName: "process"),
        transform: ArrivalProcess.init(parsing:))
    var arrivals: ArrivalProcess?

    @Option(
        help: ArgumentHelp(
            "Window of a run, and the least a run must last for a verdict: 30s, 500ms, 2m, or seconds. (default: 30s; of a search 60s)",
            valueName: "time"),
        transform: Duration.init(parsing:))
    var duration: Duration?

    @Option(help: "Seed of arrivals and synthetic prompts: the same seed sends the same at the same times.")
    var seed: UInt64 = 1

    @Option(
        help: ArgumentHelp(
            "Recorded arrivals and lengths: azure:FILE.csv, mooncake:FILE.jsonl, or jsonl:FILE.", valueName: "trace"))
    var trace: String?

    @Option(help: ArgumentHelp("Stretch a trace's times: 0.1 is ten times as fast.", valueName: "factor"))
    var timeScale: Double?

    @Option(help: ArgumentHelp("Closed loop: so many users, each sends after its last answer.", valueName: "users"))
    var concurrency: Int?

    @Option(
        help: ArgumentHelp("Longest a request may take. (default: 60s)", valueName: "time"),
        transform: Duration.init(parsing:))
    var timeout: Duration = .seconds(60)

    @Option(
        help: ArgumentHelp(
            "Longest wait for open requests after the last arrival. (default: the timeout)", valueName: "time"),
        transform: Duration.init(parsing:))
    var drain: Duration?

    @Option(
        help: ArgumentHelp(
            "A run whose requests (1 in 100) were sent later than this is INVALID. (default: 5ms, or a twentieth of the median latency where that is more)",
            valueName: "time"),
        transform: Duration.init(parsing:))
    var maxLateness: Duration?

    @Option(help: "Requests of each mode before anything counts.")
    var warmUp = 1
}

/// What is promised, and how the maximum is looked for.
struct LoadgenVerdictOptions: ParsableArguments {
    @Option(
        name: .customLong("slo"),
        help: ArgumentHelp(
            "A promise, METRIC:PERCENTILE:BOUND: ttft:p99:2s, tpot:p90:200ms, or ttft:p99:3x for three times the first mode's own without load. Several hold together.",
            valueName: "slo"),
        transform: ServiceLevel.init(parsing:))
    var levels: [ServiceLevel] = []

    @Flag(name: .customLong("find-max-qps"), help: "Search the highest rate that keeps every promise.")
    var findsMaximum = false

    @Option(
        help: ArgumentHelp(
            "Instead of a search, climb these rates to the first that breaks a promise: 0.5,1,2,4, or START:FACTOR:STEPS. With an x (0.8x,1.2x) they are multiples of what each mode gives to one request after the other.",
            valueName: "rates"),
        transform: LadderRates.init(parsing:))
    var ladder: LadderRates?

    @Option(
        help: ArgumentHelp(
            "search, or paper: equal gaps, mean E2E, a rate fails when more than 4 requests time out.",
            valueName: "policy"))
    var policy: LoadgenPolicy = .search

    @Option(
        help: ArgumentHelp(
            "Requests of a run that is to prove something. (default: enough to prove the promises with 3 misses; 128 for the paper)",
            valueName: "n"))
    var samples: Int?

    @Option(help: ArgumentHelp("How sure a verdict must be, above 0.5 and below 1.", valueName: "share"))
    var confidence = 0.99

    @Option(help: ArgumentHelp("How close a search comes to the limit. (default: 0.05)", valueName: "share"))
    var precision: Double?

    @Option(
        help: ArgumentHelp(
            "Runs with fresh seeds that must prove a search's result together. (default: 2)", valueName: "n"))
    var confirmations: Int?

    @Option(help: ArgumentHelp("The highest rate a search tries.", valueName: "requests/s"))
    var maxRate: Double?

    @Option(
        help: ArgumentHelp("Rest between runs. (default: none; 10s for the paper)", valueName: "time"),
        transform: Duration.init(parsing:))
    var pause: Duration?

    @Option(
        name: [.customLong("max-time"), .customLong("max-seconds")],
        help: ArgumentHelp("End after this time in all, with what is known by then.", valueName: "time"),
        transform: Duration.init(parsing:))
    var maxTime: Duration?
}

/// How the maximum is looked for.
enum LoadgenPolicy: String, ExpressibleByArgument, CaseIterable {
    case search
    case paper
}

/// Where it is written.
struct LoadgenOutputOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write the summary here as JSON.", valueName: "file"))
    var json: String?

    @Option(help: ArgumentHelp("Write a report with plots here, one HTML file.", valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp("Write a line per request here (JSONL).", valueName: "file"))
    var rows: String?

    @Option(help: ArgumentHelp("Write the latencies here as an HdrHistogram log.", valueName: "file"))
    var hdr: String?
}

/// How servers are reached.
struct LoadgenConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Address of a server, or NAME=URL. Several are measured in turns.", valueName: "url"))
    var target: [String] = []

    @OptionGroup var credentials: ClientCredentials

    @Flag(help: "Do not check the server's certificate.")
    var insecure = false

    /// Whose certificates are taken.
    var trust: ServerTrust { ServerTrust(caFile: credentials.caFile, isInsecure: insecure) }
}
