// A coordinator and its workers as real processes.

import Foundation
import Synchronization

/// The processes of one cluster on free ports. They are killed at the end of `withCluster`.
final class Cluster: Sendable {
    /// What to start.
    struct Shape: Sendable {
        var model = Package.needle
        var speculator: String?
        var stages = 1
        /// Number formats of all processes.
        var dtype = "auto"
        var options: [String] = []

        /// In Float32, whose text is the reference's on every CPU, unless asked otherwise.
        static func stories(stages: Int, dtype: String = "f32") -> Shape {
            Shape(model: Package.stories, stages: stages, dtype: dtype)
        }
        static func needle(stages: Int) -> Shape { Shape(speculator: Package.needleSpeculator, stages: stages) }
    }

    let shape: Shape
    /// Where workers say hello.
    let endpoint: String
    private let processes = Mutex<[RunningProgram]>([])
    private let current: Mutex<RunningProgram>

    /// Starts a coordinator and waits until it listens.
    init(_ shape: Shape) async throws {
        self.shape = shape
        let coordinator = try Self.coordinator(shape, listen: "tcp://127.0.0.1:*")
        current = Mutex(coordinator)
        processes.withLock { $0.append(coordinator) }
        do {
            endpoint = try await Self.endpoint(of: coordinator)
        } catch {
            coordinator.kill(SIGKILL)
            throw error
        }
    }

    private static func coordinator(_ shape: Shape, listen: String) throws -> RunningProgram {
        var arguments = ["coordinator", "--exit-with-stdin", "--model", shape.model, "--stages", "\(shape.stages)"]
        if let speculator = shape.speculator { arguments += ["--speculator", speculator] }
        // Beside a port that was any free one the next is not free for sure.
        if !shape.options.contains("--results") { arguments += ["--results", "tcp://127.0.0.1:*"] }
        arguments += ["--http", "127.0.0.1:0", "--listen", listen]
        arguments += ["--dtype", shape.dtype, "--log-level", "debug"]
        return try RunningProgram(arguments + shape.options)
    }

    private static func endpoint(of coordinator: RunningProgram) async throws -> String {
        try await within(.seconds(30), "`listening` of the coordinator") {
            do {
                let line = try await coordinator.output.next("`listening`") { $0.hasPrefix("listening ") }
                return String(line.dropFirst("listening ".count))
            } catch let error as LineLog.Ended {
                throw LineLog.Ended(what: error.what, lines: try await coordinator.log.all())
            }
        }
    }

    /// The running one, or the last.
    var coordinator: RunningProgram { current.withLock { $0 } }

    /// Starts a worker; it says hello by itself.
    @discardableResult
    func addWorker(model: String? = nil, name: String? = nil, _ options: [String] = []) throws -> RunningProgram {
        let number = processes.withLock { $0.count }
        let name = name ?? "worker-\(number)"
        let worker = try RunningProgram(
            [
                "worker", "--exit-with-stdin", "--model", model ?? shape.model, "--coordinator", endpoint, "--name",
                name, "--dtype", shape.dtype, "--log-level", "debug",
            ] + options, name: name)
        processes.withLock { $0.append(worker) }
        return worker
    }

    /// Starts another coordinator at the same endpoint, after the first has ended.
    func restartCoordinator() async throws {
        _ = try await within(.seconds(30), "the coordinator's end") { try await self.coordinator.end() }
        let next = try Self.coordinator(shape, listen: endpoint)
        processes.withLock { $0.append(next) }
        current.withLock { $0 = next }
        _ = try await Self.endpoint(of: next)
    }

    /// Waits for the next `ready` line.
    func ready() async throws -> Client {
        let coordinator = coordinator
        return try await within(.seconds(30), "`ready` of the coordinator") {
            let line = try await coordinator.output.next("`ready`") { $0.hasPrefix("ready http") }
            let model = URL(fileURLWithPath: self.shape.model).lastPathComponent
            return Client(base: String(line.dropFirst("ready ".count)), model: model)
        }
    }

    fileprivate func kill() async {
        let all = processes.withLock { $0 }
        for process in all { process.kill(SIGKILL) }
        for process in all { _ = try? await process.end() }
    }

    /// The last lines of every process, for a failed test.
    fileprivate var logs: String {
        processes.withLock { $0 }.map { process in
            "--- \(process.name) (pid \(process.pid))\n"
                + (process.output.soFar + process.log.soFar).suffix(30).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}

/// What a test threw, with what the processes logged.
struct ClusterFailure: Error, CustomStringConvertible {
    var error: any Error
    var logs: String
    var description: String { "\(error)\n\(logs)" }
}

/// Runs `body` with a coordinator that listens; nothing is left running.
func withCluster<Value: Sendable>(
    _ shape: Cluster.Shape, _ body: @Sendable (Cluster) async throws -> Value
) async throws -> Value {
    let cluster = try await Cluster(shape)
    do {
        let value = try await body(cluster)
        await cluster.kill()
        return value
    } catch {
        let failure = ClusterFailure(error: error, logs: cluster.logs)
        await cluster.kill()
        throw failure
    }
}

/// Runs `body` with a cluster whose pipeline stands, its workers and a client; nothing is left running.
func withCluster<Value: Sendable>(
    _ shape: Cluster.Shape, _ body: @Sendable (Cluster, [RunningProgram], Client) async throws -> Value
) async throws -> Value {
    try await withCluster(shape) { cluster in
        let workers = try (0..<shape.stages).map { _ in try cluster.addWorker() }
        return try await body(cluster, workers, try await cluster.ready())
    }
}
