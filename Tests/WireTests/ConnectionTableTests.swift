import Testing
import Wire

/// Which connections are counted as strangers', and which are cut, from what libzmq tells.
@Suite("Connection table")
struct ConnectionTableTests {
    private let start = ContinuousClock.now
    private func address(_ host: Int, _ port: Int = 1) -> PeerAddress {
        PeerAddress(host: "10.0.0.\(host)", port: UInt16(port))
    }
    private func table(patience: Duration = .zero, total: Int = 1000) -> ConnectionTable {
        ConnectionTable(.init(total: total, patience: patience))
    }

    @Test(
        arguments: [
            (.otherMechanism, .milliseconds(1), .noKey), (.cryptography, .milliseconds(1), .forged),
            (.malformed, .milliseconds(1), .malformed), (.ended, .milliseconds(1), .left),
            (.ended, .seconds(2), .slow), (nil, .milliseconds(1), .malformed),
        ] as [(ConnectionTable.Failure?, Duration, Refusals.Reason)])
    func aHandshakeThatFailsIsCounted(failure: ConnectionTable.Failure?, after: Duration, reason: Refusals.Reason) {
        var table = table()
        _ = table.note(.accepted(7, from: address(1)), now: start)
        if let failure { _ = table.note(.failed(failure), now: start + after) }
        _ = table.note(.disconnected(7), now: start + after)
        let refusals = table.takeRefusals()
        #expect(refusals.counts == [reason: 1] && refusals.last.hasPrefix("10.0.0.1:1, "))
        #expect(table.takeRefusals().isEmpty && table.count == 0)
    }

    @Test func whoWasLetInIsNoStranger() {
        var table = table()
        for descriptor in Int32(1)...3 { _ = table.note(.accepted(descriptor, from: address(1)), now: start) }
        for _ in 1...3 { _ = table.note(.succeeded, now: start) }
        #expect(table.spoke(1, isInvited: true, now: start) == nil)
        for descriptor in Int32(1)...3 { _ = table.note(.disconnected(descriptor), now: start) }
        #expect(table.takeRefusals().isEmpty)
    }

    /// The guest list counts whom it refuses.
    @Test func whoWasRefusedIsNotCountedTwice() {
        var table = table()
        _ = table.note(.accepted(1, from: address(1)), now: start)
        _ = table.note(.accepted(2, from: address(2)), now: start)
        _ = table.note(.failed(.denied), now: start)
        _ = table.note(.failed(.otherMechanism), now: start)
        _ = table.note(.disconnected(2), now: start)
        _ = table.note(.disconnected(1), now: start + .seconds(2))
        #expect(table.takeRefusals().counts == [.noKey: 1])
    }

    @Test func aFloodOfHandshakesCostsItsHostItsOldest() {
        var table = table()
        #expect(table.note(.accepted(1000, from: address(2)), now: start).isEmpty)
        var cuts: [ConnectionTable.Cut] = []
        for number in 1...200 {
            cuts += table.note(
                .accepted(Int32(number), from: address(1, number)), now: start + .milliseconds(number))
        }
        #expect(cuts.map(\.descriptor) == (1...137).map(Int32.init))
        #expect(cuts.first?.address == address(1, 1))
        #expect(table.takeRefusals().counts == [.flood: 137] && table.count == 64)
        // The ends of those that were cut say nothing new.
        for cut in cuts {
            _ = table.note(.failed(.ended), now: start)
            _ = table.note(.disconnected(cut.descriptor), now: start)
        }
        #expect(table.takeRefusals().isEmpty && table.count == 64)
    }

    @Test func whoHasSpokenOrStoodLongIsNoFlood() {
        var table = table()
        for number in Int32(1)...64 {
            _ = table.note(.accepted(number, from: address(1, Int(number))), now: start)
            _ = table.note(.succeeded, now: start)
            if number % 2 == 0 { #expect(table.spoke(number, isInvited: true, now: start) == nil) }
        }
        let later = start + .seconds(4)
        for number in Int32(65)...128 {
            #expect(table.note(.accepted(number, from: address(2, Int(number))), now: later).isEmpty)
        }
        #expect(table.note(.accepted(129, from: address(2, 129)), now: later).map(\.descriptor) == [65])
    }

    @Test func thereIsRoomForSoMany() {
        var table = table(total: 10)
        for number in Int32(1)...10 {
            _ = table.note(.accepted(number, from: address(1)), now: start)
            _ = table.spoke(number, isInvited: true, now: start)
        }
        #expect(table.note(.accepted(11, from: address(3)), now: start).map(\.descriptor) == [11])
        _ = table.note(.disconnected(11), now: start)
        _ = table.note(.disconnected(1), now: start)
        #expect(table.note(.accepted(1, from: address(3)), now: start).isEmpty)
    }

    @Test func whoIsNoLongerInvitedIsCutOffOnceItSpeaksOn() {
        var table = table(patience: .seconds(5))
        _ = table.note(.accepted(1, from: address(1)), now: start)
        #expect(table.spoke(1, isInvited: true, now: start) == nil)
        #expect(table.spoke(1, isInvited: false, now: start + .seconds(1)) == nil)
        #expect(table.spoke(1, isInvited: true, now: start + .seconds(2)) == nil)
        #expect(table.spoke(1, isInvited: false, now: start + .seconds(7)) == nil)
        #expect(table.spoke(1, isInvited: false, now: start + .seconds(11)) == nil)
        #expect(table.spoke(1, isInvited: false, now: start + .seconds(12))?.descriptor == 1)
        #expect(table.takeRefusals().counts == [.revoked: 1])
        // An unknown connection is nobody's.
        #expect(table.spoke(9, isInvited: false, now: start) == nil)
    }
}
