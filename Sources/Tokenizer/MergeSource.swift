// The two ways in which adjacent symbols are found mergeable.

/// Says whether two adjacent symbols merge, and how early.
protocol MergeSource: Sendable {
    /// The merge of two adjacent symbols of `piece`, or nil.
    func merge(_ left: Symbol, _ right: Symbol, in piece: UnsafeRawBufferPointer) -> Merge?
}

/// A stretch of a piece that is one token so far, linked to its neighbours.
struct Symbol {
    /// The token, or negative for text that has none yet.
    var id: Int32
    /// Offset and size in the piece, in bytes; the size is 0 once merged into the left neighbour.
    var start: Int
    var count: Int
    /// Neighbours as indices, or -1.
    var previous: Int
    var next: Int
}

/// Merges listed as pairs of tokens, the earliest in the list first.
struct RankedMerges: MergeSource {
    let table: PairTable

    @inline(__always)
    func merge(_ left: Symbol, _ right: Symbol, in piece: UnsafeRawBufferPointer) -> Merge? {
        table.find(left.id, right.id)
    }
}

/// Any two neighbours merge whose joined text is a token, the token with the best score first.
struct ScoredMerges: MergeSource {
    /// The id of a symbol whose text is no token.
    static let noToken: Int32 = -1

    let vocabulary: ByteTable
    /// By id: how many different scores are better.
    let ranks: [UInt32]

    @inline(__always)
    func merge(_ left: Symbol, _ right: Symbol, in piece: UnsafeRawBufferPointer) -> Merge? {
        let joined = UnsafeRawBufferPointer(rebasing: piece[left.start..<(right.start + right.count)])
        return vocabulary.find(joined).map { Merge(rank: ranks[Int($0)], id: $0) }
    }

    /// Ranks from scores: equal scores have equal ranks, better scores lower ones.
    static func ranks(of scores: [Double]) -> [UInt32] {
        let order = scores.indices.sorted { scores[$0] > scores[$1] }
        var ranks = [UInt32](repeating: 0, count: scores.count)
        var rank: UInt32 = 0
        for (place, index) in order.enumerated() {
            if place > 0, scores[index] < scores[order[place - 1]] { rank += 1 }
            ranks[index] = rank
        }
        return ranks
    }
}
