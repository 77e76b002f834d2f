import ArgumentParser
import Compute

/// `winnow bench gemm`
struct BenchGemm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gemm", abstract: "Products of activations and packed weights.")

    @Option(help: ArgumentHelp("Rows of activations.", valueName: "n"))
    var rows = 512

    @Option(help: ArgumentHelp("Outputs of the layer.", valueName: "n"))
    var outputs = 2048

    @Option(help: ArgumentHelp("Inputs of the layer.", valueName: "n"))
    var inputs = 2048

    @OptionGroup var bench: BenchOptions

    func validate() throws {
        for (name, size) in [("rows", rows), ("outputs", outputs), ("inputs", inputs)]
        where !(1...65_536).contains(size) {
            throw ValidationError("--\(name) must be 1 to 65536, found \(size)")
        }
    }

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let product = ProductSample(precision, rows: rows, outputs: outputs, inputs: inputs, pool: pool)
        let timing = try bench.measure("gemm") { product.run() }
        try BenchReport("gemm", timing, operations: product.operations, precision: precision, pool: pool)
            .say(json: bench.json)
    }
}

/// `winnow bench attention`
struct BenchAttention: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attention", abstract: "Causal attention of one layer over a cache that is being filled.")

    @Option(help: ArgumentHelp("Query rows: the last of the context.", valueName: "n"))
    var rows = 512

    @Option(help: ArgumentHelp("Cache rows, the query rows included.", valueName: "n"))
    var context = 4096

    @Option(help: ArgumentHelp("Query heads.", valueName: "n"))
    var heads = 16

    @Option(help: ArgumentHelp("Key and value heads, a divisor of --heads.", valueName: "n"))
    var kvHeads = 4

    @Option(help: ArgumentHelp("Values per head, an even number.", valueName: "n"))
    var headDim = 64

    @OptionGroup var bench: BenchOptions

    func validate() throws {
        guard (1...1024).contains(kvHeads), (1...1024).contains(heads), heads % kvHeads == 0 else {
            throw ValidationError("--kv-heads must divide --heads, both 1 to 1024; found \(kvHeads) and \(heads)")
        }
        guard (2...4096).contains(headDim), headDim % 2 == 0 else {
            throw ValidationError("--head-dim must be an even number of 2 to 4096, found \(headDim)")
        }
        guard (1...1 << 20).contains(context), (1...context).contains(rows) else {
            throw ValidationError("--rows must be 1 to --context, and that at most 1048576")
        }
    }

    func run() async throws {
        let pool = try bench.pool()
        let precision = bench.compute.precision
        let sample = AttentionSample(
            heads: heads, kvHeads: kvHeads, headDim: headDim, rows: rows, context: context, precision: precision)
        let timing = try bench.measure("attention") { sample.run(pool: pool) }
        // The arithmetic of attention is bf16 or Float32, whatever the weights.
        var report = BenchReport(
            "attention", timing, operations: sample.operations, precision: precision == .f32 ? .f32 : .bf16, pool: pool)
        report.context = context
        try report.say(json: bench.json)
    }
}

/// `winnow bench levels`
struct BenchLevels: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "levels",
        abstract: "The levels that --cpu-level can cap this CPU to, the least first, one a line.")

    func run() async throws { for level in CPULevel.possible { Console.say(level.rawValue) } }
}
