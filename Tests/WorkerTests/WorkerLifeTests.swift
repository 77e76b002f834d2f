// A worker's life as its host sees it: settings, events, snapshot, and every way to end.

import Compute
import Foundation
import Layers
import Logging
import ServiceLifecycle
import Testing
import WinnowWorker
import Wire

@Suite("A worker in a host program", .timeLimit(.minutes(1)))
struct WorkerLifeTests {
    private static let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models/stories260K").path
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func make(_ coordinator: String, _ change: (inout WorkerConfiguration) -> Void = { _ in }) throws -> Worker
    {
        var configuration = WorkerConfiguration(model: Self.model, coordinator: coordinator)
        change(&configuration)
        return try Worker(configuration: configuration, logger: Self.logger)
    }

    /// Waits for an event; those before it are passed over.
    private func next(
        _ events: inout AsyncStream<WorkerEvent>.Iterator, where fits: (WorkerEvent) -> Bool
    ) async throws -> WorkerEvent {
        while let event = await events.next() { if fits(event) { return event } }
        throw CancellationError()
    }

    @Test func everyFieldOutOfItsRangeIsNamed() throws {
        let faults: [(String, (inout WorkerConfiguration) -> Void)] = [
            ("model", { $0.model = "" }), ("coordinator", { $0.coordinator = "nowhere" }),
            ("coordinator", { $0.coordinator = "tcp://10.1.2.3:9" }), ("listen", { $0.listen = "tcp://0.0.0.0:*" }),
            ("listen", { $0.listen = "smtp://x" }), ("threads", { $0.threads = 0 }),
            ("threads", { $0.threads = 1025 }), ("cpus", { $0.cpus = [] }), ("cpus", { $0.cpus = [1024] }),
            ("kvTokens", { $0.kvTokens = 0 }), ("name", { $0.name = "" }), ("layers", { $0.layers = 4..<6 }),
            ("layers", { $0.layers = 2..<2 }), ("layers", { $0.layerSpan = "2-7a" }),
            ("layerSpan", { $0.layerSpan = "" }), ("layerSpan", { $0.layerSpan = "4-1" }),
            ("layerSpan", { ($0.layers, $0.layerSpan) = (0..<2, "0-1") }),
        ]
        for (field, change) in faults {
            let error = #expect(throws: WorkerError.self) { try make("tcp://127.0.0.1:9", change) }
            guard case .badConfiguration(field, _) = error else {
                Issue.record("\(field): \(error.map { "\($0)" } ?? "no error")")
                continue
            }
        }
        #expect(throws: WorkerError.self) { try make("tcp://127.0.0.1:9") { $0.keyFile = "/nonexistent" } }
    }

    @Test(arguments: [Int.max, 1 << 44]) func aCacheThatNoHostHasIsAnErrorWithItsSize(tokens: Int) {
        let error = #expect(throws: WorkerError.self) { try make("tcp://127.0.0.1:9") { $0.kvTokens = tokens } }
        guard case .memory(let purpose, let bytes) = error else {
            Issue.record("\(error.map { "\($0)" } ?? "no error")")
            return
        }
        #expect(purpose.contains("KV cache of \(tokens) tokens") && bytes > 1 << 44)
    }

    @Test func eventsAndSnapshotTellTheWholeLife() async throws {
        let opposite = try Opposite()
        let worker = try make(opposite.endpoint.description) { $0.kvTokens = 640 }
        var events = worker.events.makeAsyncIterator()
        #expect(worker.snapshot.phase == .waiting && worker.snapshot.kvTokens == 640)
        let running = Task { try await worker.run() }
        #expect(await events.next() == .registered)
        await opposite.assign(1, layers: LayerSpan(1..<4))
        let assigned = try await next(&events) { if case .assigned = $0 { true } else { false } }
        #expect(assigned == .assigned(WorkerAssignment(stage: 0, stageCount: 1, layers: 1..<4)))
        let loading = try await next(&events) { if case .loading = $0 { true } else { false } }
        // Told before it begins, however soon it is over.
        #expect(loading == .loading(layers: 1..<4, fraction: 0))
        _ = try await next(&events) { $0 == .ready }
        let snapshot = worker.snapshot
        #expect(snapshot.phase == .ready && snapshot.loadedLayers == 1..<4 && snapshot.loadedFraction == 1)
        // A place beyond the model's end is a fault of this assignment, not the worker's end.
        await opposite.assign(2, layers: LayerSpan(0..<9))
        let fault = try await next(&events) { if case .fault = $0 { true } else { false } }
        guard case .fault(let reason) = fault, reason.contains("lie outside") else {
            Issue.record("\(fault)")
            return
        }
        #expect(worker.snapshot.phase == .faulty)
        // A place that ends within a layer.
        await opposite.assign(3, layers: LayerSpan(sublayers: 2..<5))
        let half = try await next(&events) { if case .assigned = $0 { true } else { false } }
        #expect(half == .assigned(WorkerAssignment(stage: 0, stageCount: 1, layers: 1..<3, layerSpan: "1-2a")))
        #expect(await events.next() == .loading(layers: 1..<3, fraction: 0))
        worker.drain()
        _ = try await next(&events) { $0 == .draining }
        #expect(worker.snapshot.phase == .draining)
        worker.drain()
        _ = try await next(&events) { $0 == .ended(nil) }
        #expect(await events.next() == nil)
        try await running.value
        #expect(worker.snapshot.phase == .ended && worker.snapshot.loadedLayers == nil)
        // Who comes late hears of the end.
        var late = worker.events.makeAsyncIterator()
        #expect(await late.next() == .ended(nil))
        await opposite.stop()
    }

    @Test(arguments: ["1-3", "0-2a", "2f-4", "1f", "0-2f34"]) func layersAreAskedForToTheHalf(span: String) async throws
    {
        let opposite = try Opposite()
        let worker = try make(opposite.endpoint.description) { $0.layerSpan = span }
        let running = Task { try await worker.run() }
        var profile: Profile?
        for await report in opposite.reports {
            profile = report.profile
            if profile != nil { break }
        }
        #expect(profile?.layers?.description == span)
        worker.stop()
        try await running.value
        await opposite.stop()
    }

    /// What is told to a worker that never runs holds nothing of it.
    @Test func aWorkerThatNeverRunsLeavesNothing() throws {
        weak var gone: Worker?
        do {
            let worker = try make("tcp://127.0.0.1:9")
            worker.drain()
            worker.stop()
            gone = worker
        }
        #expect(gone == nil)
        let endpoint = try make("tcp://127.0.0.1:9").endpoint
        // Its socket went with it: the port is free.
        let again = try make("tcp://127.0.0.1:9") { $0.listen = endpoint }
        again.stop()
    }

    @Test func aRefusalIsTheLastEvent() async throws {
        let opposite = try Opposite()
        let worker = try make(opposite.endpoint.description)
        var events = worker.events.makeAsyncIterator()
        let running = Task { try await worker.run() }
        for await _ in opposite.reports {
            await opposite.refuse("not these")
            break
        }
        let ended = try await next(&events) { if case .ended = $0 { true } else { false } }
        #expect(ended == .ended(.refused("not these")))
        await #expect(throws: WorkerError.refused("not these")) { try await running.value }
        await opposite.stop()
    }

    @Test func cancellationEndsItAtOnce() async throws {
        let worker = try make("tcp://127.0.0.1:9")
        let running = Task { try await worker.run() }
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        #expect(worker.snapshot.phase == .ended)
    }

    @Test func aServiceGroupShutsItDown() async throws {
        let opposite = try Opposite()
        let worker = try make(opposite.endpoint.description)
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: Self.logger))
        var events = worker.events.makeAsyncIterator()
        let running = Task { try await group.run() }
        _ = try await next(&events) { $0 == .registered }
        await group.triggerGracefulShutdown()
        // It asks to be relieved, and ends when it is.
        _ = try await next(&events) { $0 == .draining }
        worker.stop()
        try await running.value
        await opposite.stop()
    }

    @Test func itRunsOnce() async throws {
        let worker = try make("tcp://127.0.0.1:9")
        worker.stop()
        try await worker.run()
        await #expect(throws: WorkerError.ranBefore) { try await worker.run() }
    }

    @Test func twoLiveSideBySide() async throws {
        let opposite = try Opposite()
        let workers = [
            try make(opposite.endpoint.description), try make(opposite.endpoint.description) { $0.name = "other" },
        ]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in workers {
                var events = worker.events.makeAsyncIterator()
                group.addTask { try await worker.run() }
                #expect(await events.next() == .registered)
                worker.stop()
            }
            try await group.waitForAll()
        }
        await opposite.stop()
    }
}

@Suite("Rates of a worker")
struct RateWindowTests {
    @Test func changesAreToldOnce() {
        var old = WorkerStatus()
        var new = old
        #expect(WorkerEvent.changes(from: old, to: new).isEmpty)
        new.isRegistered = true
        new.epoch = "1"
        new.assignment = WorkerAssignment(stage: 1, stageCount: 2, layers: 3..<5)
        new.loadingLayers = 3..<5
        #expect(
            WorkerEvent.changes(from: old, to: new) == [
                .registered, .assigned(WorkerAssignment(stage: 1, stageCount: 2, layers: 3..<5)),
                .loading(layers: 3..<5, fraction: 0),
            ])
        old = new
        new.loadingStep = 10
        #expect(WorkerEvent.changes(from: old, to: new) == [.loading(layers: 3..<5, fraction: 0.5)])
        old = new
        (new.loadingLayers, new.isLoaded, new.isReady) = (nil, true, true)
        #expect(new.phase == .ready && WorkerEvent.changes(from: old, to: new) == [.ready])
        old = new
        // The same place in another epoch is another assignment.
        new.epoch = "2"
        #expect(WorkerEvent.changes(from: old, to: new).last == .ready)
        old = new
        (new.isRegistered, new.epoch, new.assignment, new.isReady, new.isLoaded) = (false, nil, nil, false, false)
        #expect(WorkerEvent.changes(from: old, to: new) == [.unassigned, .coordinatorLost])
        #expect(new.phase == .waiting)
    }

    @Test func ratesAreThoseOfTheLastTenSeconds() {
        var window = RateWindow()
        let start = ContinuousClock.now
        #expect(window.add(rows: 0, busy: .zero, at: start) == (0, 0))
        var rates = (rows: 0.0, busy: 0.0)
        for second in 1...30 {
            // A hundred rows a second for twenty seconds, half the time, then nothing.
            let active = min(second, 20)
            rates = window.add(
                rows: UInt64(100 * active), busy: .milliseconds(500 * active), at: start + .seconds(second))
            if second <= 20 { #expect(abs(rates.rows - 100) < 1e-6 && abs(rates.busy - 0.5) < 1e-6) }
        }
        #expect(abs(rates.rows) < 11 && rates.busy < 0.06)
    }
}
