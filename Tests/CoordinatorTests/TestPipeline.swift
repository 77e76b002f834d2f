import Compute
import Coordinator
import Foundation
import Layers
import Logging
import Speculation
import Synchronization
import Transformer
import WinnowWorker
import Wire

/// A coordinator and workers in this process, over real sockets or without any.
final class TestPipeline: Sendable {
    /// A worker and its run.
    private struct Running {
        let worker: Worker
        let task: Task<Void, any Error>
    }

    let coordinator: Coordinator
    private let model: String
    private let transport: any Transport & Sendable
    private let isPath: Bool
    private let serving: Task<Void, Never>
    private let running = Mutex<[String: Running]>([:])
    private let ups: AsyncStream<[String]>

    static let models = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models")

    static let story: String =
        (try? String(
            contentsOf: models.deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Tests/TransformerTests/Fixtures/stories260K-greedy.txt"), encoding: .utf8)) ?? ""

    static func path(_ model: String) -> String { models.appending(path: model).path }

    /// - Parameter transport: `tcp`, `ipc`, or `memory`: no sockets at all.
    init(
        model: String, speculator: String? = nil, stages: Int, layers: [LayerSpan?] = [], rows: Int = 512,
        kvRows: Int = 20_000, maxRequests: Int = 256, spares: Int = 0, speculators: Int = 0, transport: String = "tcp",
        precision: Precision = .automatic, wireType: WireType = .f32, drafts: Int = 0
    ) throws {
        self.model = model
        self.transport = transport == "memory" ? InProcessTransport() : ZeroMQTransport(context: try ZeroMQContext())
        isPath = transport == "ipc"
        let (ups, continuation) = AsyncStream<[String]>.makeStream()
        self.ups = ups
        var configuration = CoordinatorConfiguration(
            modelDirectory: Self.path(model), speculatorDirectory: speculator.map(Self.path),
            listen: try Self.endpoint(isPath: isPath), stageCount: stages, speculatorsAreWorkers: speculators > 0,
            precision: precision, microBatchRows: rows, kvRows: kvRows, maxRequests: maxRequests, wireType: wireType)
        configuration.draftTokens = drafts
        configuration.draftsAlways = true
        let coordinator = try Coordinator(
            configuration: configuration,
            transport: self.transport, logger: Self.logger
        ) { continuation.yield($0) }
        self.coordinator = coordinator
        serving = Task { await coordinator.run() }
        for index in 0..<stages + spares {
            try start(
                "w\(index)", layers: layers.indices.contains(index) ? layers[index] : nil, precision: precision)
        }
        for index in 0..<speculators {
            try start("s\(index)", role: .speculator, model: speculator, precision: precision)
        }
    }

    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func endpoint(isPath: Bool) throws -> Endpoint {
        isPath
            ? try Endpoint("ipc://\(folder)/\(UUID().uuidString)")
            : try Endpoint("tcp://127.0.0.1:*")
    }

    /// For the life of the process. A path's folder must be closed to others.
    private static let folder: String = {
        let path = "\(FileManager.default.temporaryDirectory.path)/winnow-tests-\(getpid())"
        mkdir(path, 0o700)
        atexit { rmdir("\(FileManager.default.temporaryDirectory.path)/winnow-tests-\(getpid())") }
        return path
    }()

    /// A worker comes; under a name that another had, in its place.
    func start(
        _ name: String, role: WorkerRole = .stage, model: String? = nil, layers: LayerSpan? = nil,
        precision: Precision = .automatic
    ) throws {
        let worker = try Worker(
            plan: WorkerPlan(
                modelDirectory: Self.path(model ?? self.model), coordinator: coordinator.endpoint,
                listen: try Self.endpoint(isPath: isPath), role: role, layers: layers, precision: precision, name: name),
            transport: transport, logger: Self.logger)
        let task = Task { try await worker.run() }
        running.withLock { $0[name] = Running(worker: worker, task: task) }
    }

    /// A worker leaves in order.
    func stop(_ name: String) { running.withLock { $0[name]?.worker.drain() } }

    /// The names of the stages, once they stand.
    func up() async throws -> [String] {
        for await names in ups { return names }
        throw CancellationError()
    }

    func stop() async {
        let all = running.withLock { Array($0.values) }
        for one in all { one.worker.drain() }
        coordinator.stop()
        await serving.value
        for one in all { _ = await one.task.result }
    }

    /// Runs a request to its end.
    func answer(
        _ request: GenerationRequest
    ) async throws -> (report: SpeculationReport?, tokens: [Int32], scored: [SampledToken], replays: Int) {
        var report: SpeculationReport?
        var scored: [SampledToken] = []
        var tokens: [Int32] = []
        var replays = 0
        for try await event in try coordinator.submit(request) {
            switch event {
            case .prompt(let made): report = made
            case .promptTokens(let tokens): scored += tokens
            case .token(let token): tokens.append(token.token)
            case .replayed(let count): replays = count
            case .endToken, .finished: break
            }
        }
        return (report, tokens, scored, replays)
    }
}

func withPipeline<R>(
    _ pipeline: TestPipeline, _ body: (TestPipeline) async throws -> R
) async throws -> R {
    do {
        _ = try await pipeline.up()
        let result = try await body(pipeline)
        await pipeline.stop()
        return result
    } catch {
        await pipeline.stop()
        throw error
    }
}
