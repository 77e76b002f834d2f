// Which ends lead to a new start, and how soon.

import Launcher
import Testing

@Suite("Restart policy")
struct RestartPolicyTests {
    private let killed = ProcessEnd.signaled(9)

    private func wait(_ milliseconds: Int) -> RestartPolicy.Decision { .restart(after: .milliseconds(milliseconds)) }

    private func isGivenUp(_ decision: RestartPolicy.Decision) -> Bool {
        if case .giveUp(let reason) = decision { !reason.isEmpty } else { false }
    }

    @Test func theWaitDoublesUpToItsLimit() {
        let policy = RestartPolicy(giveUp: 100)
        var record = RestartPolicy.Record()
        let waits = (1...9).map { policy.decision(after: killed, at: .seconds($0), hasServed: true, &record) }
        #expect(waits == [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].map(wait))
    }

    @Test func aSteadyLifeForgets() {
        let policy = RestartPolicy(giveUp: 3)
        var record = RestartPolicy.Record()
        for _ in 0..<3 { _ = policy.decision(after: killed, at: .seconds(1), hasServed: true, &record) }
        record.started = .seconds(10)
        #expect(policy.decision(after: killed, at: .seconds(70), hasServed: true, &record) == wait(500))
        record.started = .seconds(71)
        #expect(policy.decision(after: killed, at: .seconds(72), hasServed: true, &record) == wait(1000))
    }

    @Test func whoEndsTooOftenIsGivenUp() {
        let policy = RestartPolicy(giveUp: 2, window: .seconds(10))
        var record = RestartPolicy.Record(started: .seconds(1))
        for second in [1, 2] {
            #expect(!isGivenUp(policy.decision(after: killed, at: .seconds(second), hasServed: true, &record)))
        }
        // The first two are out of the window by then.
        record.started = .seconds(13)
        #expect(!isGivenUp(policy.decision(after: killed, at: .seconds(13), hasServed: true, &record)))
        #expect(!isGivenUp(policy.decision(after: killed, at: .seconds(14), hasServed: true, &record)))
        let last = policy.decision(after: killed, at: .seconds(15), hasServed: true, &record)
        guard case .giveUp(let reason) = last else {
            Issue.record("\(last)")
            return
        }
        #expect(reason == "it has ended 3 times within 10.0 seconds")
    }

    @Test(arguments: [64, 65] as [Int32], [false, true])
    func aMistakeIsNotRepeated(status: Int32, hasServed: Bool) {
        var record = RestartPolicy.Record()
        let decision = RestartPolicy().decision(after: .exited(status), at: .zero, hasServed: hasServed, &record)
        #expect(isGivenUp(decision))
    }

    @Test(arguments: [ProcessEnd.exited(69), .exited(70), .exited(1), .notStarted("no memory")])
    func aFailureIsFinalOnlyBeforeItHasServed(end: ProcessEnd) {
        var record = RestartPolicy.Record()
        #expect(isGivenUp(RestartPolicy().decision(after: end, at: .zero, hasServed: false, &record)))
        record = RestartPolicy.Record()
        #expect(RestartPolicy().decision(after: end, at: .zero, hasServed: true, &record) == wait(500))
    }

    @Test(arguments: [ProcessEnd.signaled(9), .exited(0)]) func whoIsEndedFromOutsideComesBack(end: ProcessEnd) {
        var record = RestartPolicy.Record()
        #expect(RestartPolicy().decision(after: end, at: .zero, hasServed: false, &record) == wait(500))
    }

    @Test func thePolicyIsObeyed() {
        var record = RestartPolicy.Record()
        let onFailure = RestartPolicy(condition: .onFailure)
        #expect(isGivenUp(onFailure.decision(after: .exited(0), at: .zero, hasServed: true, &record)))
        #expect(!isGivenUp(onFailure.decision(after: killed, at: .zero, hasServed: true, &record)))
        let never = RestartPolicy(condition: .never)
        #expect(isGivenUp(never.decision(after: killed, at: .zero, hasServed: true, &record)))
    }
}
