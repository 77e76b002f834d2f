// The launch's decisions, event by event, with no process behind them.

import Launcher
import Testing

@Suite("Launch decisions")
struct LaunchSessionTests {
    private let plan: LaunchPlan

    init() throws {
        let topology = try Topology(yaml: "model: m\npipelines: [{stages: 2}]", path: "t.yaml") { _ in true }
        plan = LaunchPlan(topology: topology, executable: "x")
    }

    private func says(_ text: String, _ process: String = "coordinator", output: Bool = true) -> LaunchSession.Event {
        .line(process: process, text: text, output: output)
    }

    /// A session after the given events.
    private func session(_ events: [LaunchSession.Event]) -> LaunchSession {
        var session = LaunchSession(plan: plan)
        for event in events { _ = session.handle(event) }
        return session
    }

    private var serving: LaunchSession {
        session([.begin, says("listening tcp://127.0.0.1:9"), says("ready http://127.0.0.1:8")])
    }

    @Test func theCoordinatorStartsAlone() {
        var session = LaunchSession(plan: plan)
        #expect(session.handle(.begin) == [.arm(.ready), .start(plan.coordinator)])
        #expect(session.handle(.begin) == [])
    }

    @Test func workersStartWithTheEndpointTheCoordinatorBound() {
        var session = session([.begin])
        let line = "listening tcp://127.0.0.1:9"
        #expect(
            session.handle(says(line)) == [.log(process: "coordinator", text: line)]
                + plan.workers(coordinatorAt: "tcp://127.0.0.1:9").map { .start($0) })
        // Said again (or by someone else) it starts nobody a second time.
        #expect(session.handle(says(line)) == [.log(process: "coordinator", text: line)])
    }

    @Test func onlyTheCoordinatorsStandardOutputCounts() {
        var session = session([.begin])
        #expect(session.handle(says("listening tcp://x:1", output: false)).count == 1)
        #expect(session.handle(says("listening tcp://x:1", "worker-0")).count == 1)
        #expect(session.handle(says("listening for events on two ports")).count == 1)
        #expect(session.handle(says("ready http://x:1")).count == 1)
    }

    @Test func readyIsAnnouncedOnce() {
        var session = session([.begin, says("listening tcp://127.0.0.1:9")])
        #expect(session.handle(says("ready http://h:1")).contains(.announceReady("http://h:1")))
        #expect(session.handle(says("ready http://h:1")) == [.log(process: "coordinator", text: "ready http://h:1")])
    }

    /// The coordinator ends its requests while the workers still compute.
    @Test func theCoordinatorEndsFirstThenTheWorkers() {
        var session = serving
        #expect(session.handle(.stop(.interrupt)) == [.terminate("coordinator"), .arm(.drain)])
        #expect(
            session.handle(.ended(process: "coordinator", .exited(0))) == [
                .terminate("worker-1"), .terminate("worker-0"), .arm(.grace),
            ])
        #expect(session.handle(.deadline(.drain)) == [])
        #expect(session.handle(.ended(process: "worker-0", .signaled(15))) == [])
        #expect(session.handle(.ended(process: "worker-1", .exited(1))) == [.finish(.stopped(.interrupt))])
        #expect(session.handle(.stop(.interrupt)) == [])
    }

    @Test func aWorkerThatGoesWhileItDrainsIsNoFailure() {
        var session = serving
        _ = session.handle(.stop(.terminate))
        #expect(session.handle(.ended(process: "worker-1", .signaled(9))) == [])
        #expect(session.handle(.ended(process: "worker-0", .signaled(9))) == [])
        #expect(session.handle(.ended(process: "coordinator", .exited(0))) == [.finish(.stopped(.terminate))])
    }

    @Test func aCoordinatorThatDrainsForTooLongIsKilled() {
        var session = serving
        _ = session.handle(.stop(.terminate))
        let directives = session.handle(.deadline(.drain))
        #expect(directives.contains(.kill("coordinator")))
        #expect(
            directives.suffix(4) == [
                .terminate("worker-1"), .terminate("worker-0"), .terminate("coordinator"), .arm(.grace),
            ])
        for name in ["coordinator", "worker-0"] { #expect(session.handle(.ended(process: name, .signaled(9))) == []) }
        #expect(session.handle(.ended(process: "worker-1", .exited(0))) == [.finish(.stopped(.terminate))])
    }

    /// Before it serves there is nothing to drain.
    @Test func aStopBeforeItServesEndsAllAtOnce() {
        var session = session([.begin, says("listening tcp://127.0.0.1:9")])
        #expect(
            session.handle(.stop(.terminate)) == [
                .terminate("worker-1"), .terminate("worker-0"), .terminate("coordinator"), .arm(.grace),
            ])
    }

    @Test func whoDoesNotEndInTimeIsKilled() {
        var session = serving
        _ = session.handle(.stop(.terminate))
        _ = session.handle(.ended(process: "coordinator", .exited(0)))
        _ = session.handle(.ended(process: "worker-1", .exited(0)))
        let directives = session.handle(.deadline(.grace))
        #expect(directives.suffix(2) == [.kill("worker-0"), .arm(.reap)])
        let last = session.handle(.deadline(.reap))
        #expect(last.last == .finish(.stopped(.terminate)))
        #expect(last.count == 2)
    }

    @Test(arguments: [false, true]) func askedTwiceItKillsAtOnce(drained: Bool) {
        var session = serving
        _ = session.handle(.stop(.interrupt))
        if drained { _ = session.handle(.ended(process: "coordinator", .exited(0))) }
        let directives = session.handle(.stop(.interrupt))
        #expect(directives.contains(.kill("worker-1")) && directives.last == .arm(.reap))
        #expect(directives.contains(.kill("coordinator")) == !drained)
        // Its end is the end of one of all.
        if !drained { #expect(session.handle(.ended(process: "coordinator", .signaled(9))) == []) }
        #expect(session.handle(.deadline(.reap)).last == .finish(.stopped(.interrupt)))
    }

    @Test func aFailureIsReportedWithItsLastLines() {
        var session = serving
        for index in 0..<30 { _ = session.handle(says("line \(index)", "worker-1", output: false)) }
        #expect(
            session.handle(.ended(process: "worker-1", .exited(65))) == [
                .terminate("worker-0"), .terminate("coordinator"), .arm(.grace),
            ])
        // What ends because of the failure is not the failure.
        _ = session.handle(.ended(process: "coordinator", .exited(69)))
        let failure = ProcessFailure(
            name: "worker-1", end: .exited(65), lastLines: (10..<30).map { "line \($0)" })
        #expect(session.handle(.ended(process: "worker-0", .exited(0))) == [.finish(.failed(failure))])
        #expect(LaunchOutcome.failed(failure).description.contains("exit status 65; its last log lines:"))
    }

    @Test func anEndWithStatusZeroIsAFailureWhereItIsNotStartedAgain() throws {
        let topology = try Topology(yaml: "model: m\nrestart: never\npipelines: [{stages: 2}]", path: "t.yaml") { _ in
            true
        }
        var session = LaunchSession(plan: LaunchPlan(topology: topology, executable: "x"))
        _ = session.handle(.begin)
        let outcome = LaunchOutcome.failed(ProcessFailure(name: "coordinator", end: .exited(0), lastLines: []))
        #expect(session.handle(.ended(process: "coordinator", .exited(0))) == [.finish(outcome)])
        #expect(outcome.exitCode == 70)
    }

    @Test func aClusterThatIsNotReadyInTimeIsEnded() {
        var early = session([.begin])
        #expect(early.handle(.deadline(.ready)) == [.terminate("coordinator"), .arm(.grace)])
        var late = session([.begin, says("listening tcp://127.0.0.1:9")])
        _ = late.handle(says("worker w1 does not reach worker w2", output: false))
        #expect(late.handle(.deadline(.ready)).first == .terminate("worker-1"))
        for name in ["coordinator", "worker-0"] { _ = late.handle(.ended(process: name, .exited(0))) }
        guard case .finish(let outcome) = late.handle(.ended(process: "worker-1", .exited(0))).first else {
            Issue.record("not finished")
            return
        }
        #expect(outcome.description.contains("the coordinator's last line: worker w1 does not reach worker w2"))
        var ready = serving
        #expect(ready.handle(.deadline(.ready)) == [])
    }

    @Test func exitCodesPassAMeaningOn() {
        func code(_ end: ProcessEnd) -> Int32 {
            LaunchOutcome.failed(ProcessFailure(name: "x", end: end, lastLines: [])).exitCode
        }
        #expect(code(.exited(65)) == 65)
        #expect(code(.exited(1)) == 70)
        #expect(code(.signaled(11)) == 70)
        #expect(code(.notStarted("no such file")) == 70)
        #expect(LaunchOutcome.stopped(.interrupt).exitCode == 130)
        #expect(LaunchOutcome.stopped(.terminate).exitCode == 0)
        #expect(LaunchOutcome.notReady("x").exitCode == 75)
    }
}

extension LaunchSession {
    /// Where the time does not matter.
    mutating func handle(_ event: Event) -> [Directive] { handle(event, at: .zero) }
}
