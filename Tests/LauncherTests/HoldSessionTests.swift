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
        for _ in 1..<HoldSession.grace { #expect(session.handle(.tick) == []) }
        #expect(session.handle(.tick) == [.kill])
        #expect(session.handle(.tick) == [])
        #expect(session.handle(.ended(137)) == [.exit(137)])
    }

    @Test func silenceEndsTheProcessAndAWordBreaksIt() {
        var session = running()
        for _ in 1..<HoldWord.patience { #expect(session.handle(.tick) == []) }
        #expect(session.handle(.line(HoldWord.alive.line.dropLast())) == [])
        for _ in 1..<HoldWord.patience { #expect(session.handle(.tick) == []) }
        #expect(session.handle(.tick).last == .terminate)
    }

    @Test func whoHasNoOrderStartsNothing() {
        var garbage = HoldSession()
        #expect(garbage.handle(.line(Array("{}".utf8))).last == .exit(64))
        var silent = HoldSession()
        for _ in 1..<HoldWord.patience { #expect(silent.handle(.tick) == []) }
        #expect(silent.handle(.tick) == [.exit(75)])
        var closed = HoldSession()
        #expect(closed.handle(.inputEnded) == [.exit(0)])
    }
}
