// A hash table from pairs of token ids to merges.

/// Two adjacent tokens, the token they become, and how early that happens.
struct Merge: Sendable {
    /// Position among the merges; lower goes first.
    var rank: UInt32
    var id: Int32
}

/// Maps (left id, right id) to a merge. Built once, then only read.
struct PairTable: Sendable {
    private struct Slot {
        var key: UInt64
        var merge: Merge
    }

    /// No pair of non-negative ids has this key.
    private static let free = UInt64.max

    private var slots: [Slot]
    private let shift: UInt64

    /// Builds the table; of two equal pairs the later one counts.
    init(_ merges: [(left: Int32, right: Int32, merge: Merge)]) {
        var bits: UInt64 = 4
        while 1 << bits < merges.count * 3 / 2 + 1 { bits += 1 }
        shift = 64 - bits
        slots = [Slot](
            repeating: Slot(key: Self.free, merge: Merge(rank: 0, id: 0)), count: 1 << Int(bits))
        for (left, right, merge) in merges {
            let key = Self.key(left, right)
            slots[place(of: key)] = Slot(key: key, merge: merge)
        }
    }

    /// The merge of two adjacent tokens, or nil.
    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> Merge? {
        let slot = slots[place(of: Self.key(left, right))]
        return slot.key == Self.free ? nil : slot.merge
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The slot that holds `key`, or the free one where it would go.
    @inline(__always)
    private func place(of key: UInt64) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while slots[place].key != key && slots[place].key != Self.free { place = (place + 1) & mask }
        return place
    }
}
