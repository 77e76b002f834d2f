import ArgumentParser
import Checkpoint
import Compute
import Foundation
import Speculation
import Transformer

/// What all benches take.
struct BenchOptions: ParsableArguments {
    @OptionGroup var compute: ComputeOptions

    @Option(help: ArgumentHelp("Counted runs, after one that is not counted.", valueName: "n"))
    var repetitions = 5

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard (1...1000).contains(repetitions) else {
            throw ValidationError("--repetitions must be 1 to 1000, found \(repetitions)")
        }
    }

    /// The threads to measure with, on the CPUs asked for.
    func pool() throws -> ThreadPool {
        try compute.prepare()
        return ThreadPool(threads: compute.threads, cpus: compute.cpus, name: "bench")
    }

    /// Runs `warmUp`, or else `body`, once uncounted, and then `body` as often as asked for.
    func measure(
        _ what: String, warmUp: (() throws -> Void)? = nil, body: () throws -> Void
    ) throws -> Timing {
        let line = ProgressLine()
        defer { line.clear() }
        let clock = ContinuousClock()
        var seconds: [Double] = []
        for run in 0...repetitions {
            line.show(run == 0 ? "\(what): warming up" : "\(what): run \(run) of \(repetitions)")
            if run == 0, let warmUp {
                try warmUp()
                continue
            }
            let time = try clock.measure(body) / .seconds(1)
            if run > 0 { seconds.append(time) }
        }
        return Timing(seconds: seconds)
    }
}

/// The runs of one bench.
struct Timing {
    /// Of each run.
    var seconds: [Double]

    /// The middle run; of an even number the mean of the two in the middle.
    var median: Double {
        let sorted = seconds.sorted()
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}

/// What a bench reports; fields that do not apply are absent.
struct BenchReport: Encodable {
    var bench: String
    var dtype: String
    var threads: Int
    var kernel: String
    /// The instruction set in use.
    var cpuLevel: String
    var tokens: Int?
    var context: Int?
    var sequences: Int?
    var tokensPerSecond: Double?
    var seconds: Double
    var secondsMin: Double
    var secondsMax: Double
    var repetitions: Int
    /// Operations per second of the median run, in 10^9.
    var gigaOperations: Double
    /// What the machine does at best, in 10^9 operations per second.
    var peakGigaOperations: Double
    /// For benches that wait for memory: bytes per second that were read, and that the machine reads at best, in 10^9.
    var gigabytesPerSecond: Double?
    var peakGigabytesPerSecond: Double?
    /// The share of the peak, of operations or of memory, whichever the bench waits for.
    var peakShare: Double
    var weightBytes: Int?
    var loadSeconds: Double?

    init(
        _ name: String, _ timing: Timing, operations: Double, precision: Precision, pool: ThreadPool
    ) {
        bench = name
        dtype = precision.rawValue
        threads = pool.threads
        kernel = precision.kernel
        cpuLevel = CPULevel.inUse.rawValue
        seconds = timing.median
        secondsMin = timing.seconds.min() ?? 0
        secondsMax = timing.seconds.max() ?? 0
        repetitions = timing.seconds.count
        gigaOperations = operations / timing.median / 1e9
        peakGigaOperations = MachinePeak.operations(precision, pool: pool) / 1e9
        peakShare = gigaOperations / peakGigaOperations
    }

    /// Prints the report.
    func say(json: Bool) throws {
        if json {
            Console.say(try BenchJSON.text(self))
            return
        }
        var line = "\(bench) \(dtype), \(threads) \(threads == 1 ? "thread" : "threads"): "
        if let tokensPerSecond { line += String(format: "%.1f tokens/s, ", tokensPerSecond) }
        line += String(format: "%.3f s (%.3f to %.3f), ", seconds, secondsMin, secondsMax)
        if let gigabytesPerSecond, let peakGigabytesPerSecond {
            line += String(format: "%.1f of %.1f GB/s", gigabytesPerSecond, peakGigabytesPerSecond)
        } else {
            line += String(format: "%.1f of %.1f GFLOP/s", gigaOperations, peakGigaOperations)
        }
        Console.say(line + String(format: " (%.0f %%) [%@, %@]", 100 * peakShare, kernel, cpuLevel))
    }
}

/// JSON as benches print it: one line, keys in snake case.
enum BenchJSON {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// A whole model, loaded for measuring.
struct BenchModel {
    let stage: Stage
    let loadSeconds: Double
    private static let prefillRows = 512

    init(_ path: String, precision: Precision, pool: ThreadPool) throws {
        do {
            let clock = ContinuousClock()
            let start = clock.now
            let checkpoint = try Checkpoint(path: path)
            stage = try Stage(
                checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: precision,
                pool: pool)
            loadSeconds = start.duration(to: clock.now) / .seconds(1)
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
    }

    var shape: ModelConfiguration { stage.configuration }

    /// Throws where the model has no room for so many positions.
    func check(tokens: Int) throws {
        guard (1...shape.contextLength).contains(tokens) else {
            throw Console.failure(
                .usage, "\(tokens) tokens were asked for; the model's context is 1 to \(shape.contextLength)")
        }
    }

    /// Prefills the beginning of a prompt: enough to have touched all weights and grown all buffers.
    func warmUp(_ prompt: [Int32]) throws {
        let count = min(prompt.count, Self.prefillRows)
        try prefill(
            Array(prompt[..<count]), positions: (0..<count).map { Int32($0) }, cache: stage.makeCache(capacity: count))
    }

    /// Tokens that depend on their place only.
    func prompt(_ count: Int) -> [Int32] {
        var state: UInt64 = 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int32((state >> 33) % UInt64(shape.vocabularySize))
        }
    }

    /// Prefills and returns the most likely next token.
    @discardableResult
    func prefill(_ tokens: [Int32], positions: [Int32], cache: KVCache) throws -> Int32 {
        var next: Int32 = 0
        for first in stride(from: 0, to: tokens.count, by: Self.prefillRows) {
            let rows = first..<min(tokens.count, first + Self.prefillRows)
            let isLast = rows.upperBound == tokens.count
            let hidden = try stage.embed(Array(tokens[rows]))
            try stage.forward(
                hidden, segments: [Segment(cache: cache, positions: Array(positions[rows]))],
                outputs: isLast ? [rows.count - 1] : [])
            if isLast {
                let logits = try stage.logits(hidden, rows: [rows.count - 1])
                next = try Sampler.sample(
                    logits, row: 0, parameters: SamplingParameters(temperature: 0), step: 0
                ).token
            }
        }
        return next
    }

    /// A row for each of `caches`, all at `position`, and the most likely next token of each.
    func decode(_ tokens: [Int32], position: Int32, caches: [KVCache]) throws -> [Int32] {
        let hidden = try stage.embed(tokens)
        let outputs = Array(tokens.indices)
        try stage.forward(
            hidden, segments: caches.map { Segment(cache: $0, positions: [position]) }, outputs: outputs)
        let logits = try stage.logits(hidden, rows: outputs)
        return try outputs.map {
            try Sampler.sample(logits, row: $0, parameters: SamplingParameters(temperature: 0), step: 0).token
        }
    }
}
