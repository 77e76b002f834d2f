import ArgumentParser
import Compute
import Foundation
import Speculation
import Tokenizer
import Transformer

/// `winnow bench agreement`
struct BenchAgreement: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agreement",
        abstract: "How much of what exact scoring keeps of a text sparse scoring keeps too, and what either costs.",
        discussion: """
            Prompts are cut from a text at even distances and scored both ways, in turns. Overlap is the share of the \
            tokens that exact scores choose at --keep-rate which sparse scores choose too; BOS and tail, which would be \
            kept anyhow, are not kept by force here. --reference-dtype f32 takes the exact scores from another number \
            format, as a yardstick: with --speculator-attention exact only the number format then makes the difference.

              winnow bench agreement --speculator DIR --text-file moby-dick.txt --tokens 8192 --keep-rate 0.1
            """)

    @Option(help: ArgumentHelp("The speculator: a directory or a GGUF file.", valueName: "path"))
    var speculator: String

    @Option(help: ArgumentHelp("The text, UTF-8.", valueName: "file"))
    var textFile: String

    @Option(help: ArgumentHelp("Tokens in a prompt.", valueName: "n"))
    var tokens = 8192

    @Option(help: ArgumentHelp("Prompts to cut from the text.", valueName: "n"))
    var prompts = 3

    @Option(help: ArgumentHelp("Text at the end of every prompt.", valueName: "text"))
    var question = ""

    @Option(help: ArgumentHelp("Number format of the exact scores. Default: that of --dtype.", valueName: "type"))
    var referenceDtype: PrecisionChoice?

    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var compute: ComputeOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Report: Encodable {
        var bench = "agreement"
        var dtype: String
        var referenceDtype: String
        var threads: Int
        var tokens: Int
        var keepRate: Double
        var attention: String
        var prompts: Int
        var overlap: Double
        var overlapMin: Double
        var exactSeconds: Double
        var seconds: Double
        var ratio: Double
    }

    func validate() throws {
        guard (1...1000).contains(prompts) else {
            throw ValidationError("--prompts must be 1 to 1000, found \(prompts)")
        }
    }

    func run() async throws {
        try compute.prepare()
        let pool = ThreadPool(threads: compute.threads, cpus: compute.cpus, name: "bench")
        let model = try BenchModel(speculator, precision: compute.precision, pool: pool)
        try model.check(tokens: tokens)
        let reference = referenceDtype?.precision ?? compute.precision
        let exactModel =
            reference == compute.precision ? model : try BenchModel(speculator, precision: reference, pool: pool)
        let texts = try makePrompts()
        var exact = speculation.parameters
        (exact.keepHead, exact.tail, exact.attention) = (false, 0, .exact)
        var other = exact
        other.attention = speculation.parameters.attention

        let line = ProgressLine()
        try model.warmUp(texts[0])
        let clock = ContinuousClock()
        var (exactTimes, times, overlaps): ([Double], [Double], [Double]) = ([], [], [])
        /// The tokens that are kept, and the time it takes to say so.
        func kept(_ prompt: [Int32], by model: BenchModel, _ parameters: SpeculationParameters, _ times: inout [Double])
            throws -> Set<Int32>
        {
            let start = clock.now
            let importance = try Speculator(stage: model.stage, eosTokens: []).importance(
                of: prompt, parameters: parameters)
            let selection = Selector.select(importance: importance, parameters: parameters)
            times.append(start.duration(to: clock.now) / .seconds(1))
            return Set(selection.kept)
        }
        for (number, prompt) in texts.enumerated() {
            line.show("prompt \(number + 1) of \(texts.count)")
            let expected = try kept(prompt, by: exactModel, exact, &exactTimes)
            let found = try kept(prompt, by: model, other, &times)
            overlaps.append(Double(expected.intersection(found).count) / Double(max(1, expected.count)))
        }
        line.clear()
        let report = Report(
            dtype: compute.precision.rawValue, referenceDtype: reference.rawValue, threads: pool.threads,
            tokens: tokens, keepRate: exact.keepRate, attention: other.attention.rawValue, prompts: texts.count,
            overlap: overlaps.reduce(0, +) / Double(overlaps.count), overlapMin: overlaps.min() ?? 0,
            exactSeconds: Timing(seconds: exactTimes).median, seconds: Timing(seconds: times).median,
            ratio: Timing(seconds: zip(exactTimes, times).map { $0 / $1 }).median)
        if json {
            Console.say(try BenchJSON.text(report))
        } else {
            Console.say(
                String(
                    format: "agreement of %@ with exact (%@), %d tokens, %@, %d threads, keep rate %.2f:"
                        + " overlap %.3f (least %.3f) over %d prompts; %.3f s, exact %.3f s: %.2fx",
                    report.attention, report.referenceDtype, tokens, report.dtype, report.threads, report.keepRate,
                    report.overlap, report.overlapMin, report.prompts, report.seconds, report.exactSeconds,
                    report.ratio))
        }
    }

    /// Prompts of exactly `tokens` tokens, from the text's beginning to its end.
    private func makePrompts() throws -> [[Int32]] {
        let tokenizer: Tokenizer
        let ids: [Int32]
        let end: [Int32]
        do {
            tokenizer = try Tokenizer(modelPath: speculator)
            let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: textFile)), as: UTF8.self)
            ids = tokenizer.encode(text)
            end = tokenizer.encode(question, addSpecialTokens: false)
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
        let length = tokens - end.count
        guard length > 0, ids.count >= length else {
            throw Console.failure(
                .usage, "\(textFile) has \(ids.count) tokens; prompts of \(tokens) need at least \(max(1, length))")
        }
        let room = ids.count - length
        return (0..<prompts).map { number in
            let first = prompts == 1 ? 0 : room * number / (prompts - 1)
            return Array(ids[first..<first + length]) + end
        }
    }
}
