import ArgumentParser
import Checkpoint

extension ModelCommand {
    /// `winnow model quantize`
    struct Quantize: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "quantize",
            abstract: "Write a copy of a model with its linear weights in int8.",
            discussion: """
                Reads a model directory in Hugging Face's layout (F32, F16 or BF16) and writes another: the weights of \
                the linear layers in 8 bits with a scale for every output, as the library compressed-tensors keeps them \
                (format "int-quantized", which vLLM reads too); embedding, norms and head as they were; tokenizer and \
                chat template copied.

                GGUF files are not taken: their tokenizer has no place in such a directory.

                  winnow model quantize --model DIR --out DIR-int8
                """)

        @Option(help: ArgumentHelp("The model directory to read.", valueName: "dir"))
        var model: String

        @Option(help: ArgumentHelp("The directory to write; made if needed, must not hold a model.", valueName: "dir"))
        var out: String

        func run() async throws {
            let line = ProgressLine()
            do {
                try await interruptible { [model, out] in
                    try Int8Quantizer.write(model, to: out) { written, total in
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
