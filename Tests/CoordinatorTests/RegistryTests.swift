import Coordinator
import Testing

@Suite("Registry")
struct RegistryTests {
    private let start = ContinuousClock.now
    private let weights = [UInt8](repeating: 7, count: 32)

    private func registry(stages: Int = 2, layers: Int = 4) -> Registry {
        Registry(
            settings: Registry.Settings(
                fingerprint: weights, layerCount: layers, stageCount: stages, kvRows: 1000, silenceLimit: .seconds(3),
                stallLimit: .seconds(60)))
    }

    private func worker(_ name: String, wish: Range<Int>? = nil, weights: [UInt8]? = nil, kvRows: Int = 0)
        -> Registry.Introduction
    {
        Registry.Introduction(
            name: name, fingerprint: weights ?? self.weights, model: "m", layerCount: 4, dataEndpoint: "ipc://\(name)",
            wish: wish, kvRows: kvRows)
    }

    private func identity(_ name: String) -> Registry.Identity { Array(name.utf8) }

    /// A registry whose pipeline stands: stage i is worker "w<i>".
    private func standing(stages: Int = 2) -> Registry {
        var registry = registry(stages: stages)
        for stage in 0..<stages {
            _ = registry.hello(from: identity("w\(stage)"), worker("w\(stage)"), now: start)
        }
        for stage in 0..<stages { _ = registry.ready(from: identity("w\(stage)"), epoch: 1, now: start) }
        return registry
    }

    @Test func aPipelineStandsWhenAllAreReady() {
        var registry = registry()
        #expect(registry.notReadyReason == "0 of 2 workers are here")
        #expect(registry.hello(from: identity("a"), worker("a"), now: start) == [.reply(identity("a"))])
        #expect(registry.notReadyReason == "1 of 2 workers are here")
        let actions = registry.hello(from: identity("b"), worker("b", kvRows: 500), now: start)
        #expect(
            actions == [
                .reply(identity("b")),
                .assign(identity("a"), epoch: 1, stage: 0, layers: 0..<2, next: "ipc://b", kvRows: 500),
                .assign(identity("b"), epoch: 1, stage: 1, layers: 2..<4, next: nil, kvRows: 500),
            ])
        #expect(registry.ready(from: identity("b"), epoch: 1, now: start) == [])
        #expect(!registry.isUp)
        #expect(
            registry.ready(from: identity("a"), epoch: 1, now: start) == [.up(epoch: 1, first: "ipc://a", kvRows: 500)])
        #expect(registry.isUp)
    }

    @Test func otherWeightsAreRefusedAndToldWhy() {
        var registry = registry()
        let actions = registry.hello(
            from: identity("a"), worker("a", weights: .init(repeating: 1, count: 32)), now: start)
        guard case .refuse(_, .otherWeights(let text)) = actions.first else {
            Issue.record("not refused: \(actions)")
            return
        }
        #expect(text.contains("070707") && text.contains("010101"))
        #expect(registry.notReadyReason == "0 of 2 workers are here")
    }

    @Test(arguments: [4..<6, 0..<5]) func layersOutsideTheModelAreRefused(wish: Range<Int>) {
        var registry = registry()
        let actions = registry.hello(from: identity("a"), worker("a", wish: wish), now: start)
        guard case .refuse(_, .badLayers(let text)) = actions.first else {
            Issue.record("not refused: \(actions)")
            return
        }
        #expect(text.contains("0-3"))
    }

    @Test func anOverlapIsRefusedATwinIsASpare() {
        var registry = registry()
        _ = registry.hello(from: identity("a"), worker("a", wish: 0..<2), now: start)
        guard case .refuse = registry.hello(from: identity("b"), worker("b", wish: 1..<4), now: start).first else {
            Issue.record("an overlap was taken")
            return
        }
        #expect(
            registry.hello(from: identity("c"), worker("c", wish: 0..<2), now: start).contains(.reply(identity("c"))))
        #expect(!registry.isUp)
        _ = registry.hello(from: identity("d"), worker("d", wish: 2..<4), now: start)
        #expect(registry.epoch == 1)
        #expect(registry.stageNames == ["a", "d"])
    }

    @Test func aSpareTakesOverAndSurvivorsKeepTheirLayers() {
        var registry = standing()
        #expect(registry.hello(from: identity("spare"), worker("spare"), now: start) == [.reply(identity("spare"))])
        let later = start + .seconds(2)
        for name in ["w1", "spare"] {
            _ = registry.heartbeat(from: identity(name), progress: 1, isBusy: false, now: later)
        }
        let actions = registry.tick(now: start + .milliseconds(3500))
        #expect(actions.first == .down(reason: "worker w0 has been silent for 3 s"))
        #expect(
            Array(actions.dropFirst()) == [
                .assign(identity("spare"), epoch: 2, stage: 0, layers: 0..<2, next: "ipc://w1", kvRows: 1000),
                .assign(identity("w1"), epoch: 2, stage: 1, layers: 2..<4, next: nil, kvRows: 1000),
            ])
    }

    @Test func anOldEpochsReadyCountsForNothing() {
        var registry = standing()
        #expect(registry.edgeFault(reason: "cut") == [.down(reason: "cut")])
        #expect(registry.notReadyReason == "0 of 2 workers are here (cut)")
        _ = registry.heartbeat(from: identity("w1"), progress: 0, isBusy: false, now: start)
        #expect(registry.epoch == 1)
        _ = registry.heartbeat(from: identity("w0"), progress: 0, isBusy: false, now: start)
        #expect(registry.epoch == 2)
        #expect(registry.ready(from: identity("w0"), epoch: 1, now: start) == [])
        #expect(registry.ready(from: identity("w1"), epoch: 1, now: start) == [])
        #expect(!registry.isUp)
    }

    @Test func aBusyWorkerWithoutProgressHangs() {
        var registry = standing()
        var actions: [Registry.Action] = []
        for second in 1...62 {
            let now = start + .seconds(second)
            actions += registry.heartbeat(from: identity("w0"), progress: 5, isBusy: true, now: now)
            actions += registry.heartbeat(from: identity("w1"), progress: 0, isBusy: false, now: now)
            actions += registry.tick(now: now)
        }
        #expect(actions.contains(.down(reason: "worker w0 computes without progress for 60 s")))
        // Idle as long, w1 is not suspected.
        #expect(registry.identities == [identity("w1")])
    }

    @Test func strangersAreToldToSayHello() {
        var registry = standing()
        #expect(
            registry.heartbeat(from: identity("x"), progress: 0, isBusy: false, now: start)
                == [.refuse(identity("x"), .unknownWorker)])
        #expect(registry.pipelineFault(from: identity("x"), epoch: 1, reason: "?") == [])
        #expect(registry.goodbye(from: identity("x"), reason: "?") == [])
        #expect(registry.isUp)
    }

    @Test func aGoodbyeBreaksThePipelineAtOnce() {
        var registry = standing()
        #expect(
            registry.goodbye(from: identity("w1"), reason: "stopped") == [
                .down(reason: "worker w1 left (stopped)", isOrderly: true)
            ])
        #expect(registry.notReadyReason == "1 of 2 workers are here (worker w1 left (stopped))")
    }

    /// A link breaks before its dead end has been silent for long: the spare goes in at once, the dead one does not.
    @Test func afterALinkFaultOnlyTheLivingCount() {
        var registry = standing()
        _ = registry.hello(from: identity("spare"), worker("spare"), now: start)
        let actions = registry.pipelineFault(from: identity("w0"), epoch: 1, reason: "the link is down")
        #expect(actions == [.down(reason: "worker w0 reports: the link is down")])
        _ = registry.heartbeat(from: identity("w0"), progress: 0, isBusy: false, now: start)
        let assigned = registry.heartbeat(from: identity("spare"), progress: 0, isBusy: false, now: start)
        #expect(
            assigned == [
                .reply(identity("spare")),
                .assign(identity("w0"), epoch: 2, stage: 0, layers: 0..<2, next: "ipc://spare", kvRows: 1000),
                .assign(identity("spare"), epoch: 2, stage: 1, layers: 2..<4, next: nil, kvRows: 1000),
            ])
    }

    /// Stages are numbered as their workers are, in whatever order they come.
    @Test func workersTakeTheStagesInTheOrderOfTheirNames() {
        var registry = registry(stages: 4, layers: 8)
        for name in ["worker-10", "worker-2", "alone", "worker-0"] {
            _ = registry.hello(from: identity(name), worker(name), now: start)
        }
        #expect(registry.stageNames == ["alone", "worker-0", "worker-2", "worker-10"])
        // Who is called the same comes in the order of its coming.
        var twins = self.registry(stages: 2)
        for place in ["first", "second"] {
            var introduction = worker(place)
            introduction.name = "worker"
            _ = twins.hello(from: identity(place), introduction, now: start)
        }
        _ = twins.ready(from: identity("first"), epoch: 1, now: start)
        #expect(
            twins.ready(from: identity("second"), epoch: 1, now: start) == [
                .up(epoch: 1, first: "ipc://first", kvRows: 1000)
            ])
    }

    @Test func aWorkerThatCannotBeReachedIsNamed() {
        var registry = registry()
        for name in ["a", "b"] { _ = registry.hello(from: identity(name), worker(name), now: start) }
        var actions: [Registry.Action] = []
        /// Both send heartbeats for some seconds, `a` loading its layers for the first of them.
        func pass(_ seconds: Range<Int>, loading: Int) {
            for second in seconds {
                let now = start + .seconds(second)
                _ = registry.heartbeat(from: identity("a"), progress: 0, isBusy: second < loading, now: now)
                _ = registry.heartbeat(from: identity("b"), progress: 0, isBusy: false, now: now)
                actions += registry.tick(now: now)
            }
        }
        _ = registry.ready(from: identity("b"), epoch: 1, now: start)
        pass(1..<20, loading: 20)
        #expect(actions == [])
        #expect(registry.notReadyReason == "workers are loading their layers: 1 of 2 are ready")
        pass(20..<24, loading: 20)
        let reason =
            "worker a does not reach worker b at ipc://b: is it an address the other hosts can connect to "
            + "(--advertise of that worker)?"
        #expect(actions == [.unlinked(reason: reason)])
        #expect(registry.notReadyReason == reason)
        // Told once; and forgotten when it is reached after all.
        pass(24..<40, loading: 20)
        #expect(actions.count == 1)
        #expect(registry.ready(from: identity("a"), epoch: 1, now: start).count == 1)
        #expect(registry.notReadyReason == nil)
        #expect(registry.firstStageUnlinked?.contains("worker a at ipc://a") == true)
    }

    @Test func aResultsEndpointThatCannotBeReachedIsNamed() {
        var registry = Registry(
            settings: Registry.Settings(
                fingerprint: weights, layerCount: 4, stageCount: 1, kvRows: 1000, resultsEndpoint: "tcp://far:1",
                silenceLimit: .seconds(60), stallLimit: .seconds(60)))
        #expect(registry.notReadyReason == "0 of 1 worker is here")
        _ = registry.hello(from: identity("a"), worker("a"), now: start)
        _ = registry.heartbeat(from: identity("a"), progress: 0, isBusy: false, now: start)
        let actions = registry.tick(now: start + Registry.linkLimit)
        guard case .unlinked(let reason) = actions.first else {
            Issue.record("not named: \(actions)")
            return
        }
        #expect(reason.contains("worker a does not reach the coordinator's results endpoint tcp://far:1"))
    }

    @Test func aWorkerThatSaysHelloAnewLeavesNoGhost() {
        var registry = registry()
        _ = registry.hello(from: identity("a"), worker("w"), now: start)
        _ = registry.hello(from: identity("b"), worker("w"), now: start)
        #expect(registry.identities == [identity("b")])
        #expect(registry.notReadyReason == "1 of 2 workers are here")
    }
}
