import ArgumentParser
import Checkpoint
import Compute
import Coordinator
import Foundation
import Launcher
import OutsideText
import Speculation
import Synchronization
import Tokenizer
import Transformer

/// `winnow generate`: one prompt, one answer, one process.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Answer one prompt in this process, without a cluster.",
        discussion: """
            The text goes to standard output as it comes; what was kept and how long it took goes to standard error.

              winnow generate --model cluster/models/stories260K --prompt "Once upon a time" --max-tokens 100
              winnow generate --model MAIN --speculator SMALL --prompt-file F --max-tokens 64 --keep-rate 0.1
            """)

    @Option(help: ArgumentHelp("The main model: a Hugging Face directory or a GGUF file.", valueName: "path"))
    var model: String

    @Option(
        help: ArgumentHelp("The speculator, likewise, same tokenizer. Without it all is dense.", valueName: "path"))
    var speculator: String?

    @Option(help: ArgumentHelp("File with the prompt, UTF-8; - is standard input.", valueName: "file"))
    var promptFile: String?

    @Option(help: ArgumentHelp("The prompt itself.", valueName: "text"))
    var prompt: String?

    @Option(help: ArgumentHelp("Most tokens to generate.", valueName: "n"))
    var maxTokens = 128

    @Option(help: ArgumentHelp("0 is greedy.", valueName: "t"))
    var temperature: Float = 0

    @Option(help: ArgumentHelp("Sample among the k most probable tokens; 0: all.", valueName: "k"))
    var topK = 0

    @Option(help: ArgumentHelp("Sample among the most probable tokens that hold this share.", valueName: "p"))
    var topP: Float = 1

    @Option(help: ArgumentHelp("Drop tokens less probable than this share of the best.", valueName: "p"))
    var minP: Float = 0

    @Option(help: ArgumentHelp("Seed of the sampling.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(help: ArgumentHelp("End at this text (may be given more than once).", valueName: "text"))
    var stop: [String] = []

    @Flag(help: "Go on after an end-of-sequence token.")
    var ignoreEos = false

    @Flag(help: "Do not prune, even with a speculator.")
    var dense = false

    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var weightsCache: WeightsCacheOption

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    private var sampling: SamplingParameters {
        SamplingParameters(temperature: temperature, topK: topK, topP: topP, minP: minP, seed: seed)
    }

    func validate() throws {
        guard (prompt == nil) != (promptFile == nil) else {
            throw ValidationError("give the prompt with --prompt-file FILE or with --prompt TEXT")
        }
        guard (1...1 << 24).contains(maxTokens) else {
            throw ValidationError("--max-tokens must be at least 1, found \(maxTokens)")
        }
        do {
            try sampling.validate()
        } catch {
            throw ValidationError("\(error)")
        }
    }

    func run() async throws {
        try compute.prepare()
        let text = try readPrompt()
        let line = ProgressLine()
        let cache = weightsCache.directory.map { WeightsCache(directory: $0) }
        let local: LocalModel
        do {
            defer { line.clear() }
            local = try LocalModel(
                model: model, speculator: speculator, threads: compute.threads, cpus: compute.cpus,
                precision: compute.precision, cache: cache
            ) { line.show("loading weights: \(Int($0 * 100)) %") }
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
        for note in local.notes { Console.note("winnow: \(note.shown(upTo: 2000))") }
        if let problem = compute.precision.kernelProblem {
            Console.note("winnow: slow matrix products: \(problem)")
        }
        let request = try makeRequest(text, local)
        let interruption = Interruption()
        defer { interruption.ignore() }
        var answer = Answer(tokenizer: local.tokenizer, stops: stop, isStreaming: !json)
        do {
            answer.finish = try local.generate(
                request,
                LocalModel.Progress(
                    onPrompt: { answer.report = $0 }, onToken: { answer.add($0) },
                    isCancelled: { interruption.hasCome || answer.isStopped || Console.outputProblem != nil }))
        } catch let error as RequestError where error.code == .cancelled {
            answer.finish = .stop
        } catch {
            throw Console.failure(.fault, "\(error)")
        }
        answer.end()
        defer {
            // What is being kept for the next start, and whose end the answer did not wait for.
            if let cache, !interruption.hasCome, Console.outputProblem == nil {
                line.show("keeping the quantised weights in \(cache.directory)")
                cache.drain()
                line.clear()
                if let problem = cache.use.problem {
                    Console.note("winnow: weights cache: \(problem.shown(upTo: 1000))")
                }
            }
        }
        if json { Console.say(try answer.json()) } else { answer.printFacts() }
        if interruption.hasCome { throw ExitCode(Console.Failure.interrupted.rawValue) }
    }

    private func readPrompt() throws -> String {
        if let prompt { return prompt }
        let path = promptFile ?? "-"
        do {
            // A handle reads pipes, too, which Data(contentsOf:) does not.
            let file =
                try path == "-" ? .standardInput : FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            let data = try file.readToEnd() ?? Data()
            guard let text = String(data: data, encoding: .utf8) else {
                throw Console.failure(.badData, "\(path) is not UTF-8 text")
            }
            return text
        } catch let error as ExitCode {
            throw error
        } catch {
            throw Console.failure(.badData, "cannot read \(path): \(error.localizedDescription)")
        }
    }

    private func makeRequest(_ text: String, _ local: LocalModel) throws -> GenerationRequest {
        guard !text.isEmpty else { throw Console.failure(.badData, "the prompt is empty") }
        let tokens = local.tokenizer.encode(text)
        guard !tokens.isEmpty else {
            throw Console.failure(.badData, "nothing of the prompt has a token in the model's vocabulary")
        }
        let context = local.configuration.contextLength
        guard tokens.count + maxTokens <= context else {
            throw Console.failure(
                .badData,
                "the prompt's \(tokens.count) tokens and --max-tokens \(maxTokens) exceed the model's context of "
                    + "\(context) tokens; shorten the prompt or ask for fewer tokens")
        }
        var parameters = speculation.parameters
        parameters.enabled = !dense && speculator != nil
        return GenerationRequest(
            prompt: tokens, maxTokens: maxTokens, sampling: sampling, ignoreEOS: ignoreEos, speculation: parameters)
    }
}

/// Whether Ctrl-C or SIGTERM has come.
private final class Interruption {
    private final class Flag: Sendable {
        let value = Atomic<Bool>(false)
    }
    private let flag = Flag()
    private let signals = StopSignals()
    private let wait: Task<Void, Never>

    init() {
        wait = Task.detached { [flag, reasons = signals.reasons] in
            for await _ in reasons { flag.value.store(true, ordering: .relaxed) }
        }
    }

    var hasCome: Bool { flag.value.load(ordering: .relaxed) }

    func ignore() {
        wait.cancel()
        signals.cancel()
    }
}

/// The answer as it grows, and its times.
private struct Answer {
    var report: SpeculationReport?
    var finish: FinishReason = .stop
    private(set) var tokens = 0
    private var text = ""
    private var detokenizer: StreamingDetokenizer
    private var stops: StopMatcher
    private let isStreaming: Bool
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var first: ContinuousClock.Instant?
    private var last: ContinuousClock.Instant

    init(tokenizer: Tokenizer, stops: [String], isStreaming: Bool) {
        detokenizer = StreamingDetokenizer(tokenizer: tokenizer, isContinuation: true)
        self.stops = StopMatcher(stops)
        self.isStreaming = isStreaming
        start = clock.now
        last = start
    }

    var isStopped: Bool { stops.isStopped }

    mutating func add(_ token: SampledToken) {
        last = clock.now
        if first == nil { first = last }
        tokens += 1
        emit(stops.append(detokenizer.append(token.token)))
    }

    mutating func end() {
        if !isStopped { emit(stops.append(detokenizer.finish())) }
        emit(stops.finish())
        if isStreaming { Console.say("") }
    }

    private mutating func emit(_ piece: String) {
        guard !piece.isEmpty else { return }
        if isStreaming { Console.write(piece) } else { text += piece }
    }

    private var firstTokenSeconds: Double? { first.map { start.duration(to: $0) / .seconds(1) } }
    private var tokensPerSecond: Double? {
        guard let first, tokens > 1 else { return nil }
        return Double(tokens - 1) / max(1e-9, first.duration(to: last) / .seconds(1))
    }

    func printFacts() {
        guard let report else { return }
        let share = String(format: "%.1f", report.keepRate * 100)
        var facts = "\(report.promptTokens) prompt tokens, kept \(report.keptTokens) (\(share) %)"
        if let time = report.speculation { facts += String(format: ", speculation %.0f ms", time / .milliseconds(1)) }
        if let fallback = report.fallback { facts += ", dense: \(fallback)" }
        if let seconds = firstTokenSeconds { facts += String(format: "; first token after %.0f ms", seconds * 1000) }
        facts += "; \(tokens) tokens"
        if let rate = tokensPerSecond { facts += String(format: " at %.1f a second", rate) }
        Console.note(facts)
    }

    private struct Facts: Encodable {
        var text: String
        var finishReason: String
        var promptTokens: Int
        var keptTokens: Int
        var keepRate: Double
        var speculationMs: Double?
        var fallback: String?
        var completionTokens: Int
        var ttftMs: Double?
        var tokensPerSecond: Double?
    }

    func json() throws -> String {
        let facts = Facts(
            text: text, finishReason: finish.rawValue, promptTokens: report?.promptTokens ?? 0,
            keptTokens: report?.keptTokens ?? 0, keepRate: report?.keepRate ?? 1,
            speculationMs: report?.speculation.map { $0 / .milliseconds(1) }, fallback: report?.fallback,
            completionTokens: tokens, ttftMs: firstTokenSeconds.map { $0 * 1000 }, tokensPerSecond: tokensPerSecond)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(facts), as: UTF8.self)
    }
}
