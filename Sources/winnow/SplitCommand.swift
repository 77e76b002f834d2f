import ArgumentParser
import Checkpoint
import Coordinator
import Launcher
import Layers
import OutsideText
import Wire

extension ModelCommand {
    /// `winnow model split`
    struct Split: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "split",
            abstract: "Write a model as one directory per stage, each with its layers alone.",
            discussion: """
                Reads a model directory in Hugging Face's layout and writes under --out a directory for each stage: its \
                layers, the embedding for the first, norm and head for the last, config.json; and one called coordinator, with \
                the tokenizer and no weights. Copy each to the host that needs it and give it to its process as --model: the \
                others' files need not be there.

                All parts have the fingerprint of the whole model, and prove it: each lists a digest of every tensor. A worker \
                serves the layers of its part; parts of different models do not come together.

                With --topology the stages are those of the file's pipelines, with the layers that it names. Directories are \
                called stage-0, stage-1 and so on; where pipelines are cut differently, PIPELINE-stage-0.

                  winnow model split DIR --stages 3 --out DIR-parts
                  winnow model split DIR --topology cluster.yaml --out DIR-parts
                """)

        @Argument(help: ArgumentHelp("The model directory to read.", valueName: "dir"))
        var model: String

        @Option(help: ArgumentHelp("Stages of equal work to cut it into.", valueName: "n"))
        var stages: Int?

        @Option(help: ArgumentHelp("The topology file whose stages to write.", valueName: "file"))
        var topology: String?

        @Option(
            help: ArgumentHelp(
                "The directory to write the parts into; made if needed. Parts there are not overwritten.",
                valueName: "dir"))
        var out: String

        func validate() throws {
            guard (stages == nil) != (topology == nil) else {
                throw ValidationError("give either --stages N or --topology FILE")
            }
            if let stages, !(1...4096).contains(stages) {
                throw ValidationError("--stages must be 1 to 4096, found \(stages)")
            }
        }

        func run() async throws {
            let line = ProgressLine()
            do {
                let parts = try parts(of: ModelConfiguration(directory: model))
                try await interruptible { [model, out] in
                    try ModelSplitter.write(model, parts: parts, to: out) { written, total in
                        line.show("writing weights: \(ModelReport.size(written)) of \(ModelReport.size(total))")
                    }
                }
                line.clear()
                for part in parts {
                    let checkpoint = try Checkpoint(path: "\(out)/\(part.name)")
                    Console.say(
                        "\(out)/\(part.name): layers \(part.layers), \(ModelReport.size(checkpoint.byteCount))"
                    )
                }
                Console.say("\(out)/\(ModelSplitter.coordinatorName): tokenizer, no weights")
            } catch let interruption as ExitCode {
                line.clear()
                throw interruption
            } catch let error as TopologyError {
                throw Console.failure(.usage, "\(error)")
            } catch {
                line.clear()
                throw Console.failure(.badData, "\(error)".shown(upTo: 2000))
            }
        }

        private func parts(of shape: ModelConfiguration) throws -> [ModelSplitter.Part] {
            guard let topology else {
                return Self.parts([("", try Self.cut(shape, wishes: [], into: stages ?? 1))])
            }
            // It may name the parts that are to be written.
            let cluster = try Topology(contentsOf: topology, areModelsHere: false)
            var cuts: [(pipeline: String, layers: [LayerSpan])] = []
            for pipeline in cluster.pipelines {
                let wishes = pipeline.stages.compactMap(\.layers)
                cuts.append((pipeline.name, try Self.cut(shape, wishes: wishes, into: pipeline.stages.count)))
            }
            return Self.parts(cuts)
        }

        /// The stages' layers in order, as the coordinator would cut them for equal workers.
        private static func cut(
            _ shape: ModelConfiguration, wishes: [LayerSpan], into stages: Int
        ) throws -> [LayerSpan] {
            if let outside = wishes.first(where: { !$0.isWithin(layerCount: shape.layerCount) }) {
                throw CheckpointError(
                    path: "layers \(outside)", place: "", problem: "the model does not have them",
                    fix: "its layers are \(shape.allLayers)")
            }
            do {
                return try LayerPlan(work: LayerPlan.work(of: shape), stageCount: stages, wishes: wishes).slots
                    .map(\.layers)
            } catch {
                throw CheckpointError(
                    path: "\(stages) stages", place: "", problem: error.reason,
                    fix: "the model has layers \(shape.allLayers)")
            }
        }

        private static func parts(_ cuts: [(pipeline: String, layers: [LayerSpan])]) -> [ModelSplitter.Part] {
            let areAlike = cuts.allSatisfy { $0.layers == cuts.first?.layers }
            return (areAlike ? Array(cuts.prefix(1)) : cuts).flatMap { cut in
                cut.layers.enumerated().map { index, layers in
                    ModelSplitter.Part(name: (areAlike ? "" : cut.pipeline + "-") + "stage-\(index)", layers: layers)
                }
            }
        }
    }
}
