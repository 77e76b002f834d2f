// `winnow loadgen`: options to a run or a ladder, and its report to the terminal and a file.

import ArgumentParser
import Dispatch
import Foundation
import LoadGenerator
import Synchronization

/// Measures an OpenAI-compatible server in an open loop.
struct LoadgenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loadgen",
        abstract: "Measure latency at a request rate, or the highest rate that keeps a latency bound.",
        discussion: """
            Requests are sent at times drawn from a seed before the run, whatever the server does (open loop), and \
            latencies count from those times, not from the sending. A request that fails, is refused or times out is \
            a miss: it counts as slower than every answer. Works with any OpenAI-compatible server.

            --rate runs once. --ladder runs at ascending rates, each mode until its first rate whose p99 time to \
            first token (TTFT) breaks --ttft-bound or at which a request fails. It is a quick estimate from few \
            requests, and says from how many: a rung sends rate x duration of them, and at least 3.

            The prompt file is JSONL, an object a line: {"prompt": TEXT} or {"messages": [...]}, with "max_tokens" \
            and "expected" (the right answer, for accuracy) if wanted; or a text file, which is one prompt.

            EXAMPLES
              winnow loadgen --target http://127.0.0.1:8080 --prompts book.txt \\
                --rate 2 --duration 30s

              winnow loadgen --target http://127.0.0.1:8080 --prompts p.jsonl \\
                --rate 5 --duration 60s --keep-rate 0.1 --max-tokens 1 --json o.json

              winnow loadgen --target http://127.0.0.1:8080 --prompts p.jsonl \\
                --ladder 0.5,1,2,4 --ttft-bound 2s --duration 10s \\
                --compare dense,0.1 --max-seconds 120 --json o.json

            EXIT CODES
              0    measured, also when requests failed
              64   bad arguments
              65   bad prompt file
              69   target unreachable
              130  interrupted; what was measured is still printed and written
            """)

    @Option(help: ArgumentHelp("Address of the server.", valueName: "url"))
    var target: String

    @Option(help: ArgumentHelp("Requests per second of a single run.", valueName: "requests/s"))
    var rate: Double?

    @Option(
        help: ArgumentHelp("Ascending rates: 0.5,1,2,4, or START:FACTOR:STEPS.", valueName: "rates"),
        transform: LadderRates.init(parsing:))
    var ladder: LadderRates?

    @Option(
        help: ArgumentHelp("Window of a run, or of each rung: 30s, 500ms, 2m, or seconds.", valueName: "time"),
        transform: Duration.init(parsing:))
    var duration: Duration

    @Option(help: ArgumentHelp("Prompts to send, in order and round again.", valueName: "file"))
    var prompts: String

    @Option(
        help: ArgumentHelp("Ladder: the bound on the p99 TTFT.", valueName: "time"),
        transform: Duration.init(parsing:))
    var ttftBound: Duration?

    @Option(help: ArgumentHelp("Ladder: modes side by side: dense, as-is, or keep rates.", valueName: "modes"))
    var compare: String?

    @Option(
        help: ArgumentHelp("Ladder: end after this time in all, with what is known by then.", valueName: "time"),
        transform: Duration.init(parsing:))
    var maxSeconds: Duration?

    @Option(
        help: ArgumentHelp("poisson (independent users) or constant (equal gaps).", valueName: "process"),
        transform: ArrivalProcess.init(parsing:))
    var arrivals: ArrivalProcess = .poisson

    @Option(help: "Seed of the arrivals: the same seed sends at the same times.")
    var seed: UInt64 = 1

    @Option(help: "Tokens to generate at most. (default: each prompt's own max_tokens, or 16)")
    var maxTokens: Int?

    @Option(help: ArgumentHelp("Prune prompts to this share of their tokens, above 0 and up to 1.", valueName: "share"))
    var keepRate: Double?

    @Flag(help: "Prefill whole prompts. (default: what the server does on its own)")
    var dense = false

    @Option(
        help: ArgumentHelp("Longest a request may take.", valueName: "time"), transform: Duration.init(parsing:))
    var timeout: Duration = .seconds(60)

    @Option(
        help: ArgumentHelp(
            "Longest wait for open requests after the last arrival. (default: the timeout)", valueName: "time"),
        transform: Duration.init(parsing:))
    var drain: Duration?

    @Option(help: "Requests before a single run's window that do not count.")
    var warmUp = 1

    @Option(help: "Model to ask for. (default: the first the server lists)")
    var model: String?

    @Option(help: "Sent as a bearer token. (default: the environment variable WINNOW_API_KEY)")
    var apiKey: String?

    @Option(help: ArgumentHelp("Fields for every request body, such as '{\"top_p\": 0.9}'.", valueName: "json"))
    var extraBody: String?

    @Option(help: ArgumentHelp("Write the report here as JSON.", valueName: "file"))
    var json: String?

    func validate() throws {
        guard (rate == nil) != (ladder == nil) else { throw ValidationError("Give either --rate or --ladder.") }
        guard duration > .zero else { throw ValidationError("--duration must be more than 0.") }
        guard timeout > .zero else { throw ValidationError("--timeout must be more than 0.") }
        guard (0...10_000).contains(warmUp) else { throw ValidationError("--warm-up must be 0 to 10000.") }
        guard !dense || keepRate == nil else { throw ValidationError("Give either --dense or --keep-rate.") }
        if ladder != nil {
            guard let ttftBound, ttftBound > .zero else {
                throw ValidationError("--ladder needs --ttft-bound, more than 0: the promise that ends the climb.")
            }
            guard compare == nil || (keepRate == nil && !dense) else {
                throw ValidationError("--compare names the modes: leave out --dense and --keep-rate.")
            }
        } else if ttftBound != nil || compare != nil || maxSeconds != nil {
            throw ValidationError("--ttft-bound, --compare and --max-seconds belong to --ladder.")
        }
        if let json {
            let folder = URL(fileURLWithPath: json).deletingLastPathComponent().path
            guard FileManager.default.isWritableFile(atPath: folder) else {
                throw ValidationError("--json: no folder '\(folder)' that can be written to.")
            }
        }
    }

    func run() async throws {
        let progress = ProgressLine()
        let call = Task { try await measure(progress: progress) }
        let interrupts = Interrupts { call.cancel() }
        defer { interrupts.stop() }
        do {
            try await call.value
        } catch let error as LoadGeneratorError {
            progress.clear()
            if interrupts.haveCome { throw ExitCode(130) }
            FileHandle.standardError.write(Data("winnow loadgen: \(error)\n".utf8))
            throw ExitCode(error.kind.exitCode)
        }
        if interrupts.haveCome { throw ExitCode(130) }
    }

    private func measure(progress: ProgressLine) async throws {
        let promptSet = try PromptSet(file: prompts)
        let extraFields =
            try extraBody.map { text in try JSONValue.object(parsing: text, place: "--extra-body") } ?? [:]
        let variants = try modes()
        let schedule = try rate.map { rate in
            try ArrivalSchedule(arrivals, rate: rate, duration: duration, seed: seed)
        }
        if let schedule, schedule.offsets.isEmpty {
            throw LoadGeneratorError(
                .usage, "rate",
                "seed \(seed) draws no arrival in \(duration) at \(schedule.rate)/s: lengthen --duration")
        }
        let openLimit = OpenFiles.raiseLimit(wanted: 10_000)
        let key = apiKey ?? ProcessInfo.processInfo.environment["WINNOW_API_KEY"]
        try await OpenAIClient.withClient(address: target, apiKey: key, connectionLimit: openLimit) { client in
            var modelName = model ?? ""
            if model == nil { modelName = try await client.firstModel() }
            let template = try RequestTemplate(model: modelName, maxTokens: maxTokens, extraBody: extraFields)
            let prepared = try variants.map { variant in
                let requests = try promptSet.prompts.map { try template.request(for: $0, variant: variant) }
                return LadderMode(name: variant.name, requests: requests)
            }
            let settings = LoadSettings(
                target: client.address, model: modelName, prompts: prompts, promptCount: promptSet.prompts.count,
                arrivals: arrivals, seed: seed, duration: duration, timeout: timeout, drainLimit: drain ?? timeout,
                warmUp: ladder == nil ? warmUp : 1, maxTokens: maxTokens, extraBody: extraFields,
                host: ProcessInfo.processInfo.hostName, startedAt: Date())
            if let schedule {
                let plan = RunPlan(
                    schedule: schedule, timeout: timeout, drainLimit: drain ?? timeout, openLimit: openLimit)
                try await runOnce(plan, prepared[0], client, settings, progress)
            } else if let ladder, let ttftBound {
                let plan = LadderPlan(
                    ladder: ladder, bound: ttftBound, arrivals: arrivals, seed: seed, rungDuration: duration,
                    timeout: timeout, drainLimit: drain ?? timeout, budget: maxSeconds, openLimit: openLimit)
                try await climb(plan, prepared, client, settings, progress)
            }
        }
    }

    private func modes() throws(LoadGeneratorError) -> [RequestVariant] {
        if let compare {
            var variants: [RequestVariant] = []
            for text in compare.split(separator: ",") {
                let variant = try RequestVariant(parsing: text.trimmingCharacters(in: .whitespaces))
                guard !variants.contains(variant) else {
                    throw LoadGeneratorError(.usage, "--compare", "'\(variant.name)' is named twice")
                }
                variants.append(variant)
            }
            guard !variants.isEmpty else { throw LoadGeneratorError(.usage, "--compare", "names no mode") }
            return variants
        }
        if let keepRate { return [try .keep(keepRate)] }
        return [dense ? .dense : .asIs]
    }

    private func runOnce(
        _ plan: RunPlan, _ mode: LadderMode, _ client: OpenAIClient, _ settings: LoadSettings, _ progress: ProgressLine
    ) async throws {
        progress.show("warming up")
        let warm = await UnloadedMeasurement.measure(
            mode.requests, count: warmUp, target: client, timeout: timeout)
        if let failure = warm.firstFailure, failure.kind == .connection {
            throw LoadGeneratorError(.unreachable, client.address, failure.detail)
        }
        let run = LoadRun(plan, requests: mode.requests, target: client) { progress.show($0.line) }
        let result = await run.run()
        let summary = RunSummary(result, mode: mode.name, schedule: plan.schedule)
        let report = RunReport(settings: settings, summary: summary)
        progress.clear()
        try publish(SummaryText(usesColor: Terminal.hasColor).text(of: report), report)
    }

    private func climb(
        _ plan: LadderPlan, _ modes: [LadderMode], _ client: OpenAIClient, _ settings: LoadSettings,
        _ progress: ProgressLine
    ) async throws {
        let run = LadderRun(plan, modes: modes, target: client) { progress.show($0.line) }
        let report = LadderReport(settings: settings, plan: plan, results: try await run.run())
        progress.clear()
        try publish(SummaryText(usesColor: Terminal.hasColor).text(of: report), report)
    }

    /// The terminal first: whatever happens to the file, the numbers have been seen.
    private func publish(_ text: String, _ report: some Encodable) throws {
        FileHandle.standardOutput.write(Data(text.utf8))
        guard let json else { return }
        do {
            try ReportFile.json(report).write(to: URL(fileURLWithPath: json), options: .atomic)
        } catch {
            FileHandle.standardError.write(Data("winnow loadgen: cannot write \(json): \(error)\n".utf8))
            throw ExitCode(70)
        }
    }
}

extension LoadGeneratorError.Kind {
    /// The exit code of `sysexits.h`.
    fileprivate var exitCode: Int32 {
        switch self {
        case .usage: 64
        case .prompts: 65
        case .unreachable: 69
        }
    }
}
