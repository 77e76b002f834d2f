import ArgumentParser
import Checkpoint
import Compute
import Foundation
import Speculation
import Transformer

/// `winnow bench ttft`
struct BenchFirstToken: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ttft",
        abstract: "Time to the first token in one process, dense and pruned, in turns.",
        discussion: """
            Speculation, selection, and the prefill of what is kept, against the prefill of the whole prompt by the same \
            engine. Both models share the threads. The ratio is that of each pair of runs; its median is printed.
            """)

    @Option(help: ArgumentHelp("The main model: a directory or a GGUF file.", valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("The speculator: a directory or a GGUF file.", valueName: "path"))
    var speculator: String

    @Option(help: ArgumentHelp("Tokens in the prompt.", valueName: "n"))
    var tokens = 8192

    @Flag(
        name: .customLong("no-dense"),
        help: "Leave out the prefill of the whole prompt, which may take minutes, and with it the ratio.")
    var leavesOutDense = false

    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var bench: BenchOptions

    private struct Report: Encodable {
        var bench = "ttft"
        var dtype: String
        var threads: Int
        var tokens: Int
        var keptTokens: Int
        var keepRate: Double
        var denseSeconds: Double?
        var prunedSeconds: Double
        var speculationSeconds: Double
        var prunedSecondsMin: Double
        var prunedSecondsMax: Double
        var ratio: Double?
        var ratioMin: Double?
        var ratioMax: Double?
        var repetitions: Int
    }

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let main = try BenchModel(model, precision: precision, pool: pool)
        let small = try BenchModel(speculator, precision: precision, pool: pool)
        try main.check(tokens: tokens)
        try small.check(tokens: tokens)
        let scorer = Speculator(stage: small.stage, eosTokens: [])
        let prompt = main.prompt(tokens).map { $0 % Int32(small.shape.vocabularySize) }
        let parameters = speculation.parameters
        let everything = (0..<tokens).map { Int32($0) }

        let line = ProgressLine()
        let clock = ContinuousClock()
        var (dense, pruned, scoring, ratios, kept): ([Double], [Double], [Double], [Double], Int) = ([], [], [], [], 0)
        line.show("warming up")
        try main.warmUp(prompt)
        try small.warmUp(prompt)
        for run in 1...bench.repetitions {
            line.show("\(leavesOutDense ? "run" : "pair") \(run) of \(bench.repetitions)")
            let whole =
                leavesOutDense
                ? nil
                : try clock.measure {
                    try main.prefill(prompt, positions: everything, cache: main.stage.makeCache(capacity: tokens))
                }
            var score = Duration.zero
            let part = try clock.measure {
                let start = clock.now
                let importance = try scorer.importance(of: prompt, parameters: parameters)
                let positions = Selector.select(importance: importance, parameters: parameters).kept
                score = start.duration(to: clock.now)
                kept = positions.count
                try main.prefill(
                    positions.map { prompt[Int($0)] }, positions: positions,
                    cache: main.stage.makeCache(capacity: positions.count))
            }
            pruned.append(part / .seconds(1))
            scoring.append(score / .seconds(1))
            guard let whole else { continue }
            dense.append(whole / .seconds(1))
            ratios.append(whole / part)
        }
        line.clear()
        func median(_ values: [Double]) -> Double? { values.isEmpty ? nil : Timing(seconds: values).median }
        let report = Report(
            dtype: precision.rawValue, threads: pool.threads, tokens: tokens, keptTokens: kept,
            keepRate: Double(kept) / Double(tokens), denseSeconds: median(dense),
            prunedSeconds: Timing(seconds: pruned).median, speculationSeconds: Timing(seconds: scoring).median,
            prunedSecondsMin: pruned.min() ?? 0, prunedSecondsMax: pruned.max() ?? 0, ratio: median(ratios),
            ratioMin: ratios.min(), ratioMax: ratios.max(), repetitions: pruned.count)
        if bench.json {
            Console.say(try BenchJSON.text(report))
        } else {
            var text = String(format: "ttft of %d tokens, %@, %d threads: ", tokens, report.dtype, report.threads)
            if let dense = report.denseSeconds { text += String(format: "dense %.3f s, ", dense) }
            text += String(
                format: "pruned to %d %.3f s (%.3f to %.3f; of it speculation %.3f s)", kept, report.prunedSeconds,
                report.prunedSecondsMin, report.prunedSecondsMax, report.speculationSeconds)
            if let ratio = report.ratio, let least = report.ratioMin, let most = report.ratioMax {
                text += String(format: ": %.2fx (%.2f to %.2f)", ratio, least, most)
            }
            Console.say(text)
        }
    }
}
