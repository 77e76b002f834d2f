// A worker in a Swift service group, with an HTTP server beside it: `host stage|speculator MODEL COORDINATOR`.
//
// Prints one line an event; `GET /` on a free port of the loopback says how the worker stands. SIGTERM or SIGINT drains. Exit
// status 0: the worker ended in order.

import Foundation
import Hummingbird
import Logging
import ServiceLifecycle
import WinnowWorker

@main
struct Host {
    static func main() async throws {
        let words = CommandLine.arguments
        guard words.count == 4, let role = WorkerConfiguration.Role(rawValue: words[1]) else {
            FileHandle.standardError.write(Data("usage: host stage|speculator MODEL COORDINATOR\n".utf8))
            exit(64)
        }
        var logger = Logger(label: "host")
        logger.logLevel = .warning
        var configuration = WorkerConfiguration(model: words[2], coordinator: words[3])
        configuration.role = role
        configuration.name = "swift"
        let worker = try Worker(configuration: configuration, logger: logger)

        let router = Router()
        router.get("/") { _, _ in
            let now = worker.snapshot
            return "\(now.phase.rawValue): \(now.requests) requests, \(now.rows) rows\n"
        }
        let server = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in say("http \(channel.localAddress?.port ?? 0)") }, logger: logger)

        let events = worker.events
        let printing = Task {
            for await event in events { say("0 \(name(event))") }
        }
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    // Ends the group with it.
                    .init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup),
                    .init(service: server),
                ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
        await printing.value
    }

    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }

    private static func name(_ event: WorkerEvent) -> String {
        switch event {
        case .registered: "registered"
        case .coordinatorLost: "coordinator_lost"
        case .assigned(let place): "assigned stage \(place.stage) of \(place.stageCount) layers \(place.layers)"
        case .unassigned: "unassigned"
        case .loading(_, let fraction): "loading \(Int(fraction * 100)) %"
        case .ready: "ready"
        case .fault(let reason): "fault \(reason)"
        case .draining: "draining"
        case .ended(let error): "ended \(error.map { "\($0)" } ?? "")"
        }
    }
}
