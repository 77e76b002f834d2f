import Layers
import Testing
import WinnowWorker
import Wire

/// What a worker does with what it is told, without a socket and without a clock.
@Suite("Worker state")
struct WorkerStateTests {
    private let start = ContinuousClock.now
    private let before = PeerID.random()
    private let coordinator: Incarnation = 77

    private func make(_ role: WorkerRole = .stage) -> WorkerState {
        WorkerState(
            incarnation: 5, role: role,
            profile: Profile(
                name: "w", fingerprint: [UInt8](repeating: 1, count: 32), model: "m", layerCount: 4,
                dataEndpoint: "tcp://127.0.0.1:5", dataPeer: .random()), profileHash: 9)
    }

    private func epoch(_ counter: UInt64) -> Epoch { Epoch(incarnation: coordinator, counter: counter) }

    private func assignment(_ counter: UInt64 = 1, layers: LayerSpan = LayerSpan(0..<2), maxInFlight: Int = 4)
        -> Assignment
    {
        Assignment(
            epoch: epoch(counter), stage: 0, stageCount: 2, layers: layers, nextEndpoint: "tcp://127.0.0.1:6",
            previous: Guest(before), maxRows: 8, maxInFlight: maxInFlight, kvRows: 100)
    }

    private func desired(_ assignment: Assignment? = nil) -> Desired {
        Desired(incarnation: coordinator, knownProfile: 9, assignment: assignment)
    }

    /// What is done, by name.
    private func names(_ actions: [WorkerState.Action]) -> [String] {
        actions.compactMap { action in
            switch action {
            case .report: "report"
            case .allow(let peers): peers.isEmpty ? "allow nobody" : "allow \(peers.count)"
            case .begin(let assignment): "begin \(assignment.epoch.counter)"
            case .preload(let layers): "preload \(layers)"
            case .forget: "forget"
            case .link(let endpoint, _): "link \(endpoint ?? "nobody")"
            case .compute: "compute"
            case .release(let ids, _): "release \(ids)"
            case .flush: "flush"
            case .end(.success): "end"
            case .end(.failure(let error)): "end: \(error)"
            case .log: nil
            }
        }
    }

    /// A stage whose layers are loaded and whose link stands.
    private func standing(_ role: WorkerRole = .stage, maxInFlight: Int = 4) -> WorkerState {
        var state = make(role)
        _ = state.hear(desired(assignment(maxInFlight: maxInFlight)), now: start)
        _ = state.loaded(.success(()), epoch: epoch(1), now: start)
        _ = state.linked()
        return state
    }

    private func batch(_ sequence: UInt64, _ counter: UInt64 = 1) -> Packet {
        Packet(
            epoch: epoch(counter), sequence: sequence,
            .microBatch(WireMicroBatch(id: sequence, segments: [WireSegment(request: 1, positions: [0])])))
    }

    @Test func whatShouldBeIsDoneOnce() {
        var state = make()
        let first = state.hear(desired(assignment()), now: start)
        #expect(names(first) == ["allow 1", "begin 1", "link tcp://127.0.0.1:6", "report"])
        for _ in 0..<3 {
            let again = state.hear(desired(assignment()), now: start)
            #expect(names(again) == [])
        }
        #expect(state.epoch == epoch(1))
    }

    @Test func theProfileIsToldUntilItIsKnown() {
        var state = make()
        #expect(state.report(load: .init()).profile != nil)
        let actions = state.hear(Desired(incarnation: coordinator), now: start)
        #expect(names(actions) == [])
        #expect(state.report(load: .init()).profile != nil)
        _ = state.hear(desired(), now: start)
        #expect(state.report(load: .init()).profile == nil)
        // Another coordinator knows nothing.
        let other = state.hear(Desired(incarnation: 78), now: start)
        #expect(names(other) == ["report"])
        #expect(state.report(load: .init()).profile != nil)
    }

    @Test func aNewEpochDropsTheOldOne() {
        var state = standing()
        _ = state.receive(batch(1), from: before)
        let actions = state.hear(desired(assignment(2)), now: start)
        #expect(names(actions).contains("begin 2"))
        // What was under way in the old one comes to nothing.
        #expect(names(state.computed(.success((.release([]), [])), epoch: epoch(1))) == [])
        #expect(names(state.loaded(.success(()), epoch: epoch(1), now: start)) == [])
        #expect(names(state.receive(batch(2), from: before)) == [])
        #expect(state.next == nil && !state.wantsProbe)
        let report = state.report(load: .init())
        #expect(report.epoch == epoch(2) && report.received == 0 && report.sent == 0 && !report.isLinked)
    }

    @Test func theSameCounterOfAnotherCoordinatorIsAnotherEpoch() {
        var state = standing()
        var other = assignment()
        other.epoch = Epoch(incarnation: 78, counter: 1)
        let actions = state.hear(Desired(incarnation: 78, knownProfile: 9, assignment: other), now: start)
        #expect(names(actions).contains("begin 1"))
        #expect(names(state.receive(batch(1), from: before)) == [])
    }

    @Test func whoIsNotAssignedAnyMoreDropsAllAtOnce() {
        var state = standing()
        #expect(names(state.hear(desired(), now: start)) == ["allow nobody", "link nobody", "forget", "report"])
        #expect(names(state.hear(desired(), now: start)) == [])
        #expect(state.epoch == nil)
    }

    @Test func aGapIsAFaultThatIsToldUntilItIsHeard() {
        var state = standing()
        #expect(names(state.receive(batch(1), from: before)) == ["compute"])
        #expect(names(state.receive(batch(3), from: before)) == ["report"])
        // In every report from now on: the loss of one changes nothing.
        for _ in 0..<3 {
            let fault = state.report(load: .init()).fault
            #expect(fault?.contains("expected 2, found 3") == true)
        }
        #expect(names(state.receive(batch(2), from: before)) == [])
        #expect(names(state.receive(batch(4), from: before)) == [])
        // It ends with the epoch.
        _ = state.hear(desired(assignment(2)), now: start)
        #expect(state.report(load: .init()).fault == nil)
    }

    @Test func doubledAndStrangePacketsAreIgnored() {
        var state = standing()
        #expect(names(state.receive(batch(1), from: before)) == ["compute"])
        #expect(names(state.receive(batch(1), from: before)) == [])
        // A stranger with the right epoch and number, and one that would make a gap.
        #expect(names(state.receive(batch(2), from: .random())) == [])
        #expect(names(state.receive(batch(99), from: .random())) == [])
        #expect(names(state.receive(batch(7, 2), from: before)) == [])
        let uncounted = Packet(epoch: epoch(1), .probe)
        #expect(names(state.receive(uncounted, from: before)) == [])
        #expect(names(state.receive(batch(2), from: before)) == ["compute"])
        let report = state.report(load: .init())
        #expect(report.received == 2 && report.fault == nil)
    }

    @Test func moreThanWasAgreedIsAFault() {
        var state = standing(maxInFlight: 2)
        for sequence in 1...2 { #expect(names(state.receive(batch(UInt64(sequence)), from: before)) == ["compute"]) }
        #expect(names(state.receive(batch(3), from: before)) == ["report"])
        #expect(state.report(load: .init()).fault?.contains("agreed 2") == true)
        var calm = standing(maxInFlight: 2)
        for sequence in 1...20 {
            #expect(names(calm.receive(batch(UInt64(sequence)), from: before)) == ["compute"])
            #expect(names(calm.computed(.success((.release([]), [])), epoch: epoch(1))) == ["flush"])
        }
    }

    @Test func aMessageForAnotherRoleIsAFault() {
        var stage = standing()
        let score = Packet(
            epoch: epoch(1), sequence: 1, .score(WireScore(request: 1, prompt: [1], lookAhead: 1, pool: 1)))
        #expect(names(stage.receive(score, from: before)) == ["report"])
        #expect(stage.report(load: .init()).fault?.contains("not for a stage") == true)
        var speculator = standing(.speculator)
        #expect(names(speculator.receive(score, from: before)) == ["compute"])
        #expect(names(speculator.receive(batch(2), from: before)) == ["report"])
    }

    @Test(arguments: [3..<5, 4..<9]) func anAssignmentOutOfRangeIsAFaultNotAnEnd(layers: Range<Int>) {
        var state = make()
        let actions = state.hear(desired(assignment(layers: LayerSpan(layers))), now: start)
        #expect(!names(actions).contains { $0.hasPrefix("begin") || $0.hasPrefix("end") })
        #expect(state.report(load: .init()).fault?.contains("lie outside the model's 4") == true)
        #expect(names(state.hear(desired(assignment(2)), now: start)).contains("begin 2"))
        #expect(state.report(load: .init()).fault == nil)
    }

    @Test func aSpareLoadsWhatItIsToldOnce() {
        var state = make()
        var wanted = desired()
        wanted.preload = LayerSpan(2..<4)
        #expect(names(state.hear(wanted, now: start)) == ["preload 2-3"])
        #expect(names(state.hear(wanted, now: start)) == [])
        wanted.preload = LayerSpan(0..<2)
        #expect(names(state.hear(wanted, now: start)) == ["preload 0-1"])
        wanted.preload = LayerSpan(0..<9)
        #expect(names(state.hear(wanted, now: start)) == [])
        // After an assignment what is held may be something else.
        _ = state.hear(desired(assignment()), now: start)
        wanted.preload = LayerSpan(0..<2)
        #expect(names(state.hear(wanted, now: start)).contains("preload 0-1"))
    }

    @Test func weightsThatCanNotBeLoadedEndTheWorker() {
        var state = make()
        _ = state.hear(desired(assignment()), now: start)
        let actions = state.loaded(.failure(.model("no such file")), epoch: epoch(1), now: start)
        #expect(names(actions).contains("end: no such file"))
        #expect(names(state.hear(desired(assignment(2)), now: start)) == [])
    }

    @Test(arguments: [Desired.Refusal.otherWeights, .badLayers, .otherPipeline])
    func aRefusalEndsTheWorkerWithItsReason(refusal: Desired.Refusal) {
        var state = make()
        let actions = state.hear(
            Desired(incarnation: coordinator, refusal: refusal, reason: "not these"), now: start)
        #expect(names(actions) == ["end: the coordinator refused this worker: not these"])
    }

    @Test func aDroppedMessageIsNoReasonToEnd() {
        var state = standing()
        var told = desired(assignment())
        told.refusal = .badMessage
        #expect(names(state.hear(told, now: start)) == [])
        #expect(state.epoch == epoch(1))
    }

    // MARK: Sending

    @Test func nothingIsSentBeforeTheLinkStands() {
        var state = make()
        _ = state.hear(desired(assignment()), now: start)
        #expect(!state.wantsProbe)
        _ = state.loaded(.success(()), epoch: epoch(1), now: start)
        #expect(state.wantsProbe)
        _ = state.receive(batch(1), from: before)
        _ = state.computed(.success((.microBatch(WireMicroBatch(id: 1, segments: [])), [])), epoch: epoch(1))
        _ = state.receive(Packet(epoch: epoch(1), sequence: 2, .release([4])), from: before)
        _ = state.released([4], epoch: epoch(1))
        #expect(state.next == nil)
        #expect(names(state.linked()) == ["report", "flush"])
        #expect(names(state.linked()) == [])
        #expect(state.next?.sequence == 1 && state.next?.epoch == epoch(1))
        state.sent()
        #expect(state.next?.sequence == 2 && state.next?.message == .release([4]))
        state.sent()
        #expect(state.next == nil)
        let report = state.report(load: .init())
        #expect(report.sent == 2 && report.received == 2 && report.computed == 1 && report.isLinked)
    }

    @Test func aSpeculatorTellsNobodyWhatItFreed() {
        var state = standing(.speculator)
        #expect(
            names(state.receive(Packet(epoch: epoch(1), sequence: 1, .release([4])), from: before)) == ["release [4]"])
        #expect(names(state.released([4], epoch: epoch(1))) == [])
    }

    @Test func aLinkThatTakesNothingIsAFault() {
        var state = standing()
        _ = state.receive(batch(1), from: before)
        _ = state.computed(.success((.release([]), [])), epoch: epoch(1))
        #expect(names(state.tick(now: start)) == [])
        #expect(names(state.tick(now: start + .milliseconds(2900))) == [])
        #expect(names(state.tick(now: start + .milliseconds(3000))) == ["report"])
        #expect(state.report(load: .init()).fault?.contains("takes nothing") == true)
    }

    /// Slow is not blocked: each message taken begins the count anew.
    @Test func aLinkThatTakesALittleIsNoFault() {
        var state = standing()
        for second in 0..<10 {
            _ = state.hear(desired(assignment()), now: start + .seconds(second * 2))
            _ = state.receive(batch(UInt64(second + 1)), from: before)
            _ = state.computed(.success((.release([]), [])), epoch: epoch(1))
            #expect(names(state.tick(now: start + .seconds(second * 2))) == [])
            state.sent()
        }
        #expect(state.report(load: .init()).fault == nil)
    }

    @Test func aStageThatCanNotBeReachedIsNamedOnce() {
        var state = make()
        _ = state.hear(desired(assignment()), now: start)
        _ = state.loaded(.success(()), epoch: epoch(1), now: start)
        func warnings(_ seconds: Int) -> [String] {
            _ = state.hear(desired(assignment()), now: start + .seconds(seconds))
            return state.tick(now: start + .seconds(seconds)).compactMap {
                if case .log(let line) = $0 { line.details["endpoint"] } else { nil }
            }
        }
        #expect(warnings(2) == [])
        #expect(warnings(3) == ["tcp://127.0.0.1:6"])
        #expect(warnings(9) == [])
    }

    // MARK: Leaving and silence

    @Test func aWorkerLeavesWhenItIsRelieved() {
        var state = standing()
        var relieved = desired()
        relieved.mayLeave = true
        // Nobody is let go who did not ask.
        #expect(!names(state.hear(relieved, now: start)).contains("end"))
        _ = state.hear(desired(assignment(2)), now: start)
        #expect(names(state.leave(now: start)) == ["report"])
        #expect(state.report(load: .init()).isLeaving)
        #expect(names(state.hear(desired(assignment(2)), now: start)) == [])
        #expect(names(state.hear(relieved, now: start)).last == "end")
        #expect(names(state.leave(now: start)) == [])
        #expect(names(state.tick(now: start + .seconds(60))) == [])
    }

    @Test func whoHasNobodyToAskLeavesAtOnce() {
        var state = make()
        #expect(names(state.leave(now: start)) == ["end"])
        var cut = standing()
        #expect(names(cut.unreached()) == [])
        _ = cut.leave(now: start)
        #expect(names(cut.unreached()).last == "end")
    }

    @Test func aSecondCallEndsAtOnce() {
        var state = standing()
        _ = state.leave(now: start)
        #expect(names(state.leave(now: start)).last == "end")
    }

    @Test func whoIsNotRelievedLeavesAfterTenSeconds() {
        var state = standing()
        _ = state.leave(now: start)
        for second in 1...9 {
            _ = state.hear(desired(assignment()), now: start + .seconds(second))
            #expect(names(state.tick(now: start + .seconds(second))) == [])
        }
        #expect(names(state.tick(now: start + .seconds(10))).last == "end")
    }

    @Test func aSilentCoordinatorIsWaitedForWithoutItsRequests() {
        var state = standing()
        #expect(names(state.tick(now: start + .seconds(10))) == [])
        let actions = names(state.tick(now: start + .milliseconds(10_001)))
        #expect(actions == ["allow nobody", "link nobody", "forget", "report"])
        #expect(names(state.tick(now: start + .seconds(60))) == [])
        // Whoever answers then may know nothing of it.
        #expect(state.report(load: .init()).profile != nil)
        #expect(names(state.hear(desired(assignment(2)), now: start + .seconds(61))).contains("begin 2"))
    }

    @Test func latenessIsToldOnceAndTheWorstOfIt() {
        var state = make()
        for milliseconds in [5, 900, 20] { state.late(by: .milliseconds(milliseconds)) }
        #expect(state.report(load: .init()).lateness == .milliseconds(900))
        #expect(state.report(load: .init()).lateness == .zero)
    }
}
