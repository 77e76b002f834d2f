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

    init(_ configuration: WorkerPlan) throws(WorkerError) {
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
        _ configuration: WorkerPlan, limits: ProcessLimits, pool: ThreadPool, dataEndpoint: Endpoint,
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

    /// What an operator should know of the model.
    func notes(_ configuration: WorkerPlan) throws(WorkerError) -> [String] {
        do {
            return try Stage.notes(
                on: checkpoint, layers: configuration.layers ?? checkpoint.heldLayers,
                precision: configuration.precision
            ).map { "\($0)" }
        } catch {
            throw .model("\(error)")
        }
    }

    /// Throws unless the files hold what the worker is for.
    private static func check(
        _ configuration: WorkerPlan, _ checkpoint: Checkpoint
    ) throws(CheckpointError) {
        let shape = checkpoint.configuration
        if configuration.role == .speculator || checkpoint.heldLayers.isEmpty {
            try checkpoint.checkHeld(shape.allLayers)
        } else if let layers = configuration.layers, layers.isWithin(layerCount: shape.layerCount) {
            // Layers that the model does not have are said later.
            try checkpoint.checkHeld(layers)
        }
    }

    func executor(_ configuration: WorkerPlan, pool: ThreadPool, logger: Logger) throws(WorkerError) -> any Executor {
        let thread = try WorkThread(name: "\(configuration.name)-0", cpu: configuration.cpus?.first)
        let loading = StageLoading(
            checkpoint: checkpoint, precision: configuration.precision, pool: pool,
            cache: configuration.weightsCache.map { WeightsCache(directory: $0) }, logger: logger)
        switch configuration.role {
        case .stage:
            return StageRunner(loading: loading, thread: thread)
        case .speculator:
            return SpeculatorExecutor(
                loading: loading, endTokens: tokenizer?.endTokens(of: checkpoint.configuration) ?? [], thread: thread)
        }
    }

    /// Throws unless the KV cache of as many rows as were asked for could be had by a host that does nothing else.
    func checkCache(_ configuration: WorkerPlan, limits: ProcessLimits) throws(WorkerError) {
        guard let rows = configuration.kvRows else { return }
        let layers = configuration.layers ?? LayerSpan(0..<1)
        let row = Stage.cacheBytes(
            configuration: checkpoint.configuration, layers: layers, precision: configuration.precision, capacity: 1)
        let (bytes, overflows) = row.multipliedReportingOverflow(by: rows)
        guard overflows || bytes > limits.memory ?? .max else { return }
        throw .memory(
            purpose: "the KV cache of \(rows) tokens in layers \(layers) (kvTokens)",
            bytes: overflows ? .max : bytes)
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
