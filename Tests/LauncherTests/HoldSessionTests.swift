// What the far end of a connection does, event by event.

import Launcher
import Testing

@Suite("Hold")
struct HoldSessionTests {
    private static let order = HoldOrder(name: "n/worker-0", arguments: ["worker", "a\nb"], environment: ["K": "v"])

    private func running() -> HoldSession {
        var session = HoldSession()
        #expect(session.handle(.line(Array(Self.order.line.dropLast()))) == [.start(Self.order)])
        return session
    }

    @Test func anOrderIsOneLine() {
        #expect(Self.order.line.filter { $0 == UInt8(ascii: "\n") }.count == 1)
        #expect(HoldOrder(line: Array(Self.order.line.dropLast())) == Self.order)
    }

    @Test func itPassesSignalsOnAndEndsWithItsProcess() {
        var session = running()
        #expect(session.handle(.line(HoldWord.terminate.line.dropLast())) == [.terminate])
        #expect(session.handle(.line(HoldWord.kill.line.dropLast())) == [.kill])
        #expect(session.handle(.signal) == [.terminate])
        #expect(session.handle(.line(Array("what a later launcher says".utf8))) == [])
        #expect(session.handle(.ended(65)) == [.exit(65)])
        #expect(session.handle(.inputEnded) == [])
    }

    @Test func theEndOfInputEndsTheProcessAndThenKillsIt() {
        var session = running()
        let first = session.handle(.inputEnded)
        #expect(first.last == .terminate)
        for _ in 1..<HoldSession.grace { #expect(session.handle(Self.tick) == []) }
        #expect(session.handle(Self.tick) == [.kill])
        #expect(session.handle(Self.tick) == [])
        #expect(session.handle(.ended(137)) == [.exit(137)])
    }

    private static let tick = HoldSession.Event.tick(retransmissions: 0)
    private static let cut = HoldSession.Event.tick(retransmissions: HoldWord.cutRetransmissions)

    @Test func silenceEndsTheProcessAndAWordBreaksIt() {
        var session = running()
        func wait(_ seconds: Int) {
            for second in 1...seconds {
                let said = session.handle(Self.tick)
                if second == HoldWord.suspicion {
                    guard case .say? = said.first, said.count == 1 else {
                        Issue.record("said \(said)")
                        continue
                    }
                } else {
                    #expect(said == [], "second \(second)")
                }
            }
        }
        wait(HoldWord.patience - 1)
        #expect(session.handle(.line(HoldWord.alive.line.dropLast())) == [])
        wait(HoldWord.patience - 1)
        #expect(session.handle(Self.tick).last == .terminate)
    }

    /// A cut link ends it soon, a launcher that is only late does not, nor does a packet that was lost.
    @Test func aCutConnectionEndsTheProcessSoon() {
        var session = running()
        for second in 1..<HoldWord.cutPatience {
            #expect(session.handle(Self.cut) == [] || second == HoldWord.suspicion)
        }
        #expect(session.handle(Self.cut).last == .terminate)
        #expect(session.handle(Self.cut) == [] && session.handle(Self.cut) == [.kill])

        var late = running()
        for _ in 1...HoldWord.cutPatience { #expect(late.handle(Self.tick).last != .terminate) }
        for _ in 1..<10 {
            #expect(late.handle(.tick(retransmissions: HoldWord.cutRetransmissions - 1)).last != .terminate)
        }
        #expect(late.handle(Self.cut).last == .terminate)
    }

    /// Rows as Linux writes them: of IPv4, of IPv4 at a socket of IPv6, of IPv6.
    @Test(
        arguments: [
            ("10.77.0.254 51234 10.77.0.2 22", "02004D0A:0016 FE004D0A:C822"),
            (
                "10.77.0.254 51234 10.77.0.2 22",
                "0000000000000000FFFF000002004D0A:0016 0000000000000000FFFF0000FE004D0A:C822"
            ),
            ("fd00::1 51234 fd00::2 22", "000000FD000000000000000002000000:0016 000000FD000000000000000001000000:C822"),
        ])
    func aConnectionIsKnownByItsEnds(said: String, ends: String) throws {
        let connection = try #require(SSHConnection(said))
        func row(_ ends: String, _ count: String) -> String {
            "   3: \(ends) 01 00000048:00000000 01:000000C4 000000\(count)     0        0 71 4 0000000000000000 20 4 1 10 -1\n"
        }
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        let other = row("00000000:0016 00000000:0000", "09")
        #expect(connection.retransmissions(in: head + other + row(ends, "0A")) == 10)
        #expect(connection.retransmissions(in: head + other) == 0 && connection.retransmissions(in: "") == 0)
        #expect(SSHConnection("host 1 host 2") == nil && SSHConnection("") == nil)
    }

    @Test func whoHasNoOrderStartsNothing() {
        var garbage = HoldSession()
        #expect(garbage.handle(.line(Array("{}".utf8))).last == .exit(64))
        var silent = HoldSession()
        for _ in 1..<HoldWord.patience { #expect(silent.handle(Self.tick) == []) }
        #expect(silent.handle(Self.tick) == [.exit(75)])
        var closed = HoldSession()
        #expect(closed.handle(.inputEnded) == [.exit(0)])
    }
}
