// What a launch does about processes that end by themselves, event by event and with real processes.

import Foundation
import Launcher
import Testing

@Suite("Restarts of a launch", .timeLimit(.minutes(1)))
struct LaunchRestartTests {
    private func session(
        _ yaml: String = "model: m\npipelines: [{stages: 2}]", ready: Bool = true
    ) throws -> (session: LaunchSession, plan: LaunchPlan) {
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        let plan = LaunchPlan(topology: topology, executable: "x")
        var session = LaunchSession(plan: plan)
        _ = session.handle(.begin)
        _ = session.handle(.line(process: "coordinator", text: "listening tcp://127.0.0.1:9", output: true))
        if ready {
            _ = session.handle(.line(process: "coordinator", text: "ready http://127.0.0.1:8", output: true))
        }
        return (session, plan)
    }

    private func restart(_ process: String, _ milliseconds: Int = 500) -> LaunchSession.Deadline {
        .restart(process: process, after: .milliseconds(milliseconds))
    }

    @Test func aKilledWorkerIsStartedAgainAfterAWait() throws {
        var (session, plan) = try session()
        #expect(
            session.handle(.ended(process: "worker-1", .signaled(9))) == [
                .say("worker-1 ended: killed by signal 9 (Killed); starting it again in 0.5 seconds"),
                .arm(restart("worker-1")),
            ])
        let again = plan.workers(coordinatorAt: "tcp://127.0.0.1:9")[1]
        #expect(session.handle(.deadline(restart("worker-1"))) == [.start(again)])
        // It is one of the running ones again.
        _ = session.handle(.stop(.terminate))
        #expect(
            session.handle(.ended(process: "coordinator", .exited(0))).prefix(2)
                == [.terminate("worker-1"), .terminate("worker-0")])
    }

    @Test func oneThatIsKilledWhileTheClusterStartsIsStartedAgainToo() throws {
        var (session, _) = try session(ready: false)
        #expect(session.handle(.ended(process: "worker-0", .signaled(9))).last == .arm(restart("worker-0")))
        #expect(session.handle(.deadline(restart("worker-0"))).count == 1)
        #expect(session.handle(.ended(process: "worker-1", .exited(69))).first == .terminate("worker-0"))
    }

    @Test func nobodyIsStartedOnceTheEndIsAskedFor() throws {
        var (session, _) = try session()
        _ = session.handle(.ended(process: "worker-1", .signaled(9)))
        _ = session.handle(.stop(.terminate))
        #expect(session.handle(.deadline(restart("worker-1"))) == [])
        #expect(session.handle(.ended(process: "coordinator", .exited(0))) == [.terminate("worker-0"), .arm(.grace)])
        #expect(session.handle(.deadline(restart("worker-1"))) == [])
        #expect(session.handle(.ended(process: "worker-0", .exited(0))) == [.finish(.stopped(.terminate))])
    }

    /// Workers and clients look for it where it was, so it must not take another free port.
    @Test func theCoordinatorComesBackWhereItWas() throws {
        let yaml = "model: m\ncoordinator: {http: \"127.0.0.1:0\", advertise: a}\npipelines: [{stages: 1}]"
        var (session, plan) = try session(yaml)
        #expect(session.handle(.ended(process: "coordinator", .signaled(11))).last == .arm(restart("coordinator")))
        guard case .start(let again) = session.handle(.deadline(restart("coordinator"))).first else {
            Issue.record("not started")
            return
        }
        func value(_ option: String, _ process: ProcessPlan) -> String? {
            process.arguments.firstIndex(of: option).map { process.arguments[$0 + 1] }
        }
        #expect(value("--listen", plan.coordinator) == "tcp://127.0.0.1:*")
        #expect(value("--listen", again) == "tcp://127.0.0.1:9")
        #expect(value("--http", again) == "127.0.0.1:8")
        #expect(value("--results", again) == "tcp://127.0.0.1:*")
        // What it says then starts no worker again and announces nothing again.
        for line in ["listening tcp://127.0.0.1:9", "ready http://127.0.0.1:8"] {
            #expect(session.handle(.line(process: "coordinator", text: line, output: true)).count == 1)
        }
    }

    @Test func placesThatWereNamedStayAsTheyAre() throws {
        let yaml = """
            model: m
            coordinator: {http: "127.0.0.1:80", listen: "ipc:///tmp/c"}
            pipelines: [{stages: 1}]
            """
        var (session, plan) = try session(yaml)
        _ = session.handle(.ended(process: "coordinator", .signaled(11)))
        #expect(session.handle(.deadline(restart("coordinator"))) == [.start(plan.coordinator)])
    }

    @Test func theLaunchGoesOnWhileAPipelineIsWhole() throws {
        let yaml = """
            model: m
            speculator: s
            pipelines: [{stages: 1}, {stages: 2}]
            spares: 1
            speculators: 1
            """
        var (session, _) = try session(yaml)
        for name in ["speculator-0", "worker-0", "worker-1"] {
            let directives = session.handle(.ended(process: name, .exited(65)))
            #expect(directives.count == 2, "\(name): \(directives)")
            guard case .say(let text) = directives.last else { continue }
            #expect(text.hasPrefix("\(name) is not started again: a file it needs is bad"))
        }
        // One worker and the spare are left for either pipeline; without the spare for none.
        let last = session.handle(.ended(process: "spare-0", .exited(65)))
        #expect(last.last == .arm(.grace))
        _ = session.handle(.ended(process: "coordinator", .exited(0)))
        guard case .finish(let outcome) = session.handle(.ended(process: "worker-2", .exited(0))).last else {
            Issue.record("not finished")
            return
        }
        #expect(outcome.exitCode == 65)
    }

    @Test func withoutTheCoordinatorItEnds() throws {
        var (session, _) = try session("model: m\nrestart: never\npipelines: [{stages: 1}]\nspares: 1")
        #expect(session.handle(.ended(process: "worker-0", .signaled(9))).count == 2)
        #expect(
            session.handle(.ended(process: "coordinator", .signaled(9))) == [.terminate("spare-0"), .arm(.grace)])
    }

    @Test func aLifeIsMeasuredFromTheLastStart() throws {
        var (session, _) = try session()
        _ = session.handle(.ended(process: "worker-0", .signaled(9)), at: .seconds(5))
        _ = session.handle(.deadline(restart("worker-0")), at: .seconds(6))
        #expect(
            session.handle(.ended(process: "worker-0", .signaled(9)), at: .seconds(64)).last
                == .arm(restart("worker-0", 1000)))
        _ = session.handle(.deadline(restart("worker-0", 1000)), at: .seconds(65))
        #expect(
            session.handle(.ended(process: "worker-0", .signaled(9)), at: .seconds(125)).last
                == .arm(restart("worker-0")))
    }

    // MARK: - Real processes

    private func launch(_ standIn: StandIn, _ recorder: Recorder) throws -> Launch {
        let yaml = standIn.topology() + "\nrestart: {backoff: 0.01}"
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        return Launch(plan: LaunchPlan(topology: topology, executable: standIn.program), output: recorder.output)
    }

    @Test(arguments: [SIGKILL, SIGTERM]) func aRealWorkerComesBack(signal: Int32) async throws {
        let (standIn, recorder) = (try StandIn(), Recorder())
        let launch = try launch(standIn, recorder)
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        let line = await recorder.line { $0.hasPrefix("worker-1: pid ") }
        kill(try #require(Int32(line.split(separator: " ").last ?? "")), signal)
        _ = await recorder.line { $0.hasPrefix("worker-1: pid ") && $0 != line }
        await launch.stop(.terminate)
        #expect(await outcome == .stopped(.terminate))
        #expect(try alive.readToEnd() ?? Data() == Data())
    }

    @Test func aRealCoordinatorComesBackWithItsWorkersAlive() async throws {
        let (standIn, recorder) = (try StandIn(), Recorder())
        let launch = try launch(standIn, recorder)
        let alive = try standIn.alive()
        async let outcome = launch.run()
        var ready = recorder.ready.makeAsyncIterator()
        _ = await ready.next()
        let line = await recorder.line { $0.hasPrefix("coordinator: pid ") }
        kill(try #require(Int32(line.split(separator: " ").last ?? "")), SIGKILL)
        _ = await recorder.line { $0.hasPrefix("coordinator: pid ") && $0 != line }
        #expect(!recorder.all.contains { $0.hasPrefix("launch: worker") })
        await launch.stop(.terminate)
        #expect(await outcome == .stopped(.terminate))
        #expect(try alive.readToEnd() ?? Data() == Data())
    }
}
