import Checkpoint
import Foundation
import Logging
import Testing
import Wire
import Worker

/// The other ends of a worker's edges, played by the test over real sockets: a coordinator that may say anything.
private actor Opposite {
    private let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private let context: ZeroMQContext
    private let control: Socket
    private let results: Socket
    private let resultsEndpoint: String
    nonisolated let endpoint: Endpoint
    nonisolated let said: AsyncStream<Envelope>
    private let saying: AsyncStream<Envelope>.Continuation
    private var worker: [UInt8] = []
    private var edge: OutgoingEdge?

    init() throws {
        context = try ZeroMQContext()
        loop = try SocketLoop(name: "opposite")
        control = try Socket(.router, context: context, limits: .init(maxFrameBytes: 1 << 20))
        results = try Socket(.router, context: context, limits: .init(maxFrameBytes: 1 << 24))
        endpoint = try Endpoint(try control.bind("tcp://127.0.0.1:*"))
        resultsEndpoint = try results.bind("tcp://127.0.0.1:*")
        (said, saying) = AsyncStream<Envelope>.makeStream()
        loop.start()
    }

    func start() {
        loop.watch(control) { [unowned self] in assumeIsolated { $0.read($0.control, isControl: true) } }
        loop.watch(results) { [unowned self] in assumeIsolated { $0.read($0.results, isControl: false) } }
    }

    private func read(_ socket: Socket, isControl: Bool) {
        while let frames = try? socket.receive() {
            guard let message = try? Message(frames: frames.dropFirst()) else { continue }
            if isControl, let first = frames.first { worker = first.withBytes { Array($0) } }
            if case .heartbeat = message.envelope.body {
                try? tell(.heartbeatReply(HeartbeatReply()))
                continue
            }
            if message.envelope.sequence == 0, !isControl { continue }  // the link's probe
            saying.yield(message.envelope)
        }
    }

    func tell(_ body: Envelope.OneOf_Body, epoch: UInt64 = 0) throws {
        try tell(frames: try Message(epoch: epoch, body).frames())
    }

    func tell(frames: [Frame]) throws {
        let name = try worker.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
        _ = try control.send([name] + frames)
    }

    func tell(bytes: [UInt8]) throws {
        try tell(frames: [try bytes.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }])
    }

    /// Makes the worker the only stage of a pipeline.
    func assign(epoch: UInt64, layers: Range<UInt32>, maxRows: UInt32 = 64) throws {
        var assignment = Assignment()
        assignment.stageCount = 1
        assignment.layerFirst = layers.lowerBound
        assignment.layerEnd = layers.upperBound
        assignment.nextEndpoint = resultsEndpoint
        assignment.maxRows = maxRows
        assignment.maxInFlight = 4
        assignment.kvRows = 100
        try tell(.assignment(assignment), epoch: epoch)
    }

    func connect(to data: Endpoint, epoch: UInt64) throws {
        edge = try OutgoingEdge(
            to: data.description, identity: "coordinator-\(epoch)", context: context,
            limits: .init(maxFrameBytes: 1 << 24))
    }

    /// Sends on the data edge, once its link stands. Returns whether it was taken yet.
    func send(_ body: Envelope.OneOf_Body, epoch: UInt64, tensors: [Frame] = []) throws -> Bool {
        try edge?.send(epoch: epoch, body, tensors: tensors) == .sent
    }

    /// Leaves a number out on the data edge.
    func sendOutOfOrder(epoch: UInt64) throws {
        _ = try edge?.socket.send(try Message(epoch: epoch, sequence: 77, .release(Release())).frames())
    }

    func stop() {
        loop.unwatch(control)
        loop.unwatch(results)
    }

    nonisolated func join() async {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { [loop] in
                loop.stopAndWait()
                done.resume()
            }
        }
    }
}

@Suite("A worker and hostile peers", .timeLimit(.minutes(1)))
struct HostileCoordinatorTests {
    private static let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models/stories260K").path

    private func make(_ opposite: Opposite) throws -> Worker {
        try Worker(
            configuration: WorkerConfiguration(
                modelDirectory: Self.model, coordinator: opposite.endpoint, listen: try Endpoint("tcp://127.0.0.1:*")),
            context: try ZeroMQContext(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func segment(_ request: UInt64, _ tokens: [UInt32], kvRows: UInt32? = 10) -> SegmentMessage {
        var segment = SegmentMessage()
        segment.request = request
        segment.tokens = tokens
        segment.positions = tokens.indices.map(UInt32.init)
        segment.sample = true
        if let kvRows {
            segment.opening.kvRows = kvRows
            segment.opening.sampling.topP = 1
        }
        return segment
    }

    private func batch(_ id: UInt64, _ segments: [SegmentMessage]) -> MicroBatchMessage {
        var batch = MicroBatchMessage()
        batch.id = id
        batch.segments = segments
        return batch
    }

    /// Every malformed micro-batch, and the word its fault must contain.
    private var malformed: [(MicroBatchMessage, String)] {
        var noPositions = segment(9, [1])
        noPositions.positions = []
        var farPosition = segment(9, [1])
        farPosition.positions = [4_000_000_000]
        var twoTokens = segment(9, [1])
        twoTokens.tokens = [1, 2]
        var badSampling = segment(9, [1])
        badSampling.opening.sampling.temperature = .nan
        var noSampling = segment(9, [1])
        noSampling.opening.clearSampling()
        // The row to be sampled has no target, and every other has one.
        var manyTargets = segment(9, [1, 2])
        manyTargets.targets = [2, 3]
        var strangeTarget = segment(9, [1, 2])
        strangeTarget.targets = [100_000]
        var manyAlternatives = segment(9, [1])
        manyAlternatives.opening.topTargets = 21
        return [
            (batch(13, [noSampling]), "sampling: missing"),
            (batch(14, [manyTargets]), "expected none or 1"),
            (batch(15, [strangeTarget]), "vocabulary"),
            (batch(16, [manyAlternatives]), "top_targets"),
            (batch(1, []), "no row"),
            (batch(2, [noPositions]), "positions"),
            (batch(3, [farPosition]), "context"),
            (batch(4, [twoTokens]), "tokens"),
            (batch(5, [badSampling]), "temperature"),
            (batch(6, [segment(9, [1], kvRows: 0)]), "kv_rows"),
            (batch(7, [segment(9, [1], kvRows: 1_000_000)]), "kv_rows"),
            (batch(8, [segment(9, [1], kvRows: nil)]), "not open"),
            (batch(9, [segment(9, [.max])]), "out of range"),
            (batch(10, [segment(10, [100_000])]), "vocabulary"),
            (batch(11, [segment(9, [1]), segment(9, [1])]), "twice"),
            (batch(12, [segment(9, .init(repeating: 1, count: 65), kvRows: 80)]), "64 rows"),
        ]
    }

    @Test func everyMalformedMicroBatchIsAFaultByNameAndNothingElse() async throws {
        let opposite = try Opposite()
        await opposite.start()
        let worker = try make(opposite)
        let running = Task { try await worker.run() }
        var said = opposite.said.makeAsyncIterator()

        func next(_ fits: (Envelope.OneOf_Body) -> Bool) async throws -> Envelope.OneOf_Body {
            while let envelope = await said.next() {
                if let body = envelope.body, fits(body) { return body }
            }
            throw CancellationError()
        }
        func send(_ message: MicroBatchMessage, tensors: [Frame] = []) async throws {
            while try await !opposite.send(.microBatch(message), epoch: 1, tensors: tensors) { await Task.yield() }
        }

        guard case .hello(let hello) = try await next({ if case .hello = $0 { true } else { false } }) else { return }
        #expect(hello.layerCount == 5 && hello.fingerprint.count == 32)
        // Noise on the control edge changes nothing.
        try await opposite.tell(bytes: [0xFF, 0x00, 0x13])
        try await opposite.tell(bytes: [])
        try await opposite.assign(epoch: 1, layers: 0..<5)
        _ = try await next { if case .ready = $0 { true } else { false } }
        try await opposite.connect(to: worker.dataEndpoint, epoch: 1)

        for (message, word) in malformed {
            try await send(message)
            guard case .fault(let fault) = try await next({ if case .fault = $0 { true } else { false } }) else {
                return
            }
            #expect(fault.scope == .microBatch && fault.microBatch == message.id)
            #expect(fault.reason.contains(word), "\(fault.reason) should name \(word)")
        }
        // A tensor where none belongs.
        let bytes = [UInt8](repeating: 0, count: 12)
        let frame = try bytes.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
        try await send(batch(20, [segment(20, [1])]), tensors: [frame])
        _ = try await next { if case .fault(let fault) = $0 { fault.reason.contains("tensors") } else { false } }

        // After all that an honest request gets its token.
        try await send(batch(30, [segment(30, [1, 2, 3])]))
        guard case .outcome(let outcome) = try await next({ if case .outcome = $0 { true } else { false } }) else {
            return
        }
        #expect(outcome.microBatch == 30 && outcome.samples.map(\.request) == [30])

        // A gap in the numbers is the end of the pipeline, not of the worker: it can be assigned anew.
        try await opposite.sendOutOfOrder(epoch: 1)
        _ = try await next { if case .fault(let fault) = $0 { fault.scope == .pipeline } else { false } }
        try await opposite.assign(epoch: 2, layers: 0..<9)
        _ = try await next { if case .fault(let fault) = $0 { fault.reason.contains("out of range") } else { false } }
        try await opposite.assign(epoch: 3, layers: 0..<5)
        _ = try await next { if case .ready = $0 { true } else { false } }

        worker.stop()
        try await running.value
        await opposite.stop()
        await opposite.join()
    }

    @Test func aRefusalEndsTheWorkerWithItsReason() async throws {
        let opposite = try Opposite()
        await opposite.start()
        let worker = try make(opposite)
        let running = Task { try await worker.run() }
        for await envelope in opposite.said {
            guard case .hello = envelope.body else { continue }
            var refusal = Refusal()
            refusal.code = .otherWeights
            refusal.reason = "not these"
            try await opposite.tell(.refusal(refusal))
            break
        }
        let error = await #expect(throws: WorkerError.self) { try await running.value }
        #expect(error?.description.contains("not these") == true)
        await opposite.stop()
        await opposite.join()
    }
}
