// A hash table from byte strings to numbers.

/// Maps byte strings to `Int32` values. Keys live in one arena, so a lookup allocates nothing and follows one pointer.
///
/// The hash is seeded per process: texts come from strangers, who must not be able to choose colliding words.
struct ByteTable: Sendable {
    private struct Entry {
        var start: Int
        var count: Int32
        var value: Int32
    }

    private static let seed = UInt64.random(in: .min ... .max)

    private var arena: [UInt8] = []
    private var entries: [Entry] = []
    /// Indices into `entries`, or -1; the count is a power of two.
    private var slots: [Int32]
    /// The longest key, in bytes: longer ones are not looked up.
    private(set) var longestKey = 0

    /// The number of keys.
    var count: Int { entries.count }

    /// An empty table with room for `capacity` keys.
    init(capacity: Int = 16) {
        slots = [Int32](repeating: -1, count: Self.slotCount(for: capacity))
        entries.reserveCapacity(capacity)
    }

    private static func slotCount(for capacity: Int) -> Int {
        var count = 16
        while count < capacity * 3 / 2 + 1 { count *= 2 }
        return count
    }

    /// The value of `key`, or nil.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> Int32? {
        guard key.count <= longestKey else { return nil }
        let index = slots[slot(of: key)]
        return index < 0 ? nil : entries[Int(index)].value
    }

    /// The value of `key`, or nil.
    func find(_ key: [UInt8]) -> Int32? {
        key.withUnsafeBytes { find($0) }
    }

    /// Adds `key`; returns the value already there, in which case nothing changes.
    @discardableResult
    mutating func insert(_ key: UnsafeRawBufferPointer, _ value: Int32) -> Int32? {
        if (entries.count + 1) * 3 / 2 >= slots.count { grow() }
        let place = slot(of: key)
        if slots[place] >= 0 { return entries[Int(slots[place])].value }
        slots[place] = Int32(entries.count)
        entries.append(Entry(start: arena.count, count: Int32(key.count), value: value))
        arena.append(contentsOf: key)
        longestKey = max(longestKey, key.count)
        return nil
    }

    /// Adds `key`; returns the value already there, in which case nothing changes.
    @discardableResult
    mutating func insert(_ key: [UInt8], _ value: Int32) -> Int32? {
        key.withUnsafeBytes { insert($0, value) }
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        arena.withUnsafeBytes { arena in
            for (index, entry) in entries.enumerated() {
                let key = UnsafeRawBufferPointer(rebasing: arena[entry.start..<(entry.start + Int(entry.count))])
                // Keys are distinct, so the first free slot is the right one.
                var place = Int(truncatingIfNeeded: Self.hash(key)) & (slots.count - 1)
                while slots[place] >= 0 { place = (place + 1) & (slots.count - 1) }
                slots[place] = Int32(index)
            }
        }
    }

    /// The slot that holds `key`, or the free one where it would go.
    @inline(__always)
    private func slot(of key: UnsafeRawBufferPointer) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: Self.hash(key)) & mask
        return arena.withUnsafeBytes { arena in
            while true {
                let index = slots[place]
                if index < 0 { return place }
                let entry = entries[Int(index)]
                if Int(entry.count) == key.count {
                    let stored = UnsafeRawBufferPointer(rebasing: arena[entry.start..<(entry.start + key.count)])
                    if stored.elementsEqual(key) { return place }
                }
                place = (place + 1) & mask
            }
        }
    }

    /// Folded 128-bit products of 8-byte words.
    @inline(__always)
    private static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        var state = seed ^ UInt64(key.count)
        var offset = 0
        while offset + 8 <= key.count {
            state = mix(state ^ key.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < key.count {
            tail = tail << 8 | UInt64(key[offset])
            offset += 1
        }
        return mix(state ^ tail)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
