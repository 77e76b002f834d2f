import Checkpoint
import Compute
import Foundation
import Tokenizer
import Transformer
import Wire

/// What a worker reads of its model before it says who it is.
struct Model {
    let checkpoint: Checkpoint
    private let fingerprint: Fingerprint
    /// A speculator's.
    private let tokenizer: Tokenizer?

    init(_ configuration: WorkerConfiguration) throws(WorkerError) {
        do {
            checkpoint = try Checkpoint(path: configuration.modelDirectory)
            fingerprint = try checkpoint.fingerprint()
            tokenizer =
                configuration.role == .speculator ? try Tokenizer(modelPath: configuration.modelDirectory) : nil
        } catch {
            throw .model("\(error)")
        }
    }

    func profile(
        _ configuration: WorkerConfiguration, pool: ThreadPool, dataEndpoint: Endpoint, dataPeer: PeerID
    ) -> Profile {
        let model = checkpoint.configuration
        return Profile(
            name: configuration.name, fingerprint: fingerprint.bytes,
            model: (configuration.modelDirectory as NSString).lastPathComponent, layerCount: model.layerCount,
            dataEndpoint: dataEndpoint.description, dataPeer: dataPeer, layers: configuration.layers,
            pipeline: configuration.pipeline,
            kvRows: configuration.kvRows
                ?? Self.kvRows(model, layers: configuration.layers, precision: configuration.precision),
            threads: configuration.threads,
            arithmetic: "\(configuration.precision.kernel) \(CPULevel.inUse.rawValue)",
            speed: configuration.measuresSpeed ? MachinePeak.usualOperations(configuration.precision, pool: pool) : 0)
    }

    func executor(_ configuration: WorkerConfiguration, pool: ThreadPool) -> any Executor {
        switch configuration.role {
        case .stage:
            return StageRunner(
                checkpoint: checkpoint, precision: configuration.precision, pool: pool, name: configuration.name)
        case .speculator:
            return SpeculatorExecutor(
                checkpoint: checkpoint, precision: configuration.precision, pool: pool,
                endTokens: tokenizer?.endTokens(of: checkpoint.configuration) ?? [])
        }
    }

    /// KV rows that fit half of the memory this host has to give, weights not yet loaded: for the layers asked for, or,
    /// before any are assigned, for all of the model's.
    private static func kvRows(_ model: ModelConfiguration, layers: Range<Int>?, precision: Precision) -> Int {
        guard let available = HostMemory.available else { return 0 }
        let row = Stage.cacheBytes(
            configuration: model, layers: layers ?? 0..<model.layerCount, precision: precision, capacity: 1)
        return max(1, available / 2 / max(1, row))
    }
}
