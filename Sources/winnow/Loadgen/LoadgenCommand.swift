// `winnow loadgen`: options to a campaign, and its report to the terminal and files.

import ArgumentParser
import Foundation
import LoadGenerator
import Synchronization

/// Measures OpenAI-compatible servers.
struct LoadgenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loadgen",
        abstract: "Measure latency under load, or the highest rate that keeps a latency promise.",
        discussion: """
            Requests are sent at times drawn from a seed before the run, whatever the server does (open loop), and \
            latencies count from those times, not from the sending. A request that fails, is refused or times out is \
            a miss: it counts as slower than every answer. Works with any OpenAI-compatible server.

            --rate runs once, --trace replays recorded times and lengths, --concurrency sends in a closed loop. \
            --find-max-qps searches the highest rate at which every --slo holds: it brackets, bisects, and confirms with \
            fresh seeds. --ladder tries the given rates once each. --compare and several --target measure modes and \
            servers in turns.

            VERDICTS
              VALID         every promise is proved at --confidence (exact binomial test; a p99 needs 459 \
            requests without a miss)
              MISSED        a promise is broken
              INCONCLUSIVE  no promise is broken, but the runs are too short to prove all of them
              INVALID       this machine could not send in time: nothing is said about the server
              INTERRUPTED   ended before it could say anything

            The prompt file is JSONL, an object a line: {"prompt": TEXT} or {"messages": [...]}, with "max_tokens" \
            and "expected" (the right answer, for accuracy) if wanted; or a text file, which is one prompt. Servers that \
            cache prefixes answer a repeated prompt faster than a new one.

            EXAMPLES
              winnow loadgen --target http://127.0.0.1:8080 --prompts book.txt \\
                --rate 2 --duration 30s

              winnow loadgen --target http://127.0.0.1:8080 --prompts p.jsonl --max-tokens 1 \\
                --find-max-qps --slo ttft:p99:2s --compare dense,0.1 --json o.json --html o.html

              winnow loadgen --target http://127.0.0.1:8080 --trace azure:trace.csv --time-scale 0.1

              winnow loadgen --target ours=http://127.0.0.1:8080 --target theirs=http://127.0.0.1:8081 \\
                --prompts p.jsonl --rate 2 --html both.html

              winnow loadgen compare before.json after.json

            EXIT CODES
              0    measured, also when requests failed or a promise is broken
              64   bad arguments
              65   bad prompt or trace file
              69   target unreachable
              130  interrupted; what was measured is still printed and written
            """,
        subcommands: [LoadgenCompare.self])

    @OptionGroup(title: "Server") var connection: LoadgenConnectionOptions
    @OptionGroup(title: "Coordinator in process") var native: LoadgenNativeOptions
    @OptionGroup(title: "Load") var arrivals: LoadgenArrivalOptions
    @OptionGroup(title: "Requests") var requests: LoadgenRequestOptions
    @OptionGroup(title: "Promise and search") var verdict: LoadgenVerdictOptions
    @OptionGroup(title: "Reports") var output: LoadgenOutputOptions

    func run() async throws {
        guard connection.target.isEmpty != (native.native == nil) else {
            throw ValidationError("Give either --target, the address of a server, or --native.")
        }
        guard !native.isHalf else {
            throw ValidationError("--speculator, --stages, --listen, --threads and --dtype belong to --native.")
        }
        do {
            try output.check()
            let load = try LoadgenPlan(arrivals: arrivals, verdict: verdict, requests: requests)
            if let trace = load.trace, trace.outOfOrder + trace.clampedOutputs > 0 {
                Console.note(
                    "winnow loadgen: \(trace.name): \(trace.outOfOrder) lines out of order were sorted, "
                        + "\(trace.clampedOutputs) outputs of 0 tokens count as 1")
            }
            let modes = LoadgenModes(requests: requests, trace: load.trace, seed: arrivals.seed)
            try modes.check()
            try await measure(load, modes)
        } catch let error as LoadGeneratorError {
            throw Self.failure(error)
        }
    }

    /// One line on standard error, and the exit code of `sysexits.h`.
    static func failure(_ error: LoadGeneratorError) -> ExitCode {
        Console.note("winnow loadgen: \(error)")
        return switch error.kind {
        case .usage: ExitCode(64)
        case .prompts: ExitCode(65)
        case .unreachable: ExitCode(69)
        }
    }

    private func measure(_ load: LoadgenPlan, _ modes: LoadgenModes) async throws {
        let call = Task {
            if let model = native.native {
                try await NativeCoordinator.run(native, model: model) { coordinator in
                    try await measure(load, modes.description, modes.modes(native: coordinator))
                }
            } else {
                try await open(connection.target[...], [], load, modes)
            }
        }
        let interrupts = Interrupts { call.cancel() }
        defer { interrupts.stop() }
        do {
            try await call.value
        } catch  where interrupts.haveCome {
            throw ExitCode(130)
        }
        if interrupts.haveCome { throw ExitCode(130) }
    }

    /// Opens a client for each server, one within the other, and measures inside the last.
    private func open(
        _ targets: ArraySlice<String>, _ opened: [CampaignMode], _ load: LoadgenPlan, _ modes: LoadgenModes
    ) async throws {
        guard let target = targets.first else { return try await measure(load, modes.description, opened) }
        let parts = target.split(separator: "=", maxSplits: 1)
        let isNamed = parts.count == 2 && !parts[0].contains("/")
        let address = isNamed ? String(parts[1]) : target
        let name: String? = isNamed ? String(parts[0]) : connection.target.count > 1 ? address : nil
        let key = connection.apiKey ?? ProcessInfo.processInfo.environment["WINNOW_API_KEY"]
        try await OpenAIClient.withClient(
            address: address, apiKey: key, connectionLimit: load.plan.openLimit,
            trust: ServerTrust(caFile: connection.caFile, isInsecure: connection.insecure)
        ) { client in
            let new = try await modes.modes(client, name: name)
            guard !opened.contains(where: { old in new.contains { $0.name == old.name } }) else {
                throw LoadGeneratorError(.usage, "--target", "two servers are called '\(name ?? address)'")
            }
            try await open(targets.dropFirst(), opened + new, load, modes)
        }
    }

    private func measure(_ load: LoadgenPlan, _ prompts: String, _ modes: [CampaignMode]) async throws {
        let settings = LoadSettings(
            kind: load.kind, prompts: prompts, slo: verdict.levels.map(\.text), plan: load.plan,
            maxTokens: requests.maxTokens,
            extraBody: try requests.extraBody.map { try JSONValue.object(parsing: $0, place: "--extra-body") } ?? [:],
            command: Self.commandLine, version: WinnowVersion.text, host: ProcessInfo.processInfo.hostName,
            system:
                "\(ProcessInfo.processInfo.operatingSystemVersionString), \(ProcessInfo.processInfo.activeProcessorCount) CPUs",
            startedAt: Date())
        let writer = ReportWriter(output: output, settings: settings)
        let text = SummaryText(usesColor: Terminal.hasColor)
        let tellsRuns = load.kind != .run && isatty(STDERR_FILENO) == 0
        let campaign = Campaign(load.plan, modes: modes) { results, objectives in
            // A search takes hours: what it has so far is on disk after every run.
            writer.write(results, objectives, isFinal: false)
            let ended = results.filter { $0.lastEnd != nil }
            guard tellsRuns, let mode = ended.max(by: { ($0.lastEnd ?? .now) < ($1.lastEnd ?? .now) }),
                let run = mode.runs.last
            else { return }
            Console.note(text.line(of: run, mode: mode.name))
        }
        let view = Task { await LiveView(campaign).show() }
        let outcome: (modes: [CampaignModeResult], objectives: [Objective])
        do {
            outcome = try await campaign.run()
        } catch {
            view.cancel()
            await view.value
            throw error
        }
        view.cancel()
        await view.value
        // The terminal first: whatever happens to the files, the numbers have been seen.
        let measurement = Measurement(settings: settings, results: outcome.modes)
        Console.write(text.text(of: measurement))
        writer.write(outcome.modes, outcome.objectives, isFinal: true)
        if writer.hasFailed { throw ExitCode(70) }
    }

    /// How to call it again; a key is nobody's business.
    private static var commandLine: [String] {
        var words = ["winnow"]
        var hidesNext = false
        for word in CommandLine.arguments.dropFirst() {
            if hidesNext {
                words.append("***")
                hidesNext = false
            } else if word.hasPrefix("--api-key=") {
                words.append("--api-key=***")
            } else {
                words.append(word)
                hidesNext = word == "--api-key"
            }
        }
        return words
    }
}

/// Writes the report files; what goes wrong is said once, and loses nothing else.
private final class ReportWriter: Sendable {
    private let output: LoadgenOutputOptions
    private let settings: LoadSettings
    private let failures = Mutex<Set<String>>([])

    init(output: LoadgenOutputOptions, settings: LoadSettings) {
        self.output = output
        self.settings = settings
    }

    /// Whether a file could not be written.
    var hasFailed: Bool { failures.withLock { !$0.isEmpty } }

    /// Rows and histograms are written at the end alone: they grow with the search.
    func write(_ results: [CampaignModeResult], _ objectives: [Objective], isFinal: Bool) {
        guard isFinal || output.json != nil || output.html != nil else { return }
        let measurement = Measurement(settings: settings, results: results)
        put(output.json) { try ReportFile.json(measurement) }
        put(output.html) { Data(ReportPage(PageContent(measurement, objectives: objectives)).html().utf8) }
        guard isFinal else { return }
        put(output.rows) { try RequestRows.text(results) }
        put(output.hdr) { Data(RequestRows.histogramLog(results, startedAt: self.settings.startedAt).utf8) }
    }

    private func put(_ path: String?, _ contents: () throws -> Data) {
        guard let path else { return }
        do {
            try contents().write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            guard failures.withLock({ $0.insert(path).inserted }) else { return }
            Console.note("winnow loadgen: cannot write \(path): \(error)")
        }
    }
}

extension LoadgenOutputOptions {
    /// Finds out before the measurement whether there is a place for its report.
    fileprivate func check() throws {
        for (option, path) in [("--json", json), ("--html", html), ("--rows", rows), ("--hdr", hdr)] {
            guard let path else { continue }
            let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
            guard FileManager.default.isWritableFile(atPath: folder) else {
                throw ValidationError("\(option): no folder '\(folder)' that can be written to.")
            }
        }
    }
}

/// `winnow loadgen compare`: two reports side by side.
struct LoadgenCompare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "The ratios of two reports, with their confidence intervals.",
        discussion: """
            Each mode of the second report against the mode of the same name in the first, or, where a report has one mode, \
            against that. Latencies are compared only when both were measured at the same rate (within 2 %): \
            95 % intervals by block bootstrap. The interval of maximal rates spans what the searches confirmed and \
            what they found broken.
            """)

    @Argument(help: "The report to compare with.", completion: .file(extensions: ["json"]))
    var base: String

    @Argument(help: "The report that is compared.", completion: .file(extensions: ["json"]))
    var other: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        do {
            let (first, second) = (try MeasurementFile(file: base), try MeasurementFile(file: other))
            let comparisons = try Comparison.files(first, second, names: (base, other))
            if json {
                Console.write(String(decoding: try ReportFile.json(["comparisons": comparisons]), as: UTF8.self))
            } else {
                Console.write(SummaryText(usesColor: Terminal.hasColor).text(of: comparisons))
            }
        } catch let error as LoadGeneratorError {
            throw LoadgenCommand.failure(error)
        }
    }
}
