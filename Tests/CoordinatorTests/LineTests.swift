import Coordinator
import Layers
import Testing
import Wire

@Suite("Line")
struct LineTests {
    private let start = ContinuousClock.now
    private let epoch = Epoch(incarnation: 1, counter: 4)
    private let peers = [PeerID.random(), .random(), .random()]

    private func make() -> Line {
        Line(
            kind: .pipeline(0), name: "main", epoch: epoch,
            slots: peers.enumerated().map { index, peer in
                Line.Slot(
                    peer: peer, data: Guest(.random()), dataEndpoint: "tcp://127.0.0.1:\(index + 1)", name: "w\(index)",
                    layers: LayerSpan(sublayers: index..<index + 1))
            }, kvRows: 100, arithmetic: "a", since: start)
    }

    private func report(
        received: UInt64 = 0, sent: UInt64 = 0, epoch: Epoch?? = nil, fault: String? = nil, loaded: Range<Int>? = nil,
        isLinked: Bool = true
    ) -> Report {
        Report(
            incarnation: 1, profileHash: 1, epoch: epoch ?? self.epoch, loaded: loaded.map { LayerSpan(sublayers: $0) },
            isLinked: isLinked,
            fault: fault, received: received, sent: sent)
    }

    private func judge(_ line: inout Line, _ index: Int, _ reports: [Report?], at seconds: Double) -> String? {
        line.judge(index, reports: reports, now: start + .seconds(seconds), lossLimit: .seconds(1))
    }

    /// Sends so many messages to the first stage.
    private func send(_ line: inout Line, _ count: Int) {
        line.isStanding = true
        for _ in 0..<count {
            line.send(.release([]))
            line.didSend()
        }
    }

    /// An edge by its number, the reports when a message on it is lost, who reports it, and what is said.
    private func loss(on edge: Int) -> (reports: [Report?], index: Int, text: String) {
        let reports = (0..<3).map { index in
            // Everything before the edge came through, everything behind it did not.
            report(received: index < edge ? 5 : 4, sent: index < edge ? 5 : 4)
        }
        let from = edge == 0 ? "the coordinator" : "worker w\(edge - 1)"
        let to = edge == 3 ? "the coordinator" : "worker w\(edge)"
        return (reports, min(edge, 2), "messages from \(from) to \(to) were lost")
    }

    @Test(arguments: 0...3) func aLostMessageIsKnownAfterASecondOnEachEdge(edge: Int) {
        var line = make()
        send(&line, 5)
        for sequence in 1...(edge == 3 ? 4 : 4) {
            let verdict = line.check.check(Packet(epoch: epoch, sequence: UInt64(sequence), .release([])))
            #expect(verdict == .inOrder)
        }
        let (reports, index, text) = loss(on: edge)
        for seconds in [0, 0.25, 0.5, 0.75, 0.99] {
            for stage in 0..<3 { #expect(judge(&line, stage, reports, at: seconds) == nil) }
        }
        #expect(judge(&line, index, reports, at: 1) == text)
    }

    /// What moves is not lost, however far behind it is.
    @Test func whatIsOnItsWayIsNotLost() {
        var line = make()
        send(&line, 100)
        for second in 0..<20 {
            let reports = [report(received: UInt64(second), sent: 0), report(), report()]
            #expect(judge(&line, 0, reports, at: Double(second) * 0.9) == nil)
        }
    }

    @Test func aMessageThatComesAfterAllEndsTheCount() {
        var line = make()
        send(&line, 5)
        let behind = [report(received: 4), report(), report()]
        #expect(judge(&line, 0, behind, at: 0) == nil)
        #expect(judge(&line, 0, [report(received: 5), report(), report()], at: 0.9) == nil)
        send(&line, 1)
        #expect(judge(&line, 0, [report(received: 5), report(), report()], at: 1.8) == nil)
        #expect(judge(&line, 0, [report(received: 5), report(), report()], at: 2.7) == nil)
        #expect(judge(&line, 0, [report(received: 5), report(), report()], at: 2.81) != nil)
    }

    @Test func aLateCoordinatorAccusesNobody() {
        var line = make()
        send(&line, 5)
        let behind = [report(received: 4), report(), report()]
        #expect(judge(&line, 0, behind, at: 0) == nil)
        line.couldNotSend(now: start)
        line.late(by: .seconds(10))
        #expect(judge(&line, 0, behind, at: 10.5) == nil)
        #expect(!line.isBlocked(now: start + .seconds(11)))
        #expect(line.isBlocked(now: start + .seconds(14)))
        #expect(judge(&line, 0, behind, at: 11.1) != nil)
    }

    @Test func whoeverTookItsPlaceMayNotLeaveIt() {
        for other in [nil, Epoch(incarnation: 1, counter: 3), Epoch(incarnation: 2, counter: 4)] {
            var line = make()
            let away = [report(epoch: .some(other)), report(), report()]
            // Its assignment may still be on its way.
            #expect(judge(&line, 0, away, at: 0) == nil)
            #expect(judge(&line, 0, away, at: 100) == nil)
            #expect(judge(&line, 0, [report(), report(), report()], at: 101) == nil)
            #expect(judge(&line, 0, away, at: 102) == "worker w0 has left its place")
        }
    }

    @Test func aFaultIsOneOfItsOwnEpochOnly() {
        var line = make()
        let old = report(epoch: Epoch(incarnation: 1, counter: 3), fault: "an old story")
        #expect(judge(&line, 1, [nil, old, nil], at: 0) == nil)
        #expect(judge(&line, 1, [nil, report(fault: "cut"), nil], at: 0) == "worker w1 reports: cut")
    }

    @Test func itIsCompleteWhenAllHaveTheirLayersAndLinks() {
        var line = make()
        let ready = (0..<3).map { report(loaded: $0..<$0 + 1) }
        #expect(!line.isComplete(ready))
        line.isLinked = true
        #expect(line.isComplete(ready))
        for index in 0..<3 {
            var reports: [Report?] = ready
            reports[index] = nil
            #expect(!line.isComplete(reports))
            for bad in [
                report(), report(loaded: 0..<3), report(loaded: index..<index + 1, isLinked: false),
                report(fault: "x", loaded: index..<index + 1), report(epoch: .some(nil), loaded: index..<index + 1),
            ] {
                reports[index] = bad
                #expect(!line.isComplete(reports))
            }
        }
    }

    @Test func whatIsMissingIsNamed() {
        var line = make()
        // Looked at from the beginning, and once more.
        func text(_ reports: [Report?], at seconds: Double = 5) -> String {
            for second in [0, seconds] { line.look(at: reports, now: start + .seconds(second)) }
            return line.missingText(reports, results: "tcp://far:1", now: start + .seconds(seconds))
        }
        var reports: [Report?] = (0..<3).map { report(loaded: $0..<$0 + 1) }
        #expect(text([nil, reports[1], report()]) == "workers are loading their layers: 1 of 3 are ready")
        #expect(text(reports, at: 1) == "the pipeline is being linked")
        // Links are waited for from the end of the loading on.
        _ = text([nil, nil, nil], at: 60)
        line.look(at: reports, now: start + .seconds(60))
        #expect(line.missingText(reports, results: "", now: start + .seconds(62)) == "the pipeline is being linked")
        #expect(line.isUnreached(now: start + .seconds(63)))
        _ = text([nil, nil, nil])
        #expect(text(reports).hasPrefix("the coordinator does not reach worker w0 at tcp://127.0.0.1:1: is it an"))
        reports[2]?.isLinked = false
        #expect(text(reports).contains("worker w2 does not reach the coordinator's results endpoint tcp://far:1"))
        reports[1]?.isLinked = false
        #expect(text(reports).contains("worker w1 does not reach worker w2 at tcp://127.0.0.1:3"))
        line.isLinked = true
        #expect(text(reports).contains("w1"))
    }
}
