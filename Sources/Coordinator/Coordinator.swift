import Checkpoint
import Compute
import Dispatch
import Foundation
public import Logging
public import Speculation
import Synchronization
public import Tokenizer
import Transformer
public import Wire

/// Takes requests, scores and prunes their prompts, and leads them through a pipeline of workers.
public final class Coordinator: GenerationService {
    public let modelName: String
    public let contextLength: Int
    public let tokenizer: Tokenizer
    public let modelFingerprint: String
    public let hasSpeculator: Bool
    public let defaultSpeculation: SpeculationParameters
    /// Where workers say hello, with the port that was bound.
    public let endpoint: Endpoint

    private let loop: SocketLoop
    private let core: CoordinatorCore
    private let admission: Admission
    private let ledger = MetricsLedger()
    private let logger: Logger
    private let precision: Precision
    private let stopping = AsyncStream<Void>.makeStream()

    /// Opens the models and binds the endpoints; workers are awaited by `run`.
    ///
    /// - Parameter onReady: told the stages' worker names each time a complete pipeline stands; on the coordinator's own
    ///   thread, so it must not block.
    /// - Throws: `CoordinatorError` for a setting out of range, a model that can't be read or a pair that does not belong
    ///   together, an address that can't be bound.
    public init(
        configuration: CoordinatorConfiguration, context: ZeroMQContext, logger: Logger,
        onReady: @escaping @Sendable ([String]) -> Void = { _ in }
    ) throws(CoordinatorError) {
        self.logger = logger
        precision = configuration.precision
        let models = try CoordinatorModels(configuration)
        for note in models.notes { logger.notice("\(note.text)", metadata: ["model": "\(note.model)"]) }
        try Self.check(configuration, models: models)
        tokenizer = models.tokenizer
        modelFingerprint = "\(models.fingerprint)"
        contextLength = models.configuration.contextLength
        hasSpeculator = models.speculator != nil
        defaultSpeculation = configuration.speculation
        modelName =
            configuration.modelName
            ?? URL(fileURLWithPath: configuration.modelDirectory).standardizedFileURL.lastPathComponent

        let control: Socket
        let results: Socket
        let resultsEndpoint: Endpoint
        do {
            control = try Socket(
                .router, context: context, limits: Socket.Limits(maxFrameBytes: Protocol.maxControlBytes))
            try control.setTransportHeartbeat(intervalMilliseconds: 1000, timeoutMilliseconds: 3000)
            let bound = try Endpoint(try control.bind(configuration.listen.description))
            endpoint = configuration.advertisedHost.map(bound.advertised(as:)) ?? bound
            results = try Socket(.router, context: context, limits: Socket.Limits(maxFrameBytes: Protocol.maxDataBytes))
            let results = try Endpoint(try results.bind(configuration.listen.sibling(suffix: ".results").description))
            resultsEndpoint = configuration.advertisedHost.map(results.advertised(as:)) ?? results
            loop = try SocketLoop(name: "winnow-coord")
        } catch {
            throw .transport("\(error)")
        }
        guard resultsEndpoint.isConnectable else {
            throw .badConfiguration(
                "no worker can connect to \(resultsEndpoint): give the name other hosts know this one by "
                    + "(--advertise HOST)")
        }
        let registry = Registry(
            settings: Registry.Settings(
                fingerprint: models.fingerprint.bytes, layerCount: models.configuration.layerCount,
                stageCount: configuration.stageCount, kvRows: configuration.kvRows,
                resultsEndpoint: resultsEndpoint.description, silenceLimit: Protocol.silenceLimit,
                stallLimit: .seconds(60)))
        admission = Admission(
            limits: Admission.Limits(
                contextLength: contextLength, vocabularySize: models.configuration.vocabularySize,
                maxRequests: configuration.maxRequests, maxQueuedTokens: configuration.maxQueuedTokens),
            notReadyReason: registry.notReadyReason ?? "starting")
        core = CoordinatorCore(
            loop: loop,
            settings: CoordinatorCore.Settings(
                stageCount: configuration.stageCount, microBatchRows: configuration.microBatchRows,
                vocabularySize: models.configuration.vocabularySize,
                eosTokens: Set(models.tokenizer.endTokens(of: models.configuration)),
                requestTimeout: configuration.requestTimeout,
                resultsEndpoint: resultsEndpoint.description, onReady: onReady),
            context: context, control: control, results: results, registry: registry, admission: admission,
            ledger: ledger, speculator: models.speculator, logger: logger)
    }

    private static func check(
        _ configuration: CoordinatorConfiguration, models: CoordinatorModels
    ) throws(CoordinatorError) {
        let layers = models.configuration.layerCount
        let counts: [(String, Int, ClosedRange<Int>)] = [
            ("stages", configuration.stageCount, 1...layers),
            ("micro-batch rows", configuration.microBatchRows, 1...Protocol.maxRows),
            ("KV rows", configuration.kvRows, 1...Int(Int32.max)),
            ("max requests", configuration.maxRequests, 1...1_000_000),
            ("max queued tokens", configuration.maxQueuedTokens, 1...Int(Int32.max)),
            ("threads", configuration.threads, 1...1024),
        ]
        for (what, value, range) in counts where !range.contains(value) {
            throw .badConfiguration("\(what) must be \(range.lowerBound) to \(range.upperBound), found \(value)")
        }
        do {
            try configuration.speculation.validate()
        } catch {
            throw .badConfiguration("\(error)")
        }
        guard configuration.listen.isLocal || configuration.allowPlaintext else {
            throw .badConfiguration(
                "\(configuration.listen) is reachable from other hosts and links are not encrypted yet: use loopback, or "
                    + "accept it on a trusted network with --allow-plaintext")
        }
    }

    // MARK: Serving

    public func readiness() -> Readiness { admission.readiness }

    public func metrics() -> ServiceMetrics { ledger.metrics }

    public func submit(_ request: GenerationRequest) throws(RequestError) -> Generation {
        let id: UInt64
        do {
            id = try admission.admit(request)
        } catch {
            ledger.record { $0.refused() }
            throw error
        }
        ledger.record { $0.accepted(id, now: .now) }
        let (generation, sink) = Generation.make(
            id: id,
            onCancel: { [loop, core] in loop.submit { core.assumeIsolated { $0.cancel(id) } } },
            onConclude: { [loop, core] in loop.submit { core.assumeIsolated { $0.conclude(id) } } })
        loop.submit { [core] in core.assumeIsolated { $0.begin(id, request, sink: sink) } }
        return generation
    }

    /// Serves until `stop()` is called or the task is cancelled.
    public func run() async {
        logger.info(
            "matrix products", metadata: ["kernel": "\(precision.kernel)", "cpu_level": "\(CPULevel.inUse.rawValue)"])
        if let problem = precision.kernelProblem {
            logger.warning("slow matrix products", metadata: ["problem": "\(problem)"])
        }
        if case .failure(let problem) = tokenizer.chatTemplate {
            logger.warning(
                "chat requests will be refused: the model's chat template can't be used",
                metadata: ["problem": "\(problem)"])
        }
        loop.start()
        await core.start()
        for await _ in stopping.stream {}
        await core.stop()
        await withCheckedContinuation { done in
            // Joining a thread blocks, which the cooperative pool must not.
            DispatchQueue.global().async { [loop] in
                loop.stopAndWait()
                done.resume()
            }
        }
    }

    /// Ends every request at once with `unavailable`, takes no more, and tells the workers goodbye, while `run` goes on
    /// until `stop()`. From any thread, more than once.
    public func endRequests() {
        loop.submit { [core] in core.assumeIsolated { $0.stop() } }
    }

    /// Ends `run`: every request ends with `unavailable`, workers are told goodbye. From any thread, more than once.
    public func stop() { stopping.continuation.finish() }
}
