// `winnow loadgen --native`: the coordinator that lives in the load generator.

import ArgumentParser
import Coordinator
import LoadGenerator
import Speculation
import Synchronization
import Wire

/// What a coordinator in process needs.
struct LoadgenNativeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Instead of --target: run the coordinator of this model in this process, without HTTP; workers say hello to --listen.",
            valueName: "model"))
    var native: String?

    @Option(help: ArgumentHelp("With --native: the speculator.", valueName: "path"))
    var speculator: String?

    @Option(help: ArgumentHelp("With --native: stages of the pipeline, one worker each. (default: 1)", valueName: "n"))
    var stages: Int?

    @Option(
        help: ArgumentHelp(
            "With --native: where workers say hello; port * takes any. (default: \(NativeCoordinator.endpoint))",
            valueName: "endpoint"))
    var listen: String?

    @Option(help: ArgumentHelp("With --native: compute threads of the speculator. (default: 1)", valueName: "n"))
    var threads: Int?

    @Option(
        help: ArgumentHelp(
            "With --native: number formats of the speculator: auto, f32, bf16 or int8. (default: auto)",
            valueName: "type"))
    var dtype: PrecisionChoice?

    /// Whether something is set that means nothing without a model.
    var isHalf: Bool {
        native == nil
            && (speculator != nil || stages != nil || listen != nil || threads != nil || dtype != nil)
    }
}

/// A coordinator for the time of a closure.
enum NativeCoordinator {
    /// Where workers say hello unless told otherwise.
    static let endpoint = "tcp://127.0.0.1:5700"
    /// How long workers may take to come and load.
    private static let patience = Duration.seconds(120)

    /// Starts a coordinator, says `listening ENDPOINT` on standard error, waits for its workers, and ends it.
    static func run(
        _ options: LoadgenNativeOptions, model: String, _ body: (Coordinator) async throws -> Void
    ) async throws {
        let (stages, listen) = (options.stages ?? 1, options.listen ?? endpoint)
        let (ready, pipelineStands) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let coordinator: Coordinator
        do {
            coordinator = try Coordinator(
                configuration: CoordinatorConfiguration(
                    modelDirectory: model, speculatorDirectory: options.speculator,
                    listen: try Endpoint(listen), stageCount: stages, threads: options.threads ?? 1,
                    precision: (options.dtype ?? .auto).precision),
                context: try ZeroMQContext(), logger: Console.logger("coordinator", level: "warning")
            ) { _ in pipelineStands.yield() }
        } catch let error as CoordinatorError {
            throw LoadGeneratorError(.usage, "--native \(model)", "\(error)")
        } catch {
            throw LoadGeneratorError(.usage, "--listen \(listen)", "\(error)")
        }
        Console.note("listening \(coordinator.endpoint)")
        let service = Task { await coordinator.run() }
        do {
            let isReady = await withTaskGroup(of: Bool.self) { race in
                race.addTask {
                    for await _ in ready { return true }
                    return false
                }
                race.addTask {
                    try? await Task.sleep(for: patience)
                    return false
                }
                let first = await race.next() ?? false
                race.cancelAll()
                return first
            }
            guard isReady else {
                throw LoadGeneratorError(
                    .unreachable, coordinator.endpoint.description,
                    "no \(stages) workers came within \(patience): start `winnow worker --coordinator \(coordinator.endpoint)`"
                )
            }
            try await body(coordinator)
        } catch {
            coordinator.stop()
            await service.value
            throw error
        }
        coordinator.stop()
        await service.value
    }
}
