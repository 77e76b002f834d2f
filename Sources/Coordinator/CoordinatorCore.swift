import Logging
import OutsideText
import Speculation
import Transformer
import Wire

/// The coordinator's shell: the actor on the thread that owns its sockets. It carries events to the registry and the
/// scheduler, and does what they answer; it owns every request from its admission to its single end.
actor CoordinatorCore {
    struct Settings: Sendable {
        var stageCount: Int
        var microBatchRows: Int
        var vocabularySize: Int
        var eosTokens: Set<Int32>
        var requestTimeout: Duration
        /// What the last stage connects to.
        var resultsEndpoint: String
        /// Told the names of the stages each time the pipeline can serve.
        var onReady: @Sendable ([String]) -> Void
    }

    private let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let settings: Settings
    private let context: ZeroMQContext
    private let control: Socket
    private let results: Socket
    private let admission: Admission
    private let ledger: MetricsLedger
    private let speculator: SpeculatorRunner?
    private let logger: Logger
    private var registry: Registry
    private var pipeline: Pipeline?
    private var live: [UInt64: LiveRequest] = [:]
    private var isStopped = false
    private let clock = ContinuousClock()

    init(
        loop: SocketLoop, settings: Settings, context: ZeroMQContext, control: Socket,
        results: Socket, registry: Registry, admission: Admission, ledger: MetricsLedger,
        speculator: SpeculatorRunner?, logger: Logger
    ) {
        self.loop = loop
        self.settings = settings
        self.context = context
        self.control = control
        self.results = results
        self.registry = registry
        self.admission = admission
        self.ledger = ledger
        self.speculator = speculator
        self.logger = logger
    }

    // MARK: Life

    func start() {
        loop.watch(control) { [unowned self] in assumeIsolated { $0.readControl() } }
        loop.watch(results) { [unowned self] in assumeIsolated { $0.readResults() } }
        loop.every(.milliseconds(10)) { [unowned self] in assumeIsolated { $0.link() } }
        loop.every(.milliseconds(250)) { [unowned self] in assumeIsolated { $0.tick() } }
    }

    /// Ends every request and says goodbye to the workers.
    func stop() {
        guard !isStopped else { return }
        isStopped = true
        admission.setReadiness("the coordinator is stopping")
        for id in Array(live.keys) { fail(id, RequestError(.unavailable, "the coordinator is stopping")) }
        var goodbye = Goodbye()
        goodbye.reason = "stopped"
        for identity in registry.identities { tell(identity, .goodbye(goodbye)) }
        pipeline = nil
        loop.unwatch(control)
        loop.unwatch(results)
    }

    private func tick() {
        guard !isStopped else { return }
        let now = clock.now
        act(registry.tick(now: now))
        nameFirstStageIfLate(now: now)
        for (id, request) in live where request.deadline <= now {
            fail(id, RequestError(.deadlineExceeded, "the request did not end within its time"))
        }
    }

    // MARK: Requests

    func begin(_ id: UInt64, _ request: GenerationRequest, sink: Generation.Sink) {
        let now = clock.now
        let limit = min(request.deadline ?? settings.requestTimeout, settings.requestTimeout)
        live[id] = LiveRequest(request: request, sink: sink, start: now, deadline: now + limit)
        guard !isStopped, pipeline?.isLinked == true else {
            fail(id, RequestError(.unavailable, "no pipeline stands: \(notReadyReason)", retryAfter: .seconds(2)))
            return
        }
        let choice = PrefillChoice(
            request, speculatorContext: speculator?.contextLength)
        switch choice {
        case .dense(let fallback):
            schedule(id, selection: .all(promptCount: request.prompt.count), time: nil, fallback: fallback)
        case .speculate:
            guard let speculator, let cancellation = live[id]?.cancellation else { return }
            speculator.score(
                request, cancellation: cancellation,
                onStart: { [ledger] in ledger.record { $0.speculationBegan(id, now: .now) } },
                completion: { [ledger] outcome in
                    let isScored = (try? outcome.selection.get()) != nil
                    ledger.record {
                        $0.speculationEnded(id, busy: outcome.time, isScored: isScored, now: .now)
                    }
                    self.loop.submit { self.assumeIsolated { $0.scored(id, outcome) } }
                })
        }
    }

    private func scored(_ id: UInt64, _ outcome: SpeculatorRunner.Outcome) {
        guard let request = live[id]?.request else { return }
        switch outcome.selection {
        case .success(let selection):
            schedule(id, selection: selection, time: outcome.time, fallback: nil)
        case .failure(let error):
            logger.warning(
                "speculation failed; the prompt goes dense", metadata: ["request": "\(id)", "error": "\(error)"])
            schedule(
                id, selection: .all(promptCount: request.prompt.count), time: nil,
                fallback: "speculation failed: \(error)")
        }
    }

    private func schedule(_ id: UInt64, selection: Selection, time: Duration?, fallback: String?) {
        guard let entry = live[id] else { return }
        guard var pipeline, pipeline.isLinked else {
            fail(id, RequestError(.unavailable, "the pipeline went away", retryAfter: .seconds(2)))
            return
        }
        let request = entry.request
        let positions = selection.kept
        let work = Scheduler.Work(
            id: id, tokens: positions.map { request.prompt[Int($0)] }, positions: positions,
            promptCount: request.prompt.count, maxTokens: request.maxTokens, sampling: request.sampling,
            topTargets: request.promptLogProbabilities, ends: request.ignoreEOS ? [] : settings.eosTokens)
        guard !positions.isEmpty, work.kvRows <= pipeline.scheduler.limits.kvRows else {
            fail(
                id,
                RequestError(
                    .promptTooLong,
                    "\(positions.count) kept tokens and \(request.maxTokens) new ones need \(work.kvRows) KV rows, "
                        + "the workers hold \(pipeline.scheduler.limits.kvRows)", field: "prompt"))
            return
        }
        entry.sink.yield(
            .prompt(
                SpeculationReport(
                    promptTokens: selection.promptCount, keptTokens: selection.keptCount,
                    keepRate: selection.keepRate, speculation: time, keptSpans: selection.spans, fallback: fallback)))
        ledger.record { $0.pruned(promptTokens: selection.promptCount, keptTokens: selection.keptCount) }
        pipeline.scheduler.add(work)
        self.pipeline = pipeline
        pump()
    }

    func cancel(_ id: UInt64) { fail(id, RequestError(.cancelled, "cancelled by the client")) }

    /// Ends a request whose consumer has all it wanted.
    func conclude(_ id: UInt64) {
        guard let entry = live.removeValue(forKey: id) else { return }
        entry.cancellation.cancel()
        finish(id, entry, .stop)
        guard let effects = pipeline?.scheduler.cancel(id) else { return }
        apply(effects)
        pump()
    }

    private func finish(_ id: UInt64, _ entry: LiveRequest, _ reason: FinishReason) {
        // Before the client hears of it, so that what it reads next includes its request.
        ledger.record { $0.ended(id, .finished, now: clock.now) }
        entry.sink.yield(.finished(reason))
        entry.sink.finish()
        settle(entry)
    }

    /// Ends a request with an error, and frees what it holds.
    private func fail(_ id: UInt64, _ error: RequestError) {
        guard let entry = live.removeValue(forKey: id) else { return }
        entry.cancellation.cancel()
        ledger.record { $0.ended(id, error.outcome, now: clock.now) }
        entry.sink.fail(error)
        settle(entry)
        logger.debug("request ended", metadata: ["request": "\(id)", "error": "\(error)"])
        guard let effects = pipeline?.scheduler.cancel(id) else { return }
        apply(effects)
        pump()
    }

    private func settle(_ entry: LiveRequest) {
        if !entry.hasToken { admission.promptDone(tokens: entry.request.prompt.count, after: nil) }
        admission.requestDone()
    }

    // MARK: Down the pipeline

    private func pump() {
        while let pipeline, pipeline.isLinked, let microBatch = self.pipeline?.scheduler.next() {
            self.pipeline?.rowsUnderWay[microBatch.id] = microBatch.rows
            for part in microBatch.parts where part.opening != nil {
                ledger.record { $0.prefillBegan(part.request, now: clock.now) }
            }
            guard send(.microBatch(MicroBatchMessage(microBatch)), on: pipeline) else { return }
        }
    }

    @discardableResult
    private func send(_ body: Envelope.OneOf_Body, on pipeline: Pipeline) -> Bool {
        guard let problem = pipeline.send(body) else { return true }
        act(registry.edgeFault(reason: problem))
        return false
    }

    private func apply(_ effects: [Scheduler.Effect]) {
        let tokens = effects.count { if case .token = $0 { true } else { false } }
        if tokens > 0 { ledger.record { $0.generated(tokens: tokens) } }
        var freed: [UInt64] = []
        for effect in effects {
            switch effect {
            case .promptTokens(let id, let tokens): live[id]?.sink.yield(.promptTokens(tokens))
            case .endToken(let id, let token): live[id]?.sink.yield(.endToken(token))
            case .token(let id, let token):
                guard var entry = live[id] else { continue }
                if !entry.hasToken {
                    entry.hasToken = true
                    live[id] = entry
                    ledger.record { $0.firstToken(id, now: clock.now) }
                    admission.promptDone(
                        tokens: entry.request.prompt.count, after: entry.start.duration(to: clock.now) / .seconds(1))
                }
                entry.sink.yield(.token(token))
            case .finished(let id, let reason):
                guard let entry = live.removeValue(forKey: id) else { continue }
                finish(id, entry, reason)
            case .failed(let id, let reason): fail(id, RequestError(.internalError, reason))
            case .release(let id): freed.append(id)
            }
        }
        if !freed.isEmpty, let pipeline {
            var release = Release()
            release.requests = freed
            send(.release(release), on: pipeline)
        }
    }

    private func readResults() {
        while !isStopped {
            do {
                guard let frames = try results.receive() else { return }
                try accept(try Message(frames: frames.dropFirst()))
            } catch let error as MessageError {
                logger.warning("dropped a message on the results edge", metadata: ["error": "\(error)"])
            } catch {
                logger.error("cannot read the results socket", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func accept(_ message: Message) throws(MessageError) {
        guard message.envelope.sequence != 0, var pipeline else { return }
        switch pipeline.check.check(epoch: message.envelope.epoch, sequence: message.envelope.sequence) {
        case .stale: return
        case .gap(let expected, let found):
            act(
                registry.edgeFault(
                    reason: "the link from the last stage lost messages: expected \(expected), found \(found)"))
            return
        case .inOrder: self.pipeline = pipeline
        }
        switch message.envelope.body {
        case .outcome(let outcome):
            for sample in outcome.samples + outcome.targets where sample.logProbability.isNaN {
                fail(
                    sample.request,
                    RequestError(.internalError, "the model's logits are not finite: no token can be drawn from them"))
            }
            guard var pipeline = self.pipeline else { return }
            let samples = try tokens(outcome.samples)
            let targets = try tokens(outcome.targets)
            let effects = pipeline.scheduler.complete(outcome.microBatch, samples: samples, targets: targets)
            if let rows = pipeline.rowsUnderWay.removeValue(forKey: outcome.microBatch) {
                ledger.record {
                    $0.completed(
                        pipeline: pipeline.number, rows: rows, stageMicroseconds: outcome.stageMicroseconds)
                }
            }
            self.pipeline = pipeline
            apply(effects)
        case .release(let release):
            self.pipeline?.scheduler.released(release.requests)
        default: throw MessageError("envelope.body", "not a message of the last stage")
        }
        pump()
    }

    /// What was sampled or scored, but for rows without finite logits.
    private func tokens(
        _ samples: [SampleMessage]
    ) throws(MessageError) -> [(request: UInt64, token: SampledToken)] {
        var tokens: [(request: UInt64, token: SampledToken)] = []
        tokens.reserveCapacity(samples.count)
        for sample in samples where !sample.logProbability.isNaN {
            tokens.append((sample.request, try SampledToken(sample, vocabularySize: settings.vocabularySize)))
        }
        return tokens
    }

    // MARK: Workers

    private func readControl() {
        while !isStopped {
            do {
                guard let frames = try control.receive() else { return }
                guard let first = frames.first else { continue }
                let identity = first.withBytes { Array($0) }
                do {
                    hear(try Message(frames: frames.dropFirst()), from: identity)
                } catch {
                    logger.warning("dropped a control message", metadata: ["error": "\(error)"])
                    var refusal = Refusal()
                    refusal.code = .badMessage
                    refusal.reason = "\(error)"
                    tell(identity, .refusal(refusal))
                }
            } catch {
                logger.error("cannot read the control socket", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func hear(_ message: Message, from identity: Registry.Identity) {
        let now = clock.now
        let epoch = message.envelope.epoch
        switch message.envelope.body {
        case .hello(let hello):
            do throws(MessageError) {
                act(registry.hello(from: identity, try Registry.Introduction(hello), now: now))
            } catch {
                refuse(identity, .badMessage, "\(error)")
            }
        case .heartbeat(let heartbeat):
            if let stage = registry.stage(of: identity), let pipeline {
                let rows = Int(clamping: heartbeat.kvRowsUsed)
                ledger.record { $0.kvRowsUsed(pipeline: pipeline.number, stage: stage, rows: rows) }
            }
            act(
                registry.heartbeat(
                    from: identity, progress: heartbeat.progress, isBusy: heartbeat.busy, now: now))
        case .ready: act(registry.ready(from: identity, epoch: epoch, now: now))
        case .fault(let fault): take(fault, epoch: epoch, from: identity)
        case .goodbye(let goodbye):
            act(registry.goodbye(from: identity, reason: goodbye.reason.shown(upTo: 200)))
        default: refuse(identity, .badMessage, "envelope.body: not a message of a worker")
        }
    }

    private func take(_ fault: Fault, epoch: UInt64, from identity: Registry.Identity) {
        let reason = fault.reason.shown(upTo: 1000)
        guard fault.scope == .microBatch else {
            act(registry.pipelineFault(from: identity, epoch: epoch, reason: reason))
            return
        }
        guard var pipeline, pipeline.epoch == epoch, registry.knows(identity) else { return }
        let (lost, effects) = pipeline.scheduler.lose(fault.microBatch)
        pipeline.rowsUnderWay[fault.microBatch] = nil
        self.pipeline = pipeline
        for id in lost { fail(id, RequestError(.internalError, "a stage could not compute: \(reason)")) }
        apply(effects)
        pump()
    }

    private func act(_ actions: [Registry.Action]) {
        for action in actions {
            switch action {
            case .reply(let identity): tell(identity, .heartbeatReply(HeartbeatReply()))
            case .refuse(let identity, let reason):
                switch reason {
                case .otherWeights(let text): refuse(identity, .otherWeights, text)
                case .badLayers(let text): refuse(identity, .badLayers, text)
                case .unknownWorker: refuse(identity, .unknownWorker, "say hello first")
                }
            case .assign(let identity, let epoch, let stage, let layers, let next, let kvRows):
                logger.info(
                    "assigning",
                    metadata: ["epoch": "\(epoch)", "stage": "\(stage)", "layers": "\(layers.layersText)"])
                let assignment = Assignment(
                    stage: stage, of: settings.stageCount, layers: layers, next: next ?? settings.resultsEndpoint,
                    maxRows: settings.microBatchRows, maxInFlight: maxInFlight, kvRows: kvRows)
                tell(identity, .assignment(assignment), epoch: epoch)
            case .up(let epoch, let first, let kvRows): rise(epoch: epoch, first: first, kvRows: kvRows)
            case .down(let reason, let isOrderly): fall(reason, isOrderly: isOrderly)
            case .unlinked(let reason): logger.warning("a stage can't be reached", metadata: ["reason": "\(reason)"])
            }
        }
        if pipeline?.isLinked != true { admission.setReadiness(notReadyReason) }
    }

    /// What is missing while the pipeline does not serve.
    private var notReadyReason: String {
        registry.notReadyReason ?? (pipeline?.isLate == true ? registry.firstStageUnlinked : nil)
            ?? "the pipeline is being linked"
    }

    private func refuse(_ identity: Registry.Identity, _ code: Refusal.Code, _ reason: String) {
        if code != .unknownWorker { logger.warning("refused a worker", metadata: ["reason": "\(reason)"]) }
        var refusal = Refusal()
        refusal.code = code
        refusal.reason = reason
        tell(identity, .refusal(refusal))
    }

    /// One micro-batch for each stage, and one on the way.
    private var maxInFlight: Int { settings.stageCount + 1 }

    private func tell(_ identity: Registry.Identity, _ body: Envelope.OneOf_Body, epoch: UInt64 = 0) {
        do {
            let name = try identity.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
            // A worker that is gone, or too slow to read its control edge, is found by its silence.
            _ = try control.send([name] + (try Message(epoch: epoch, body).frames()))
        } catch {
            logger.error("cannot send to a worker", metadata: ["error": "\(error)"])
        }
    }

    private func rise(epoch: UInt64, first: String, kvRows: Int) {
        do {
            pipeline = try Pipeline(
                epoch: epoch, first: first, context: context,
                limits: Scheduler.Limits(
                    maxRows: settings.microBatchRows, maxInFlight: maxInFlight, stageCount: settings.stageCount,
                    kvRows: kvRows))
        } catch {
            act(registry.edgeFault(reason: "\(error)"))
        }
    }

    /// The pipeline serves once the edge to stage 0 stands.
    private func link() {
        guard let pipeline, !pipeline.isLinked, pipeline.probe() else { return }
        self.pipeline?.isLinked = true
        ledger.record {
            $0.stood(pipeline: pipeline.number, stages: registry.stages, kvRows: pipeline.scheduler.limits.kvRows)
        }
        admission.setReadiness(nil)
        logger.info("the pipeline stands", metadata: ["epoch": "\(pipeline.epoch)"])
        settings.onReady(registry.stageNames)
    }

    /// A worker may advertise an address that this host can't reach: nothing fails then, the link just never comes up.
    private func nameFirstStageIfLate(now: ContinuousClock.Instant) {
        guard let pipeline, !pipeline.isLinked, !pipeline.isLate,
            pipeline.since.duration(to: now) >= Registry.linkLimit, let reason = registry.firstStageUnlinked
        else { return }
        self.pipeline?.isLate = true
        logger.warning("a stage can't be reached", metadata: ["reason": "\(reason)"])
        admission.setReadiness(reason)
    }

    /// The pipeline is gone, and with it the KV of every request in it.
    private func fall(_ reason: String, isOrderly: Bool) {
        logger.log(level: isOrderly ? .notice : .error, "the pipeline is down", metadata: ["reason": "\(reason)"])
        if let pipeline { ledger.record { $0.fell(pipeline: pipeline.number) } }
        pipeline = nil
        for id in Array(live.keys) {
            fail(id, RequestError(.workerLost, "the pipeline was lost: \(reason)", retryAfter: .seconds(2)))
        }
    }
}
