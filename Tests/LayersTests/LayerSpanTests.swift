// Every span of a small model: its halves, its text and what is read of it.

import Layers
import Testing

@Suite struct LayerSpanTests {
    private static let spans = (0..<10).flatMap { first in
        (first + 1...10).map { LayerSpan(sublayers: first..<$0) }
    }

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
        #expect(Set(Self.spans.map(\.description)).count == Self.spans.count)
        for span in Self.spans { #expect(LayerSpan(span.description, below: 5) == span) }
    }

    @Test(arguments: [
        ("0-7a", 0..<15), ("7f-15", 15..<32), ("3", 6..<8), ("3a", 6..<7), ("3f", 7..<8), ("2-2", 4..<6),
        ("2a-2f", 4..<6), ("2a-3", 4..<8), ("0-4", 0..<10), ("00-4", 0..<10),
    ])
    func spellings(text: String, sublayers: Range<Int>) {
        #expect(LayerSpan(text, below: 16)?.sublayers == sublayers)
    }

    @Test(arguments: [
        "", "-", "a", "f-3", "3-2", "2f-2a", "2f-2", "2-2a-3", "0-16", "16", "1 - 2", "+1", "1.5", "0-7A", "0-7x",
        "-1-2",
        "1-", "٣", "99999999999999999999",
    ])
    func otherTextIsNoSpan(text: String) { #expect(LayerSpan(text, below: 16) == nil) }

    @Test func spansHoldAndMeet() {
        for one in Self.spans {
            for other in Self.spans {
                let (a, b) = (Set(one.sublayers), Set(other.sublayers))
                #expect(one.contains(other) == b.isSubset(of: a) && one.overlaps(other) == !a.isDisjoint(with: b))
            }
            #expect(one.contains(.none) && !one.overlaps(.none))
        }
    }
}
