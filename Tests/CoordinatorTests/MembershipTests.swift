import Coordinator
import Layers
import Testing
import Wire

@Suite("Membership")
struct MembershipTests {
    private let start = ContinuousClock.now

    private func make(stall: Duration = .seconds(60)) -> Membership { Membership(limits: .init(stall: stall)) }

    private func profile(_ name: String, at endpoint: String? = nil) -> Profile {
        Profile(
            name: name, fingerprint: [UInt8](repeating: 1, count: 32), model: "m", layerCount: 4,
            dataEndpoint: endpoint ?? "ipc:///\(name)", dataPeer: .random())
    }

    private func report(
        _ name: String? = nil, hash: UInt64 = 1, at endpoint: String? = nil, epoch: Epoch? = nil,
        loaded: Range<Int>? = nil, progress: UInt64 = 0, computed: UInt64 = 0, isBusy: Bool = false,
        lateness: Duration = .zero, cpuWait: Duration = .zero, refused: [Refusals.Reason: Int] = [:]
    ) -> Report {
        Report(
            incarnation: hash, profileHash: hash, profile: name.map { profile($0, at: endpoint) }, epoch: epoch,
            loaded: loaded.map { LayerSpan($0) }, computed: computed, progress: progress, isBusy: isBusy,
            lateness: lateness, cpuWait: cpuWait, refused: refused)
    }

    @discardableResult
    private func hear(_ membership: inout Membership, _ report: Report, _ peer: PeerID, at seconds: Double = 0)
        -> Membership.Hearing?
    {
        try? membership.hear(report, from: peer, now: start + .seconds(seconds), check: { _ in })
    }

    private func lost(_ membership: inout Membership, at seconds: Double) -> [String] {
        membership.lost(now: start + .seconds(seconds)).map(\.why)
    }

    /// Workers say how many there were since their beginning, again and again; each stranger is counted once.
    @Test func strangersOfWorkersAreCountedOnce() {
        var membership = make()
        let (first, second) = (PeerID.random(), PeerID.random())
        func strangers(_ peer: PeerID, _ report: Report) -> [Refusals.Reason: Int] {
            hear(&membership, report, peer)
            return membership.takeStrangers().counts
        }
        // Who is unknown is not believed.
        #expect(strangers(first, report(refused: [.slow: 9])) == [:])
        #expect(strangers(first, report("a", refused: [.slow: 2])) == [.slow: 2])
        #expect(strangers(first, report(refused: [.slow: 2])) == [:])
        #expect(strangers(first, report(refused: [.slow: 5, .forged: 1])) == [.slow: 3, .forged: 1])
        // A report that comes late, or again, takes nothing back.
        #expect(strangers(first, report(refused: [.slow: 2])) == [:])
        #expect(strangers(first, report(refused: [.slow: 6])) == [.slow: 1])
        #expect(strangers(second, report("b", refused: [.slow: 4])) == [.slow: 4])
        // In a new life it counts anew.
        #expect(strangers(first, report("a", hash: 2, refused: [.slow: 1])) == [.slow: 1])
        #expect(strangers(first, report("a", hash: 2, refused: [.slow: .max])) == [.slow: .max - 1])
    }

    @Test func aStrangerIsUnknownUntilItSaysWhoItIs() {
        var membership = make()
        let peer = PeerID.random()
        guard case .unknown = hear(&membership, report(), peer) else {
            Issue.record("taken without a profile")
            return
        }
        #expect(membership.all.isEmpty)
        guard case .joined(let replaced) = hear(&membership, report("w"), peer) else {
            Issue.record("not taken")
            return
        }
        #expect(replaced == [] && membership[peer]?.profile.name == "w")
        guard case .known = hear(&membership, report(), peer) else {
            Issue.record("not known")
            return
        }
        // Its profile changed: it must be told again.
        guard case .unknown = hear(&membership, report(hash: 2), peer) else {
            Issue.record("another profile was taken for the same")
            return
        }
    }

    @Test func aRefusedOneIsNoMember() {
        var membership = make()
        let refused = Membership.Refused(.otherWeights, "no")
        #expect(throws: refused) {
            _ = try membership.hear(
                report("w"), from: .random(), now: start, check: { _ throws(Membership.Refused) in throw refused })
        }
        #expect(membership.all.isEmpty)
    }

    @Test func aClosedConnectionCountsAfterHalfASecond() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        membership.reached(peer, false, now: start)
        membership.reached(peer, false, now: start + .milliseconds(400))
        #expect(lost(&membership, at: 0.499) == [])
        #expect(lost(&membership, at: 0.5) == ["closed its connection"])
        // Told once.
        #expect(lost(&membership, at: 0.6) == [])
        #expect(membership.alive.isEmpty && membership.all.count == 1)
        // It is alive again when it is heard.
        hear(&membership, report(), peer, at: 1)
        #expect(membership.alive.count == 1)
    }

    @Test func whoIsBackInTimeWasNeverAway() {
        for isHeard in [true, false] {
            var membership = make()
            let peer = PeerID.random()
            hear(&membership, report("w"), peer)
            membership.reached(peer, false, now: start)
            if isHeard {
                hear(&membership, report(), peer, at: 0.4)
            } else {
                membership.reached(peer, true, now: start + .milliseconds(400))
            }
            #expect(lost(&membership, at: 0.6) == [])
        }
    }

    @Test func aSilentOneCountsAfterThreeSeconds() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        #expect(lost(&membership, at: 3) == [])
        #expect(lost(&membership, at: 3.01) == ["has been silent for 3 s"])
    }

    @Test func whoSaidThatItIsLateIsWaitedForLonger() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        hear(&membership, report(lateness: .milliseconds(1000)), peer)
        #expect(lost(&membership, at: 7.9) == [])
        #expect(lost(&membership, at: 8.1) == ["has been silent for 8 s"])
        // But not for ever, whatever it says.
        var liar = make()
        hear(&liar, report("w"), peer)
        hear(&liar, report(lateness: .seconds(60)), peer)
        #expect(lost(&liar, at: 15) == [])
        #expect(lost(&liar, at: 15.1).count == 1)
    }

    @Test func latenessIsForgotten() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        hear(&membership, report(lateness: .seconds(1)), peer, at: 0)
        for second in 1...20 { hear(&membership, report(), peer, at: Double(second)) }
        #expect(lost(&membership, at: 23.1) == ["has been silent for 3 s"])
    }

    @Test func aLateCoordinatorAccusesNobody() {
        var membership = make()
        let peers = [PeerID.random(), PeerID.random()]
        for (index, peer) in peers.enumerated() { hear(&membership, report("w\(index)"), peer) }
        membership.reached(peers[1], false, now: start + .milliseconds(100))
        // It did not run for ten seconds.
        membership.late(by: .seconds(10), now: start + .seconds(10))
        #expect(lost(&membership, at: 10.1) == [])
        // And is patient for a while, as it may be again.
        hear(&membership, report(), peers[0], at: 10.2)
        hear(&membership, report(), peers[1], at: 10.2)
        #expect(lost(&membership, at: 18) == [])
    }

    // MARK: Hanging

    private let epoch = Epoch(incarnation: 1, counter: 1)

    private func busy(_ progress: UInt64 = 5, computed: UInt64 = 0) -> Report {
        report(epoch: epoch, loaded: 0..<4, progress: progress, computed: computed, isBusy: true)
    }

    @Test func aBusyOneWithoutProgressHangs() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        var found: [String] = []
        for second in 0...61 {
            hear(&membership, busy(), peer, at: Double(second))
            found += lost(&membership, at: Double(second))
        }
        #expect(found == [])
        hear(&membership, busy(), peer, at: 62)
        #expect(lost(&membership, at: 62) == ["computes without progress for 60 s"])
    }

    @Test func aStallIsCountedFromTheMomentItBecameBusy() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        // Idle for ten minutes with the same progress.
        for second in 0..<600 {
            hear(&membership, report(epoch: epoch, loaded: 0..<4, progress: 5), peer, at: Double(second))
        }
        hear(&membership, busy(), peer, at: 600)
        hear(&membership, busy(), peer, at: 601)
        #expect(lost(&membership, at: 601) == [])
    }

    /// A load of any length is no stall, and does not count afterwards.
    @Test func loadingIsNoStall() {
        var membership = make(stall: .seconds(10))
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        for second in 0..<300 {
            hear(&membership, report(epoch: epoch, loaded: nil, isBusy: true), peer, at: Double(second))
            #expect(lost(&membership, at: Double(second)) == [])
        }
        // The first report after the load is of a busy worker that has not computed a layer.
        hear(&membership, report(epoch: epoch, loaded: 0..<4, isBusy: true), peer, at: 300)
        for second in 301...310 {
            hear(&membership, report(epoch: epoch, loaded: 0..<4, isBusy: true), peer, at: Double(second))
            #expect(lost(&membership, at: Double(second)) == [])
        }
    }

    /// Whose threads get no CPU makes no progress and does not hang, as long as that is to be believed.
    @Test func starvingIsNoStall() {
        var membership = make(stall: .seconds(10))
        let peer = PeerID.random()
        hear(&membership, report("w", cpuWait: .seconds(500)), peer)
        func starve(_ second: Int) {
            hear(
                &membership,
                report(
                    epoch: epoch, loaded: 0..<4, isBusy: true,
                    cpuWait: .seconds(500) + .milliseconds(950) * max(0, second - 5)), peer, at: Double(second))
        }
        for second in 0...100 {
            starve(second)
            #expect(lost(&membership, at: Double(second)) == [], "after \(second) s")
        }
        starve(102)
        #expect(lost(&membership, at: 102) == ["computes without progress for 10 s"])
    }

    /// A host whose CPUs others have is silent for longer than one that is gone, and not for ever.
    @Test func whoStarvesMayBeSilentForLonger() {
        var membership = make()
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        hear(&membership, report(cpuWait: .seconds(0.9)), peer, at: 1)
        #expect(lost(&membership, at: 15) == [])
        #expect(lost(&membership, at: 16.5) == ["has been silent for 15 s"])
        // One that has what it wants, or waits for half of it, is given three.
        hear(&membership, report(cpuWait: .seconds(1)), peer, at: 40)
        hear(&membership, report(cpuWait: .seconds(1.5)), peer, at: 41)
        #expect(lost(&membership, at: 44.5) == ["has been silent for 3 s"])
    }

    @Test func anyProgressEndsAStall() {
        var membership = make(stall: .seconds(10))
        let peer = PeerID.random()
        hear(&membership, report("w"), peer)
        for second in 0...100 {
            let step = UInt64(second / 9)
            hear(
                &membership, second % 2 == 0 ? busy(step) : busy(step, computed: 0), peer, at: Double(second))
            #expect(lost(&membership, at: Double(second)) == [])
        }
    }

    // MARK: New lives

    @Test func aNewLifeAtTheSameEndpointReplacesTheOld() {
        var membership = make()
        let (old, new, other) = (PeerID.random(), PeerID.random(), PeerID.random())
        hear(&membership, report("w", at: "tcp://127.0.0.1:5"), old)
        hear(&membership, report("v", at: "tcp://127.0.0.1:6"), other)
        guard case .joined(let replaced) = hear(&membership, report("w", hash: 2, at: "tcp://127.0.0.1:5"), new) else {
            Issue.record("not taken")
            return
        }
        #expect(replaced == [old])
        #expect(membership[old] == nil && Set(membership.all.map(\.peer)) == [new, other])
    }

    @Test func whoIsGoneForAMinuteIsForgotten() {
        var membership = make()
        hear(&membership, report("w"), .random())
        _ = lost(&membership, at: 4)
        _ = lost(&membership, at: 59)
        #expect(membership.all.count == 1)
        _ = lost(&membership, at: 61)
        #expect(membership.all.isEmpty)
    }

    @Test func strangersFillNoMemory() {
        var membership = make()
        var full = 0
        for index in 0..<1100 {
            if case .full = hear(&membership, report("w\(index)"), .random()) { full += 1 }
        }
        #expect(membership.all.count == 1024 && full == 76)
    }

    @Test func namesAreOrderedAsPeopleReadThem() {
        var membership = make()
        for name in ["worker-10", "worker-2", "alone", "worker-0", "worker-2"] {
            hear(&membership, report(name, at: "ipc:///\(name)-\(membership.all.count)"), .random())
        }
        #expect(membership.all.map(\.profile.name) == ["alone", "worker-0", "worker-2", "worker-2", "worker-10"])
        let twins = membership.all.filter { $0.profile.name == "worker-2" }.map(\.order)
        #expect(twins == twins.sorted())
    }
}
