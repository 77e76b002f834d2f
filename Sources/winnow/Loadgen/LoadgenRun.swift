// `winnow loadgen run`, or plain `winnow loadgen`: options to a campaign, and its report to the terminal and files.

import ArgumentParser
import Foundation
import LoadGenerator

/// Measures OpenAI-compatible servers.
struct LoadgenRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Measure latency under load, or the highest rate that keeps a latency promise.",
        usage: """
            winnow loadgen --target <url> [<options>]
            winnow loadgen compare <base> <other> [--json]
            """,
        discussion: """
            Requests are sent at times drawn from a seed before the run, whatever the server does (open loop), and \
            latencies count from those times, not from the sending. A request that fails, is refused or times out is \
            a miss: it counts as slower than every answer. A token is a token, be it of the answer, of the thinking \
            before it or of a tool call. Works with any OpenAI-compatible server.

            --rate runs once, --trace replays recorded times and lengths, --concurrency sends in a closed loop, whose \
            users wait after a failure: as long as the server says (Retry-After), or 0.1 s doubling to 5 s. \
            --find-max-qps searches the highest rate at which every --slo holds: it brackets, bisects, and confirms with \
            fresh seeds. --ladder tries the given rates once each. --compare and several --target measure modes and \
            servers in turns.

            VERDICTS
              VALID         every --slo is proved at --confidence (exact binomial test; a p99 needs 459 \
            requests without a miss)
              MISSED        a promise is broken
              INCONCLUSIVE  no promise is broken, but the runs are too short to prove all of them
              INVALID       this machine could not send in time: nothing is said about the server
              INTERRUPTED   ended before it could say anything
              MEASURED      nothing was promised; where over 1 in 100 requests fail it is MISSED all the same

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
              69   target unreachable, or none of the requests was answered
              130  interrupted; what was measured is still printed and written
            """,
        helpNames: [.short, .long])

    @OptionGroup(title: "Server") var connection: LoadgenConnectionOptions
    @OptionGroup(title: "Coordinator in process") var native: LoadgenNativeOptions
    @OptionGroup(title: "Load") var arrivals: LoadgenArrivalOptions
    @OptionGroup(title: "Requests") var requests: LoadgenRequestOptions
    @OptionGroup(title: "Promise and search") var verdict: LoadgenVerdictOptions
    @OptionGroup(title: "Reports") var output: LoadgenOutputOptions

    /// What is contradictory or missing among the options.
    func validate() throws {
        guard connection.target.isEmpty != (native.native == nil) else {
            throw ValidationError("Give either --target, the address of a server, or --native.")
        }
        guard !native.isHalf else {
            throw ValidationError("--speculator, --stages, --listen, --threads and --dtype belong to --native.")
        }
        try LoadgenPlan.check(arrivals, verdict)
        try requests.check(hasTrace: arrivals.trace != nil)
        try output.check()
    }

    func run() async throws {
        do {
            let load = try LoadgenPlan(arrivals: arrivals, verdict: verdict, requests: requests)
            if let trace = load.trace, trace.outOfOrder + trace.clampedOutputs > 0 {
                Console.note(
                    "winnow loadgen: \(trace.name): \(trace.outOfOrder) lines out of order were sorted, "
                        + "\(trace.clampedOutputs) outputs of 0 tokens count as 1")
            }
            try await measure(load, try LoadgenModes(requests: requests, trace: load.trace, seed: arrivals.seed))
        } catch let error as LoadGeneratorError {
            // A file that cannot be read hides no server that is not there, nor does one server another.
            let others =
                error.kind == .usage || connection.target.count < (error.kind == .prompts ? 1 : 2)
                ? [] : await absentServers()
            throw Self.failure([error] + others.filter { $0 != error })
        }
    }

    /// What is wrong, a line each on standard error, and the exit code of `sysexits.h` for the first.
    static func failure(_ errors: [LoadGeneratorError]) -> ExitCode {
        for error in errors { Console.note("winnow loadgen: \(error)") }
        return switch errors.first?.kind {
        case .usage, nil: ExitCode(64)
        case .prompts: ExitCode(65)
        case .unreachable: ExitCode(69)
        }
    }

    /// The servers among the targets that cannot be reached.
    private func absentServers() async -> [LoadGeneratorError] {
        var errors: [LoadGeneratorError] = []
        for target in connection.target {
            do {
                try await OpenAIClient.withClient(
                    address: Self.parts(target).address, connectionLimit: 1, trust: connection.trust
                ) { try await $0.checkConnection() }
            } catch let error as LoadGeneratorError {
                errors.append(error)
            } catch {
                errors.append(LoadGeneratorError(.unreachable, target, "\(error)"))
            }
        }
        return errors
    }

    /// `NAME=URL`, or an address alone.
    private static func parts(_ target: String) -> (name: String?, address: String) {
        let parts = target.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, !parts[0].contains("/") else { return (nil, target) }
        return (String(parts[0]), String(parts[1]))
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
        let (given, address) = Self.parts(target)
        let name = given ?? (connection.target.count > 1 ? address : nil)
        let key = try connection.credentials.key()
        try await OpenAIClient.withClient(
            address: address, apiKey: key, connectionLimit: load.plan.openLimit,
            trust: connection.trust
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
            extraBody: try requests.extraFields,
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
        for mode in outcome.modes where !Task.isCancelled {
            guard let failure = mode.unanswered else { continue }
            throw Self.failure([
                LoadGeneratorError(.unreachable, mode.name, "none of the requests was answered: \(failure)")
            ])
        }
    }

    /// How to call it again. It holds no key: those are in files.
    private static var commandLine: [String] { ["winnow"] + CommandLine.arguments.dropFirst() }
}
