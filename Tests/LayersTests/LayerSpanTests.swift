// Every span of a small model: its halves, its text and what is read of it.

import Layers
import Testing

@Suite struct LayerSpanTests {
    private static let spans = (0..<10).flatMap { first in
        (first + 1...10).map { LayerSpan(sublayers: first..<$0) }
    }
    /// With bounds within feed-forwards too.
    private static let shares = {
        let places = (0...10).map { 100 * $0 } + [101, 134, 199, 350, 734, 901, 999]
        return places.flatMap { first in
            places.compactMap { first < $0 ? LayerSpan(bounds: first..<$0) : nil }
        }
    }()

    @Test func halvesAddUp() {
        for span in Self.spans {
            #expect(span.attention.count + span.feedForward.count == span.sublayers.count)
            let halves = Set(span.attention.map { 2 * $0 } + span.feedForward.map { 2 * $0 + 1 })
            #expect(halves == Set(span.sublayers))
            #expect(Set(span.layers) == Set(span.sublayers.map { $0 / 2 }))
            #expect(span.isWithin(layerCount: 5) && span.isWithin(layerCount: 4) == (span.sublayers.upperBound <= 8))
        }
        #expect(LayerSpan(2..<5).sublayers == 4..<10 && LayerSpan.none.isEmpty)
        #expect(!LayerSpan(sublayers: -1..<2).isWithin(layerCount: 5) && !LayerSpan.none.isWithin(layerCount: 5))
    }

    @Test func textIsReadAsItWasWritten() {
        #expect(Set(Self.shares.map(\.description)).count == Self.shares.count)
        for span in Self.spans + Self.shares { #expect(LayerSpan(span.description, below: 5) == span, "\(span)") }
    }

    @Test(arguments: [
        ("0-7a", 0..<15), ("7f-15", 15..<32), ("3", 6..<8), ("3a", 6..<7), ("3f", 7..<8), ("2-2", 4..<6),
        ("2a-2f", 4..<6), ("2f-2", 5..<6), ("2a-3", 4..<8), ("0-4", 0..<10), ("00-4", 0..<10),
    ])
    func spellings(text: String, sublayers: Range<Int>) {
        #expect(LayerSpan(text, below: 16)?.sublayers == sublayers)
    }

    @Test(arguments: [
        "", "-", "a", "f-3", "3-2", "2f-2a", "2f34", "2f34-2f34", "2f34-2f12", "2f34-2a", "2f0-3", "2f100-3", "2f-1",
        "2a34", "2-2a-3", "0-16", "16", "1 - 2", "+1", "1.5", "0-7A", "0-7x",
        "-1-2",
        "1-", "٣", "99999999999999999999",
    ])
    func otherTextIsNoSpan(text: String) { #expect(LayerSpan(text, below: 16) == nil) }

    @Test(arguments: [
        (0..<1534, "0-7f34"), (1534..<3200, "7f34-15"), (1400..<1534, "7-7f34"), (1500..<1534, "7f-7f34"),
        (1534..<1600, "7f34-7"), (1520..<1534, "7f20-7f34"), (1534..<1700, "7f34-8a"),
    ])
    func sharesOfRowsHaveTheirPercent(bounds: Range<Int>, text: String) {
        #expect(LayerSpan(bounds: bounds).description == text && LayerSpan(text, below: 16)?.bounds == bounds)
    }

    /// Every row passes every sub-layer once, whatever the cut.
    @Test func whoComesAfterDoesTheOtherRows() {
        for cut in [0, 100, 150, 199, 300, 301, 399] {
            let (first, second) = (LayerSpan(bounds: 0..<cut), LayerSpan(bounds: cut..<400))
            for sublayer in 0..<4 {
                #expect(first.fraction(of: sublayer) + second.fraction(of: sublayer) == 1)
                for count in 0...130 {
                    let (here, there) = (
                        first.rows(of: sublayer, count: count), second.rows(of: sublayer, count: count)
                    )
                    #expect(Array(here) + Array(there) == Array(0..<count))
                }
            }
        }
        // Attention is not parted.
        #expect(LayerSpan(bounds: 0..<250) == LayerSpan(0..<1) && LayerSpan(bounds: 250..<400) == LayerSpan(1..<2))
    }

    @Test func spansHoldAndMeet() {
        for one in Self.shares {
            for other in Self.shares {
                let (a, b) = (Set(one.bounds), Set(other.bounds))
                #expect(one.contains(other) == b.isSubset(of: a) && one.overlaps(other) == !a.isDisjoint(with: b))
            }
            #expect(one.contains(.none) && !one.overlaps(.none))
        }
    }
}
