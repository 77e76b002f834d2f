// Whose key may join, and whose is lost.

import Coordinator
import Speculation
import Testing
import Wire

@Suite("Control plane: keys")
struct ControlPlaneKeyTests {
    private static func key(_ byte: UInt8) -> PublicKey? { PublicKey([UInt8](repeating: byte, count: 32)) }

    /// Keys 1 to 3 are w0's, w1's and s0's; key 4 is on no list.
    private func keyed() -> Fleet {
        var list = AllowList()
        for (byte, name, role) in [(1, "w0", .stage), (2, "w1", .stage), (3, "s0", .speculator)]
            as [(UInt8, String, WorkerRole)]
        {
            if let key = Self.key(byte) { list.add(.init(role: role, name: name, key: key)) }
        }
        var fleet = Fleet(speculators: true)
        fleet.plane.allow(list, now: fleet.now)
        return fleet
    }

    @Test(
        arguments: [
            ("w0", WorkerRole.stage, 4, "not on the coordinator's list"),
            ("w0", .stage, 0, "not on the coordinator's list"),
            ("w0", .stage, 2, "its key is w1's"), ("s0", .speculator, 1, "is for a stage"),
            ("w0", .stage, 3, "is for a speculator"),
        ] as [(String, WorkerRole, UInt8, String)])
    func whoseKeyIsAnothersIsRefused(name: String, role: WorkerRole, key: UInt8, says: String) {
        var fleet = keyed()
        fleet.add(name, role: role, key: key == 0 ? nil : Self.key(key))
        fleet.pass(.milliseconds(250))
        #expect(fleet.members[0].desired?.refusal == .notAllowed)
        #expect(fleet.members[0].desired?.reason.contains(says) == true, "\(fleet.members[0].desired?.reason ?? "")")
        #expect(fleet.plane.lines.isEmpty)
    }

    /// An edge is told by whom alone it may be used, and who must answer.
    @Test func neighboursKnowEachOthersKeys() throws {
        var fleet = keyed()
        fleet.add("w0", key: Self.key(1))
        fleet.add("w1", key: Self.key(2))
        fleet.pass(.milliseconds(600))
        #expect(fleet.stood == [["w0", "w1"]])
        let first = try #require(fleet.members[0].desired?.assignment)
        let last = try #require(fleet.members[1].desired?.assignment)
        #expect(first.nextKey == Self.key(2) && last.previous.key == Self.key(1))
        #expect(last.previous.peer == fleet.members[0].profile.dataPeer)
        #expect(first.previous.key == nil && last.nextKey == nil)  // the coordinator's own, which it has none of here
        // Under another's name for this connection nobody is heard, whatever key it has.
        fleet.plane.hear(fleet.members[1].report, from: fleet.members[0].peer, key: Self.key(2), now: fleet.now)
        fleet.settle()
        #expect(fleet.stood.count == 1 && fleet.epoch?.counter == 1)
    }

    @Test func aRevokedKeyIsLostAtOnceAndItsRequestsGoOnElsewhere() throws {
        var fleet = keyed()
        fleet.add("w0", key: Self.key(1))
        fleet.add("w1", key: Self.key(2))
        fleet.pass(.milliseconds(600))
        fleet.begin(1)
        var list = AllowList()
        for (byte, name) in [(1, "w0"), (5, "w2")] as [(UInt8, String)] {
            list.add(.init(role: .stage, name: name, key: try #require(Self.key(byte))))
        }
        fleet.plane.allow(list, now: fleet.now)
        fleet.settle()
        #expect(fleet.plane.notReadyReason != nil)
        fleet.pass(.milliseconds(500))
        #expect(fleet.members[1].desired?.refusal == .notAllowed && fleet.plane.notReadyReason != nil)
        fleet.add("w2", key: Self.key(5))
        fleet.pass(.milliseconds(600))
        #expect(fleet.stood == [["w0", "w1"], ["w0", "w2"]])
        fleet.work()
        #expect(fleet.tokens[1] == [42, 43, 44] && fleet.end(1) == "length" && fleet.replays[1] == 1)
    }
}
