// The merges of a file in the forms that encoding and the fingerprint need.

/// A checked list of merges.
struct MergeList {
    private var merges: [(left: Int32, right: Int32, merge: Merge)] = []

    /// Makes room for `capacity` merges.
    init(capacity: Int) {
        merges.reserveCapacity(capacity)
    }

    /// Appends a merge.
    mutating func append(_ merge: (left: Int32, right: Int32, merge: Merge)) {
        merges.append(merge)
    }

    /// The table for encoding. Merges that would make a special token are left out: text never becomes one.
    func ranked(special: Set<Int32>) -> BytePairEncoder.Merges {
        .ranked(RankedMerges(table: PairTable(merges.filter { !special.contains($0.merge.id) })))
    }

    /// The canonical bytes: left id, right id, joined id, in order.
    var canonicalBytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(merges.count * 12)
        for (left, right, merge) in merges {
            bytes.append(littleEndian: left)
            bytes.append(littleEndian: right)
            bytes.append(littleEndian: merge.id)
        }
        return bytes
    }
}
