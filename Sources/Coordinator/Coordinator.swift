import Checkpoint
import Compute
import Dispatch
import Foundation
import Layers
public import Logging
import OutsideText
public import Speculation
import Synchronization
public import Tokenizer
import Transformer
public import Wire

/// Takes requests, scores and prunes their prompts, and leads them through a pipeline of workers.
///
/// `@unchecked Sendable`: edges and shell are used on the loop's thread alone.
public final class Coordinator: GenerationService, @unchecked Sendable {
    public let modelName: String
    public let contextLength: Int
    public let tokenizer: Tokenizer
    public let modelFingerprint: String
    public let hasSpeculator: Bool
    public let defaultSpeculation: SpeculationParameters
    /// Where workers say hello, with the port that was bound.
    public let endpoint: Endpoint

    private let loop: SocketLoop
    private let shell: CoordinatorShell
    private let control: any Listener
    private let results: any Listener
    private let admission: Admission
    private let ledger = MetricsLedger()
    private let board: StatusBoard
    private let logger: Logger
    private let precision: Precision
    private let trace: TraceWriter?
    /// Endpoints that other machines reach, and whose links are plain text.
    private let openEndpoints: [Endpoint]
    private let stopping = AsyncStream<Void>.makeStream()

    /// Opens the models and binds the endpoints; workers are awaited by `run`.
    ///
    /// - Parameter onReady: told the stages' worker names each time a complete pipeline stands; on the coordinator's own
    ///   thread, so it must not block.
    /// - Throws: `CoordinatorError` for a setting out of range, a model that can't be read or a pair that does not belong
    ///   together, an address that can't be bound.
    public convenience init(
        configuration: CoordinatorConfiguration, context: ZeroMQContext, logger: Logger,
        onReady: @escaping @Sendable ([String]) -> Void = { _ in }
    ) throws(CoordinatorError) {
        try self.init(
            configuration: configuration,
            transport: ZeroMQTransport(
                context: context,
                keys: configuration.keys.map { keys in
                    ZeroMQTransport.Keyring(own: keys.own.pair, mayJoin: { keys.allowed.mayJoin($0) })
                }), logger: logger, onReady: onReady)
    }

    /// The same over any transport.
    package init(
        configuration: CoordinatorConfiguration, transport: any Transport, logger: Logger,
        onReady: @escaping @Sendable ([String]) -> Void = { _ in }
    ) throws(CoordinatorError) {
        self.logger = logger
        precision = configuration.precision
        openEndpoints = configuration.openEndpoints
        let models = try CoordinatorModels(configuration)
        for note in models.notes { logger.notice("\(note.text)", metadata: ["model": "\(note.model)"]) }
        try Self.check(configuration, models: models)
        tokenizer = models.tokenizer
        modelFingerprint = "\(models.fingerprint)"
        contextLength = models.configuration.contextLength
        hasSpeculator = models.speculatorContext != nil
        defaultSpeculation = configuration.speculation
        modelName =
            configuration.modelName
            ?? URL(fileURLWithPath: configuration.modelDirectory).standardizedFileURL.lastPathComponent

        board = StatusBoard(model: modelName)
        do {
            control = try transport.listen(at: configuration.listen, as: .control)
            results = try transport.listen(
                at: configuration.results ?? configuration.listen.sibling(suffix: ".results"),
                as: .data(maxFrameBytes: Protocol.maxResultBytes))
            loop = try SocketLoop(name: "winnow-coord")
        } catch {
            throw .transport("\(error)")
        }
        endpoint = control.endpoint.known(as: configuration.advertisedHost, otherwise: Endpoint.ownHost())
        let resultsEndpoint = results.endpoint.known(
            as: configuration.advertisedHost, otherwise: Endpoint.ownHost())
        guard resultsEndpoint.isConnectable else {
            throw .badConfiguration(
                "no worker can connect to \(resultsEndpoint): give the name other hosts know this one by "
                    + "(--advertise HOST)")
        }
        let plane = ControlPlane(
            settings: ControlPlane.Settings(
                incarnation: .random(in: 1 ... .max), pipelines: configuration.pipelines,
                work: LayerPlan.work(of: models.configuration),
                vocabularySize: models.configuration.vocabularySize,
                fingerprint: models.fingerprint.bytes, speculatorFingerprint: models.speculatorFingerprint?.bytes,
                speculatorsAreWorkers: configuration.speculatorsAreWorkers,
                speculatorContext: models.speculatorContext, kvRows: configuration.kvRows,
                microBatchRows: configuration.microBatchRows, wireType: configuration.wireType,
                rowBytes: models.configuration.hiddenSize * configuration.wireType.bytes,
                resultsEndpoint: resultsEndpoint.description, dataPeer: PeerID.random(),
                ownKey: configuration.keys?.own.pair.publicKey,
                stall: configuration.stallLimit,
                requests: RequestTable.Limits(
                    timeout: configuration.requestTimeout, replayWait: configuration.replayWait,
                    maxReplays: configuration.maxReplays),
                ends: Set(models.tokenizer.endTokens(of: models.configuration)),
                drafts: configuration.draftTokens > 0
                    ? DraftPolicy(most: configuration.draftTokens, isFixed: configuration.draftsAlways) : nil,
                isTracing: configuration.traceFile != nil))
        do {
            trace = try configuration.traceFile.map { try TraceWriter(path: $0, logger: logger) }
        } catch {
            throw .badConfiguration("the trace can't be written to \(configuration.traceFile ?? ""): \(error)")
        }
        admission = Admission(
            limits: Admission.Limits(
                contextLength: contextLength, vocabularySize: models.configuration.vocabularySize,
                maxRequests: configuration.maxRequests, maxQueuedTokens: configuration.maxQueuedTokens),
            notReadyReason: plane.notReadyReason ?? "starting")
        shell = CoordinatorShell(
            plane: plane, control: control, results: results, transport: transport, admission: admission,
            ledger: ledger, board: board, speculator: models.speculator,
            drafter: models.speculator, trace: trace,
            allowed: configuration.keys?.allowed, logger: logger, now: { ContinuousClock.now },
            hop: { [loop] work in loop.submit(work) }, onStands: onReady)
    }

    private static func check(
        _ configuration: CoordinatorConfiguration, models: CoordinatorModels
    ) throws(CoordinatorError) {
        let layers = models.configuration.layerCount
        let counts: [(String, Int, ClosedRange<Int>)] =
            [
                ("pipelines", configuration.pipelines.count, 1...1024),
                ("micro-batch rows", configuration.microBatchRows, 1...Protocol.maxRows),
                ("KV rows", configuration.kvRows, 1...Int(Int32.max)),
                ("max requests", configuration.maxRequests, 1...1_000_000),
                ("max queued tokens", configuration.maxQueuedTokens, 1...Int(Int32.max)),
                ("threads", configuration.threads ?? 1, 1...1024),
                ("max replays", configuration.maxReplays, 0...1000),
                ("speculative decoding", configuration.draftTokens, 0...Protocol.maxDrafts),
            ] + configuration.pipelines.map { ("stages of pipeline \($0.name)", $0.stageCount, 1...layers) }
        for (what, value, range) in counts where !range.contains(value) {
            throw .badConfiguration("\(what) must be \(range.lowerBound) to \(range.upperBound), found \(value)")
        }
        if let name = configuration.pipelines.map(\.name).first(where: { name in
            configuration.pipelines.count { $0.name == name } > 1
        }) {
            throw .badConfiguration("two pipelines are called \(name)")
        }
        if configuration.draftTokens > 0, models.speculator == nil {
            throw .badConfiguration(
                "speculative decoding needs a speculator in the coordinator's own process: "
                    + (models.speculatorContext == nil
                        ? "name one (--speculator DIR)" : "its speculators are workers, which only score prompts"))
        }
        do {
            try configuration.speculation.validate()
        } catch {
            throw .badConfiguration("\(error)")
        }
        if let endpoint = configuration.openEndpoints.first, !configuration.isInsecure {
            throw .badConfiguration(
                "\(endpoint) is reachable from other hosts: give the cluster keys (--keys DIR, made by "
                    + "`winnow keys new`), or accept plain text, on a network you trust, with --insecure")
        }
    }

    // MARK: Serving

    public func readiness() -> Readiness { admission.readiness }

    public func metrics() -> ServiceMetrics { ledger.metrics }

    public func status() -> FleetStatus { board.status }

    public func submit(_ request: GenerationRequest) throws(RequestError) -> Generation {
        var request = request
        request.name = request.name?.shown(upTo: GenerationRequest.longestName)
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
            onCancel: { [loop, shell] in loop.submit { shell.cancel(id) } },
            onConclude: { [loop, shell] in loop.submit { shell.conclude(id) } })
        loop.submit { [shell, request] in shell.begin(id, request, sink: sink) }
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
        loop.submit { [self] in
            control.watch(on: loop) { [shell] in shell.readControl() }
            results.watch(on: loop) { [shell] in shell.readResults() }
            loop.every(CoordinatorShell.tickInterval) { [shell] in shell.tick() }
            PlainTextNotice.repeats(of: openEndpoints, on: loop, logger)
        }
        for await _ in stopping.stream {}
        loop.submit { [shell] in shell.stop() }
        await withCheckedContinuation { done in
            // Joining a thread blocks, which the cooperative pool must not.
            DispatchQueue.global().async { [loop, trace] in
                loop.stopAndWait()
                trace?.close()
                done.resume()
            }
        }
    }

    /// Ends every request at once with `unavailable`, takes no more, and tells the workers goodbye, while `run` goes on
    /// until `stop()`. From any thread, more than once.
    public func endRequests() {
        loop.submit { [shell] in shell.stop() }
    }

    /// Ends `run`: every request ends with `unavailable`, workers are told goodbye. From any thread, more than once.
    public func stop() { stopping.continuation.finish() }
}
