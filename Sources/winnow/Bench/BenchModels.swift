import ArgumentParser
import Checkpoint
import Compute
import Speculation
import Transformer

/// `winnow bench prefill`
struct BenchPrefill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefill", abstract: "A whole prompt through a whole model, up to the first token.")

    @Option(help: ArgumentHelp("The model: a directory or a GGUF file.", valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("Tokens in the prompt.", valueName: "n"))
    var tokens = 512

    @OptionGroup var bench: BenchOptions

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let model = try BenchModel(model, precision: precision, pool: pool)
        try model.check(tokens: tokens)
        let (prompt, positions) = (model.prompt(tokens), (0..<tokens).map { Int32($0) })
        let timing = try bench.measure(
            "prefill of \(tokens) tokens", warmUp: { try model.warmUp(prompt) },
            body: { try model.prefill(prompt, positions: positions, cache: model.stage.makeCache(capacity: tokens)) })
        var report = BenchReport(
            "prefill", timing, operations: ForwardWork.prefill(model.shape, tokens: tokens), precision: precision,
            pool: pool)
        report.tokens = tokens
        report.tokensPerSecond = Double(tokens) / timing.median
        report.weightBytes = model.stage.weightBytes
        report.loadSeconds = model.loadSeconds
        try report.say(json: bench.json)
    }
}

/// `winnow bench decode`
struct BenchDecode: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "One token after the other: bound by reading the weights from memory.")

    @Option(help: ArgumentHelp("The model: a directory or a GGUF file.", valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("Tokens in the cache before the first step.", valueName: "n"))
    var context = 512

    @Option(help: ArgumentHelp("Tokens to decode.", valueName: "n"))
    var tokens = 64

    @Option(help: ArgumentHelp("Requests that decode together, each in a cache of its own.", valueName: "n"))
    var sequences = 1

    @OptionGroup var bench: BenchOptions

    func validate() throws {
        guard context > 0, tokens > 0 else {
            throw ValidationError("--context and --tokens must be at least 1, found \(context) and \(tokens)")
        }
        guard (1...256).contains(sequences) else {
            throw ValidationError("--sequences must be 1 to 256, found \(sequences)")
        }
    }

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let model = try BenchModel(model, precision: precision, pool: pool)
        try model.check(tokens: context + tokens)
        let prompt = model.prompt(context)
        let caches = (0..<sequences).map { _ in model.stage.makeCache(capacity: context + tokens) }
        // Each sequence reads a cache of its own, whatever is in it.
        let first = try caches.map {
            try model.prefill(prompt, positions: (0..<context).map { Int32($0) }, cache: $0)
        }
        let timing = try bench.measure("decode of \(tokens) tokens") {
            for cache in caches { cache.truncate(to: context) }
            var next = first
            for step in 0..<tokens { next = try model.decode(next, position: Int32(context + step), caches: caches) }
        }
        let steps = (1...tokens).map { ForwardWork.decode(model.shape, context: context + $0) }
        var report = BenchReport(
            "decode", timing, operations: Double(sequences) * steps.reduce(0, +), precision: precision, pool: pool)
        let row = Stage.cacheBytes(
            configuration: model.shape, layers: model.shape.allLayers, precision: precision, capacity: 1)
        // All weights but the embedding, of which a step reads a row a sequence, and the caches so far.
        let embedding = model.shape.tiedEmbeddings ? 0 : model.shape.vocabularySize * model.shape.hiddenSize
        let weights = model.stage.weightBytes - embedding * precision.cacheValueBytes
        let cached = Double(sequences) * Double(row) * (Double(context) + Double(tokens + 1) / 2)
        let read = Double(tokens) * (Double(weights) + cached) / timing.median / 1e9
        let peak = MachinePeak.bytesRead(pool: pool) / 1e9
        report.tokens = tokens
        report.context = context
        report.sequences = sequences
        report.tokensPerSecond = Double(sequences * tokens) / timing.median
        report.gigabytesPerSecond = read
        report.peakGigabytesPerSecond = peak
        report.peakShare = read / peak
        report.weightBytes = model.stage.weightBytes
        report.loadSeconds = model.loadSeconds
        try report.say(json: bench.json)
    }
}

/// `winnow bench speculate`
struct BenchSpeculate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "speculate", abstract: "Scoring a prompt: the speculator's prefill, look-ahead and selection.")

    @Option(help: ArgumentHelp("The speculator: a directory or a GGUF file.", valueName: "path"))
    var speculator: String

    @Option(help: ArgumentHelp("Tokens in the prompt.", valueName: "n"))
    var tokens = 16_384

    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var bench: BenchOptions

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let model = try BenchModel(speculator, precision: precision, pool: pool)
        try model.check(tokens: tokens)
        // No token ends the look-ahead: random weights would decide by chance how much there is to do.
        let scorer = Speculator(stage: model.stage, eosTokens: [])
        let prompt = model.prompt(tokens)
        let parameters = speculation.parameters
        let timing = try bench.measure("speculation over \(tokens) tokens") {
            let importance = try scorer.importance(of: prompt, parameters: parameters)
            _ = Selector.select(importance: importance, parameters: parameters)
        }
        var report = BenchReport(
            "speculate", timing, operations: ForwardWork.prefill(model.shape, tokens: tokens), precision: precision,
            pool: pool)
        report.tokens = tokens
        report.tokensPerSecond = Double(tokens) / timing.median
        report.weightBytes = model.stage.weightBytes
        report.loadSeconds = model.loadSeconds
        try report.say(json: bench.json)
    }
}
