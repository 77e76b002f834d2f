// Supervision of real processes: started in order, ended without a remainder, failures reported.

import Foundation
import Launcher
import Testing

@Suite("Launch of real processes", .timeLimit(.minutes(1)))
struct LaunchTests {
    private let standIn: StandIn
    private let recorder = Recorder()

    init() throws { standIn = try StandIn() }

    private func launch(
        coordinator: String = "normal", worker: String = "normal", executable: String? = nil,
        patience: Launch.Patience = Launch.Patience()
    ) throws -> Launch {
        let yaml = standIn.topology(coordinator: coordinator, worker: worker)
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        let plan = LaunchPlan(topology: topology, executable: executable ?? standIn.program)
        return Launch(plan: plan, patience: patience, output: recorder.output)
    }

    private func expectNobodyLeft(_ alive: FileHandle) throws {
        #expect(try alive.readToEnd() ?? Data() == Data())
    }

    @Test func itServesAndEndsWhenAsked() async throws {
        let launch = try launch()
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        #expect(await ready.next() == "http://127.0.0.1:5998")
        await launch.stop(.interrupt)
        #expect(await outcome == .stopped(.interrupt))
        try expectNobodyLeft(alive)
        #expect(recorder.all.contains("coordinator: starting up"))
        #expect(recorder.all.filter { $0.hasPrefix("coordinator: registered worker ") }.count == 2)
    }

    @Test func cancellingTheTaskEndsTheLaunch() async throws {
        let launch = try launch()
        let alive = try standIn.alive()
        let task = Task { await launch.run() }
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        task.cancel()
        #expect(await task.value == .stopped(.terminate))
        try expectNobodyLeft(alive)
    }

    @Test func theWorkersLiveWhileTheCoordinatorDrains() async throws {
        let launch = try launch(coordinator: "draining")
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        await launch.stop(.terminate)
        #expect(await outcome == .stopped(.terminate))
        try expectNobodyLeft(alive)
        #expect(recorder.all.filter { $0.hasPrefix("coordinator: still there: worker ") }.count == 2)
    }

    @Test func aCoordinatorThatDrainsForTooLongIsKilled() async throws {
        let launch = try launch(coordinator: "stubborn", patience: Launch.Patience(drain: .milliseconds(100)))
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        await launch.stop(.terminate)
        #expect(await outcome == .stopped(.terminate))
        try expectNobodyLeft(alive)
        #expect(recorder.all.contains("launch: coordinator did not end after SIGTERM: killing it"))
    }

    @Test func whoIgnoresSIGTERMIsKilled() async throws {
        let launch = try launch(worker: "stubborn", patience: Launch.Patience(grace: .milliseconds(100)))
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        await launch.stop(.terminate)
        #expect(await outcome == .stopped(.terminate))
        try expectNobodyLeft(alive)
        #expect(recorder.all.contains("launch: worker-0 did not end after SIGTERM: killing it"))
    }

    @Test func aSecondRequestDoesNotWait() async throws {
        let launch = try launch(worker: "stubborn", patience: Launch.Patience(grace: .seconds(3600)))
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        await launch.stop(.interrupt)
        await launch.stop(.interrupt)
        #expect(await outcome == .stopped(.interrupt))
        try expectNobodyLeft(alive)
    }

    @Test func aCrashEndsTheLaunchWithAReport() async throws {
        let launch = try launch(worker: "crash")
        let alive = try standIn.alive()
        let outcome = await launch.run()
        guard case .failed(let failure) = outcome else {
            Issue.record("expected a failure, got \(outcome)")
            return
        }
        #expect(failure.name.hasPrefix("worker-"))
        #expect(failure.end == .exited(65))
        #expect(failure.lastLines.count == 20)
        #expect(failure.lastLines.suffix(2) == ["before the end 25", "last words"])
        #expect(outcome.exitCode == 65)
        try expectNobodyLeft(alive)
    }

    @Test(arguments: ["mute", "silent"]) func aClusterThatNeverServesIsEnded(coordinator: String) async throws {
        let launch = try launch(coordinator: coordinator, patience: Launch.Patience(ready: .milliseconds(300)))
        let alive = try standIn.alive()
        let outcome = await launch.run()
        #expect(outcome.exitCode == 75)
        try expectNobodyLeft(alive)
    }

    @Test func aProgramThatIsNotThereIsReported() async throws {
        let launch = try launch(executable: standIn.program + "-missing")
        guard case .failed(let failure) = await launch.run(), case .notStarted = failure.end else {
            Issue.record("expected a failure to start")
            return
        }
        #expect(failure.name == "coordinator")
    }
}
