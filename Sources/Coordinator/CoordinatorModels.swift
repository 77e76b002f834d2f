import Checkpoint
import Compute
import Foundation
import Layers
import Speculation
import Tokenizer
import Transformer
import Wire

/// What the coordinator reads of the two models: of the main model its shape, tokenizer and fingerprint, of the
/// speculator everything.
struct CoordinatorModels {
    let configuration: ModelConfiguration
    let fingerprint: Fingerprint
    let tokenizer: Tokenizer
    /// In this process; `nil` without one, and where workers are the speculators.
    let speculator: SpeculatorRunner?
    /// Of the speculator, wherever it runs.
    let speculatorFingerprint: Fingerprint?
    let speculatorContext: Int?
    /// What is worth a word about the models' files.
    private(set) var notes: [(model: String, text: String)] = []

    init(_ settings: CoordinatorConfiguration) throws(CoordinatorError) {
        do {
            let checkpoint = try Checkpoint(path: settings.modelDirectory)
            configuration = checkpoint.configuration
            if let part = checkpoint.part, !part.layers.isEmpty {
                throw CheckpointError(
                    path: settings.modelDirectory, place: "",
                    problem: "is the part of a stage (layers \(part.layers)), which has no tokenizer",
                    fix:
                        "give the part called \(ModelSplitter.coordinatorName) that was written beside it, or the whole model"
                )
            }
            notes += checkpoint.notes.map { (settings.modelDirectory, $0) }
            fingerprint = try checkpoint.fingerprint()
            tokenizer = try Tokenizer(modelPath: settings.modelDirectory)
        } catch {
            throw .model("\(error)")
        }
        try TokenizerMatch.check(tokenizer, configuration: configuration, directory: settings.modelDirectory)
        guard let directory = settings.speculatorDirectory else {
            speculator = nil
            speculatorFingerprint = nil
            speculatorContext = nil
            return
        }
        do {
            let checkpoint = try Checkpoint(path: directory)
            notes += checkpoint.notes.map { (directory, $0) }
            notes += try Stage.notes(on: checkpoint, precision: settings.precision).map { (directory, $0) }
            try TokenizerMatch.check(
                pair: tokenizer, settings.modelDirectory, with: try Tokenizer(modelPath: directory), directory,
                configuration: checkpoint.configuration)
            speculatorFingerprint = try checkpoint.fingerprint()
            speculatorContext = checkpoint.configuration.contextLength
            guard !settings.speculatorsAreWorkers else {
                speculator = nil
                return
            }
            let pool = ThreadPool(
                threads: settings.threads ?? min(64, max(1, ProcessInfo.processInfo.activeProcessorCount)),
                cpus: settings.cpus, name: "speculator")
            let stage = try Stage(
                checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: settings.precision,
                cache: settings.weightsCache.map { WeightsCache(directory: $0) },
                pool: pool)
            speculator = SpeculatorRunner(
                speculator: Speculator(stage: stage, eosTokens: tokenizer.endTokens(of: checkpoint.configuration)),
                drafter: Drafter(stage: stage),
                contextLength: checkpoint.configuration.contextLength, pool: pool, yields: settings.threads == nil)
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw .model("\(error)")
        }
    }
}
