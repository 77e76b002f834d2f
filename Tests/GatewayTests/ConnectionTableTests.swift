// Who is closed to make room for whom, and who is refused.

import Gateway
import Testing

@Suite("Connection table")
struct ConnectionTableTests {
    private func table(total: Int = 4, perAddress: Int = 3, reserve: Int = 1) -> ConnectionTable {
        ConnectionTable(limits: .init(total: total, perAddress: perAddress, reserve: reserve))
    }

    @Test("The connection that waits longest makes room")
    func oldest() {
        var table = table()
        for id in 1...5 { #expect(table.open(id, from: "host \(id)") == nil) }
        #expect(table.begin(1, isProbe: false) == true)
        table.end(1)
        // 1 was busy after 2 came, so 2 waits longest.
        #expect(table.open(6, from: "host 6") == 2)
        table.close(2)
        #expect(table.open(7, from: "host 7") == 3)
    }

    @Test("A busy connection makes no room; when all are busy the newcomer goes")
    func busy() {
        var table = table(total: 2, perAddress: 2, reserve: 1)
        for id in 1...3 {
            #expect(table.open(id, from: "host \(id)") == nil)
            #expect(table.begin(id, isProbe: id == 3) == true)
        }
        #expect(table.open(4, from: "host 4") == 4)
        table.close(4)
        table.end(3)
        #expect(table.open(5, from: "host 5") == 3)
    }

    @Test("One address makes room for itself")
    func perAddress() {
        var table = table(total: 100, perAddress: 3, reserve: 1)
        #expect(table.open(0, from: "other") == nil)
        for id in 1...4 { #expect(table.open(id, from: "crowd") == nil) }
        #expect(table.open(5, from: "crowd") == 1)
        table.close(1)
        for id in 2...4 { #expect(table.begin(id, isProbe: false) == true) }
        #expect(table.begin(5, isProbe: false) == false)
        #expect(table.begin(0, isProbe: false) == true)
    }

    @Test("Above the limit only probes are answered")
    func probes() {
        var table = table(total: 2, perAddress: 2, reserve: 2)
        for id in 1...3 { #expect(table.open(id, from: "host \(id)") == nil) }
        for id in 1...2 { #expect(table.begin(id, isProbe: false) == true) }
        #expect(table.begin(3, isProbe: false) == false)
        #expect(table.begin(3, isProbe: true) == true)
        table.end(1)
        table.close(1)
        #expect(table.open(4, from: "host 4") == nil)
        table.end(3)
        #expect(table.begin(4, isProbe: false) == true)
    }

    @Test(
        "However connections come and go, the bounds hold and nothing is left", arguments: 1...20 as ClosedRange<UInt64>
    )
    func random(seed: UInt64) {
        var random = Seeded(state: seed)
        let limits = ConnectionTable.Limits(total: 6, perAddress: 4, reserve: 2)
        var table = ConnectionTable(limits: limits)
        var open: [Int: (address: String, isBusy: Bool)] = [:]
        for id in 0..<500 {
            let address = "host \(Int.random(in: 0..<3, using: &random))"
            let victim = table.open(id, from: address)
            open[id] = (address, false)
            if let victim {
                #expect(open[victim]?.isBusy == false)
                table.close(victim)
                open[victim] = nil
            }
            #expect(table.count == open.count)
            #expect(open.count <= limits.total + limits.reserve)
            #expect(open.values.filter { $0.address == address }.count <= limits.perAddress + limits.reserve)
            for id in open.keys.sorted() {
                switch Int.random(in: 0..<6, using: &random) {
                case 0:
                    if table.begin(id, isProbe: false) { open[id]?.isBusy = true }
                case 1:
                    table.end(id)
                    open[id]?.isBusy = false
                case 2:
                    table.close(id)
                    open[id] = nil
                default: break
                }
            }
            #expect(open.values.filter(\.isBusy).count <= limits.total)
        }
        for id in open.keys { table.close(id) }
        #expect(table.count == 0)
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 29)) &* 0xBF58_476D_1CE4_E5B9
    }
}
