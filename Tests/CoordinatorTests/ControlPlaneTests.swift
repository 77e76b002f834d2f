import Coordinator
import Speculation
import Testing
import Wire

/// Faults that took a fleet down once, or lost its requests.
@Suite("Control plane")
struct ControlPlaneTests {
    @Test func aPipelineStandsAndAnswers() {
        var fleet = Fleet.standing()
        #expect(fleet.stood == [["w0", "w1"]] && fleet.plane.notReadyReason == nil)
        fleet.begin(1)
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.end(1) == "length")
        // Long after nothing has fallen.
        fleet.pass(.seconds(20))
        #expect(fleet.stood.count == 1 && fleet.epoch?.counter == 1)
    }

    /// Control edge and data edge of a worker reset together: the fault was said once, and lost.
    @Test func aFaultWhoseFirstReportIsLostBringsThePipelineDown() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        let index = fleet.index("w1")
        fleet.members[index].report.fault = "the link from the stage before lost messages: expected 1, found 2"
        // The report is lost, and with it the connection for a moment.
        fleet.members[index].isReached = false
        fleet.pass(.milliseconds(250))
        fleet.members[index].isReached = true
        fleet.pass(.milliseconds(500))
        #expect(fleet.epoch?.counter == 2 && fleet.stood.count == 2)
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.end(1) == "length" && fleet.replays[1] == 1)
    }

    /// Epochs and ids of a coordinator that was started again begin at 1 as the earlier one's did.
    @Test func aRestartedCoordinatorTakesNothingOfTheEarlierOnes() throws {
        var first = Fleet.standing(incarnation: 1)
        var second = Fleet.standing(incarnation: 2)
        first.begin(1)
        second.begin(1)
        let old = try #require(first.epoch)
        let peer = try #require(second.line?.last?.peer)
        #expect(old.counter == second.epoch?.counter)
        #expect(first.microBatches.map(\.id) == second.microBatches.map(\.id))
        #expect(!second.plane.isWanted(old))
        let answer = first.outcome(try #require(first.microBatches.first), token: 99)
        second.plane.receive(Packet(epoch: old, sequence: 1, .outcome(answer)), from: peer, now: second.now)
        second.settle()
        #expect(second.tokens[1] == nil)
        second.work()
        #expect(second.tokens[1] == [42, 43, 44])
    }

    /// One message of hidden rows is lost, and nothing else is about.
    @Test func hiddenRowsLostWithoutFurtherTrafficAreReplayedWithinTwoSeconds() throws {
        var fleet = Fleet.standing()
        fleet.begin(1)
        #expect(fleet.microBatches.count == 1)
        fleet.members[fleet.index("w0")].report.received = 1
        fleet.members[fleet.index("w0")].report.sent = 1
        fleet.pass(.milliseconds(750))
        #expect(fleet.epoch?.counter == 1)
        fleet.pass(.milliseconds(1250))
        #expect(fleet.epoch?.counter == 2 && fleet.stood.count == 2)
        #expect(fleet.logs.contains { $0.contains("messages from worker w0 to worker w1 were lost") })
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.end(1) == "length" && fleet.replays[1] == 1)
    }

    @Test func anAnswerLostOnItsWayToTheCoordinatorIsReplayedToo() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        fleet.count()
        fleet.members[fleet.index("w1")].report.sent = 1
        fleet.pass(.seconds(2))
        #expect(fleet.epoch?.counter == 2)
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    @Test func aLostAssignmentIsToldAgain() {
        var fleet = Fleet()
        for index in 0..<2 { fleet.add("w\(index)") }
        fleet.members[1].isDeaf = true
        fleet.pass(.milliseconds(250))
        let epoch = fleet.epoch
        #expect(epoch?.counter == 1 && fleet.members[1].report.epoch == nil)
        #expect(fleet.plane.notReadyReason == "workers are loading their layers: 1 of 2 are ready")
        fleet.members[1].isDeaf = false
        fleet.pass(.milliseconds(250))
        #expect(fleet.plane.notReadyReason == nil && fleet.epoch == epoch)
    }

    @Test func aForgedOutcomeChangesNothing() throws {
        var fleet = Fleet.standing()
        fleet.begin(1)
        let epoch = try #require(fleet.epoch)
        let forged = fleet.outcome(try #require(fleet.microBatches.first), token: 99)
        let slots = try #require(fleet.line?.slots)
        // A stranger, and a stage that is not the last one; with the right number, and with one that makes a gap.
        for peer in [PeerID.random(), slots[0].data.peer, slots[1].peer] {
            for sequence in [UInt64(1), 2, 99] {
                fleet.plane.receive(
                    Packet(epoch: epoch, sequence: sequence, .outcome(forged)), from: peer, now: fleet.now)
                fleet.settle()
            }
        }
        #expect(fleet.tokens[1] == nil && fleet.epoch == epoch)
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.stood.count == 1)
    }

    @Test func strangersReportsAreNobodysReports() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        // The right epoch and a fault, of a peer that has no place in the line, or none at all.
        let report = Report(incarnation: 9, profileHash: 9, epoch: fleet.epoch, fault: "all is lost", isLeaving: true)
        fleet.plane.hear(report, from: .random(), now: fleet.now)
        fleet.settle()
        #expect(fleet.epoch?.counter == 1)
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    @Test(arguments: [Int32(500), .max, -1]) func aBadTokenEndsItsRequestAloneAndFreesItsSlot(token: Int32) throws {
        // Room for two requests.
        var fleet = Fleet.standing(kvRows: 12)
        for id in UInt64(1)...3 { fleet.begin(id) }
        let first = try #require(fleet.microBatches.first)
        let packets = fleet.packets().count
        var outcome = fleet.outcome(first)
        let victim = try #require(outcome.samples.first?.request)
        outcome.samples[0].token = token
        fleet.answer(.outcome(outcome))
        #expect(fleet.end(victim) == "internalError")
        #expect(fleet.error(victim)?.message.contains("vocabulary of 500") == true)
        // Every stage is told, and once it is free the one that waited comes in.
        let released = fleet.packets().dropFirst(packets).contains { $0.message == .release([victim]) }
        #expect(released)
        for packet in fleet.packets() { if case .release(let ids) = packet.message { fleet.answer(.release(ids)) } }
        #expect(Set(fleet.microBatches.flatMap(\.segments).map(\.request)) == [1, 2, 3])
        #expect(fleet.epoch?.counter == 1 && fleet.stood.count == 1)
        for id in UInt64(1)...3 where id != victim { #expect(fleet.end(id) == "runs") }
    }

    @Test func logitsThatAreNotFiniteEndTheirRequestAlone() throws {
        var fleet = Fleet.standing()
        fleet.begin(1)
        fleet.begin(2)
        for microBatch in fleet.microBatches {
            var outcome = fleet.outcome(microBatch)
            for index in outcome.samples.indices where outcome.samples[index].request == 1 {
                outcome.samples[index].logProbability = .nan
            }
            fleet.answer(.outcome(outcome))
        }
        #expect(fleet.end(1) == "internalError" && fleet.end(2) == "runs")
        #expect(fleet.tokens[1] == nil && fleet.tokens[2] == [42])
    }

    @Test func anAnswerToAMicroBatchThatWasNotSentEndsTheEpoch() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        fleet.answer(.outcome(WireOutcome(microBatch: 77)))
        fleet.pass(.milliseconds(500))
        #expect(fleet.epoch?.counter == 2)
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    @Test func aFaultOfTheEpochBeforeBelongsToThatEpoch() {
        var fleet = Fleet.standing()
        let old = fleet.epoch
        fleet.answer(.outcome(WireOutcome(microBatch: 77)))
        fleet.pass(.milliseconds(250))
        #expect(fleet.epoch != old)
        // A report that was on its way: its sender serves the epoch before, and says what went wrong there.
        let index = fleet.index("w0")
        var late = fleet.members[index].report
        late.epoch = old
        late.fault = "an old story"
        let epoch = fleet.epoch
        fleet.plane.hear(late, from: fleet.members[index].peer, now: fleet.now)
        fleet.settle()
        // Either nothing falls, or all begins anew; what may not be is a pipeline that neither stands nor begins.
        fleet.pass(.seconds(1))
        #expect(fleet.plane.notReadyReason == nil)
        #expect(!fleet.logs.contains { $0.contains("an old story") } || fleet.epoch != epoch)
        fleet.begin(1)
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    @Test func anAddressThatCanNotBeReachedIsNamed() {
        var fleet = Fleet()
        fleet.unreachable = [0]
        for index in 0..<2 { fleet.add("w\(index)") }
        fleet.pass(.seconds(2))
        #expect(fleet.plane.notReadyReason == "the pipeline is being linked")
        fleet.pass(.seconds(2))
        #expect(
            fleet.plane.notReadyReason?.hasPrefix("the coordinator does not reach worker w0 at tcp://127.0.0.1:1000")
                == true)
        #expect(fleet.logs.count { $0.hasPrefix("a stage can't be reached") } == 1)
        // It is reached after all.
        fleet.unreachable = []
        fleet.pass(.milliseconds(500))
        #expect(fleet.plane.notReadyReason == nil)
    }

    /// The time that loading takes is not held against the links.
    @Test func aLongLoadIsNotAnAddressThatCanNotBeReached() {
        var fleet = Fleet()
        fleet.isLoading = true
        for index in 0..<2 { fleet.add("w\(index)") }
        fleet.pass(.seconds(60))
        #expect(fleet.plane.notReadyReason == "workers are loading their layers: 0 of 2 are ready")
        fleet.load()
        fleet.pass(.seconds(2))
        #expect(fleet.plane.notReadyReason == "the pipeline is being linked")
        fleet.link()
        fleet.pass(.milliseconds(500))
        #expect(fleet.plane.notReadyReason == nil)
        #expect(!fleet.logs.contains { $0.hasPrefix("a stage can't be reached") })
    }

    @Test func aWorkerWithOtherWeightsIsRefusedByName() {
        var fleet = Fleet()
        fleet.add("w0", weights: [UInt8](repeating: 3, count: 32))
        fleet.pass(.milliseconds(250))
        let told = fleet.members[0].desired
        #expect(told?.refusal == .otherWeights)
        #expect(told?.reason.contains("030303") == true && told?.reason.contains("070707") == true)
        #expect(fleet.plane.notReadyReason == "0 of 2 workers are here")
    }

    // MARK: Death and return

    /// A spare takes the place, the survivor keeps its layers, and the stream goes on.
    @Test func aClosedConnectionCostsHalfASecondAndNoToken() {
        var fleet = Fleet.standing(spares: 1)
        fleet.begin(1)
        if let first = fleet.microBatches.first { fleet.answer(.outcome(fleet.outcome(first))) }
        #expect(fleet.tokens[1] == [42])
        fleet.members[fleet.index("w0")].isReached = false
        fleet.pass(.seconds(1))
        #expect(fleet.line?.slots.map(\.name) == ["w2", "w1"] && fleet.stood.count == 2)
        // Prompt and the token that was given, at the positions they had.
        let again = fleet.microBatches.first?.segments.first
        #expect(again?.tokens == [1, 2, 3, 4, 42] && again?.positions == [0, 1, 2, 3, 4] && again?.step == 1)
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.end(1) == "length" && fleet.replays[1] == 1)
    }

    @Test func aNewLifeAtTheSameEndpointTakesTheOldOnesPlaceAtOnce() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        let endpoint = fleet.members[1].profile.dataEndpoint
        fleet.members[1].isReached = false
        fleet.add("w1", endpoint: endpoint)
        fleet.hear(2)
        fleet.pass(.milliseconds(500))
        #expect(fleet.line?.slots.last?.peer == fleet.members[2].peer)
        fleet.work()
        #expect(fleet.end(1) == "length" && fleet.tokens[1] == [42, 43, 44])
    }

    @Test func aWorkerThatLeavesIsRelievedAndItsRequestsGoOn() {
        var fleet = Fleet.standing(spares: 1)
        fleet.begin(1)
        fleet.members[0].report.isLeaving = true
        fleet.pass(.milliseconds(500))
        #expect(fleet.members[0].desired?.mayLeave == true && fleet.members[0].desired?.assignment == nil)
        #expect(fleet.line?.slots.map(\.name) == ["w2", "w1"])
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    /// Whoever says that it serves something else has lost the KV of this epoch.
    @Test func aWorkerThatForgotIsNotTrustedWithItsOldPlace() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        fleet.members[1].report.epoch = nil
        fleet.pass(.milliseconds(500))
        #expect(fleet.epoch?.counter == 2)
        fleet.work()
        #expect(fleet.end(1) == "length")
    }

    @Test func aRequestInAnOutageWaitsAndIsAnswered() {
        var fleet = Fleet()
        fleet.begin(1)
        fleet.pass(.seconds(5))
        #expect(fleet.end(1) == "runs")
        for index in 0..<2 { fleet.add("w\(index)") }
        fleet.pass(.milliseconds(500))
        fleet.work()
        #expect(fleet.end(1) == "length" && fleet.replays[1] == nil)
    }

    @Test func aRequestInAnOutageWithoutEndIsToldWhoIsMissing() {
        var fleet = Fleet()
        fleet.begin(1)
        fleet.pass(.seconds(31))
        #expect(fleet.error(1)?.code == .unavailable)
        #expect(fleet.error(1)?.message.contains("0 of 2 workers are here") == true)
    }

    @Test func aStoppingCoordinatorEndsEveryRequestOnce() {
        var fleet = Fleet.standing()
        for id in UInt64(1)...5 { fleet.begin(id) }
        fleet.plane.stop(now: fleet.now)
        fleet.plane.stop(now: fleet.now)
        fleet.settle()
        fleet.begin(6)
        #expect((1...6).allSatisfy { fleet.end($0) == "unavailable" })
        #expect(fleet.members.allSatisfy { $0.desired?.assignment == nil && $0.desired?.mayLeave == true })
        #expect(fleet.plane.notReadyReason == "the coordinator is stopping")
    }

    @Test func whoGivesUpIsTakenOutOfThePipeline() {
        var fleet = Fleet.standing()
        fleet.begin(1)
        fleet.plane.end(1, .failed(RequestError(.cancelled, "gone")), now: fleet.now)
        fleet.settle()
        #expect(fleet.end(1) == "cancelled")
        #expect(fleet.packets().last?.message == .release([1]))
        // What was under way comes to nothing.
        fleet.work()
        #expect(fleet.tokens[1] == nil && fleet.epoch?.counter == 1)
    }
}
