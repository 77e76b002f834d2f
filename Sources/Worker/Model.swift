import Checkpoint
import Compute
import Foundation
import Layers
import Logging
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
            try Self.check(configuration, checkpoint)
            fingerprint = try checkpoint.fingerprint()
            tokenizer =
                configuration.role == .speculator ? try Tokenizer(modelPath: configuration.modelDirectory) : nil
        } catch {
            throw .model("\(error)")
        }
    }

    func profile(
        _ configuration: WorkerConfiguration, limits: ProcessLimits, pool: ThreadPool, dataEndpoint: Endpoint,
        dataPeer: PeerID
    ) -> Profile {
        let model = checkpoint.configuration
        return Profile(
            name: configuration.name, fingerprint: fingerprint.bytes,
            model: (configuration.modelDirectory as NSString).lastPathComponent, layerCount: model.layerCount,
            dataEndpoint: dataEndpoint.description, dataPeer: dataPeer,
            // Whoever holds a part of the model can have no other layers.
            layers: configuration.layers ?? checkpoint.part?.layers,
            pipeline: configuration.pipeline,
            kvRows: configuration.kvRows
                ?? Self.kvRows(
                    model, layers: configuration.layers ?? checkpoint.heldLayers, precision: configuration.precision,
                    limits: limits),
            threads: configuration.threads,
            arithmetic: "\(configuration.precision.kernel) \(CPULevel.inUse.rawValue)",
            speed: configuration.measuresSpeed ? MachinePeak.usualOperations(configuration.precision, pool: pool) : 0)
    }

    /// Throws unless the files hold what the worker is for.
    private static func check(
        _ configuration: WorkerConfiguration, _ checkpoint: Checkpoint
    ) throws(CheckpointError) {
        let shape = checkpoint.configuration
        if configuration.role == .speculator || checkpoint.heldLayers.isEmpty {
            try checkpoint.checkHeld(shape.allLayers)
        } else if let layers = configuration.layers, layers.isWithin(layerCount: shape.layerCount) {
            // Layers that the model does not have are said later.
            try checkpoint.checkHeld(layers)
        }
    }

    func executor(_ configuration: WorkerConfiguration, pool: ThreadPool, logger: Logger) -> any Executor {
        let loading = StageLoading(
            checkpoint: checkpoint, precision: configuration.precision, pool: pool,
            cache: configuration.weightsCache.map { WeightsCache(directory: $0) }, logger: logger)
        switch configuration.role {
        case .stage:
            return StageRunner(loading: loading, name: configuration.name)
        case .speculator:
            return SpeculatorExecutor(
                loading: loading, endTokens: tokenizer?.endTokens(of: checkpoint.configuration) ?? [])
        }
    }

    /// KV rows that fit half of the memory this process may have, weights not yet loaded: for the layers asked for, or,
    /// before any are assigned, for all of the model's.
    private static func kvRows(
        _ model: ModelConfiguration, layers: LayerSpan?, precision: Precision, limits: ProcessLimits
    ) -> Int {
        guard let available = limits.memory else { return 0 }
        let row = Stage.cacheBytes(
            configuration: model, layers: layers ?? model.allLayers, precision: precision, capacity: 1)
        return max(1, available / 2 / max(1, row))
    }
}
