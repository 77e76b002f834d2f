// How many handshakes an address may begin.

import Gateway
import Testing

@Suite("Ration of handshakes")
struct HandshakeRationTests {
    private let start = ContinuousClock.now

    /// Whether handshakes of these addresses may begin, one after the other.
    private func admit(
        _ ration: inout HandshakeRation, _ addresses: [String], at seconds: Double = 0
    ) -> [Bool] {
        addresses.map { ration.admit($0, start + .seconds(seconds)) }
    }

    private func times(_ count: Int, _ address: String) -> [String] { [String](repeating: address, count: count) }

    @Test("So many at once, then so many a second; each address by itself")
    func pace() {
        var ration = HandshakeRation(pace: 10, size: 5)
        #expect(admit(&ration, times(8, "a")) == [true, true, true, true, true, false, false, false])
        #expect(admit(&ration, ["b"]) == [true])
        #expect(admit(&ration, ["a"], at: 0.05) == [false])
        #expect(admit(&ration, ["a", "a"], at: 0.11) == [true, false])
        // Whoever knocks all day gets its pace and no more.
        let admitted = (1...1000).flatMap { admit(&ration, ["a"], at: 0.11 + 0.01 * Double($0)) }
        #expect((100...101).contains(admitted.count { $0 }))
        // After a rest as many at once as ever, and a clock that stands back harms nobody.
        #expect(admit(&ration, times(6, "a"), at: 60).count { $0 } == 5)
        #expect(admit(&ration, ["b"], at: -5) == [true])
    }

    @Test("Addresses are forgotten once they rest; those beyond share one stock")
    func memory() {
        var ration = HandshakeRation(pace: 1, size: 2)
        let many = (0..<HandshakeRation.mostAddresses).map { "\($0)" }
        #expect(admit(&ration, many).allSatisfy { $0 } && ration.count == many.count)
        #expect(admit(&ration, ["x", "y", "z", "x"]) == [true, true, false, false])
        #expect(ration.count == many.count)
        #expect(admit(&ration, ["0"]) == [true])
        #expect(admit(&ration, ["late"], at: 1.5) == [true])
        // The one that began twice is not full again yet.
        #expect(ration.count == 2)
    }
}
