public import ArgumentParser
public import Checkpoint
import Foundation
import OutsideText

/// `winnow model`: what a model is, and models of random weights.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Look into a model, use its tokenizer, split it, make it smaller, or make one of random weights.",
        subcommands: [Inspect.self, ModelTokenizeCommand.self, Synth.self, Quantize.self, Split.self])

    /// `winnow model inspect`
    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect",
            abstract: "Check a model's files and print its shape.",
            discussion: """
                Reads a directory in Hugging Face's layout (config.json, safetensors, tokenizer.json) or a GGUF file, of a \
                split one any part. All headers are checked; weights are only sampled, for the fingerprint by which a coordinator \
                and its workers make sure that they hold the same model.

                Exits with 65 and says what is wrong, where, and what to do, if the weights cannot be used; \
                a tokenizer that cannot be used is reported in its line.

                  winnow model inspect cluster/models/stories260K
                  winnow model inspect cluster/models/stories260K --json
                """)

        @Argument(help: ArgumentHelp("A model directory, or a GGUF file.", valueName: "dir|file.gguf"))
        var path: String

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() async throws {
            let report: ModelReport
            do {
                report = try ModelReport(path: path)
            } catch {
                throw Console.failure(.badData, "\(error)".shown(upTo: 1000))
            }
            Console.say(json ? try report.json() : report.text())
        }
    }

    /// `winnow model synth`
    struct Synth: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "synth",
            abstract: "Write a model of random weights, for measuring speed.",
            discussion: """
                Writes a directory in Hugging Face's layout whose config.json says "winnow_synthetic": true, or with \
                --format gguf a file that llama.cpp reads too. The same options give the same bytes, and both formats \
                the same weights. Its text means nothing, but it computes, serves and takes memory like a \
                trained model of its shape. Its tokenizer has a token per byte; two models of the same --vocab share it, \
                so one can be the other's speculator.

                  winnow model synth --hidden 1024 --layers 16 --ffn 4096 --heads 16 --kv-heads 4 --vocab 8192 \\
                    --context 131072 --seed 1 --dtype bf16 --out DIR
                """)

        @Option(help: ArgumentHelp("Width of the residual stream: heads times an even number.", valueName: "n"))
        var hidden: Int

        @Option(help: ArgumentHelp("Transformer layers.", valueName: "n"))
        var layers: Int

        @Option(help: ArgumentHelp("Width of the feed-forward layers.", valueName: "n"))
        var ffn: Int

        @Option(help: ArgumentHelp("Query heads.", valueName: "n"))
        var heads: Int

        @Option(help: ArgumentHelp("Key and value heads, a divisor of --heads. Default: --heads.", valueName: "n"))
        var kvHeads: Int?

        @Option(help: ArgumentHelp("Vocabulary, at least \(SyntheticCheckpoint.smallestVocabulary).", valueName: "n"))
        var vocab = 8192

        @Option(help: ArgumentHelp("Longest context in tokens.", valueName: "n"))
        var context = 131_072

        @Option(help: ArgumentHelp("Seed of the random numbers.", valueName: "n"))
        var seed: UInt64 = 1

        @Option(help: "How weights are stored.")
        var dtype = SyntheticCheckpoint.Precision.bf16

        @Option(help: "A directory in Hugging Face's layout, or one GGUF file.")
        var format = SyntheticCheckpoint.Format.safetensors

        @Option(
            help: ArgumentHelp(
                "The directory or file to write. A synthetic model there is replaced, another is not.",
                valueName: "path"))
        var out: String

        func run() async throws {
            let shape = SyntheticCheckpoint.configuration(
                hidden: hidden, layers: layers, feedForward: ffn, heads: heads, kvHeads: kvHeads ?? heads,
                vocabulary: vocab, context: context)
            let line = ProgressLine()
            do {
                try await interruptible { [format, dtype, seed, out] in
                    try SyntheticCheckpoint.write(
                        shape, format: format, precision: dtype, seed: seed, to: out
                    ) { written, total in
                        line.show("writing weights: \(ModelReport.size(written)) of \(ModelReport.size(total))")
                    }
                }
                line.clear()
                Console.say(try ModelReport(path: out).text())
            } catch let interruption as ExitCode {
                line.clear()
                throw interruption
            } catch {
                line.clear()
                throw Console.failure(.badData, "\(error)")
            }
        }
    }
}

extension SyntheticCheckpoint.Precision: ExpressibleByArgument {}
extension SyntheticCheckpoint.Format: ExpressibleByArgument {}
