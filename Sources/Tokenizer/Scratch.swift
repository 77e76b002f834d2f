// The working memory of byte-pair merging, reused from piece to piece.

/// Symbols of the piece in hand and the merges that wait, in a binary heap: n symbols take O(n log n) steps.
struct Scratch {
    /// A merge that was possible when it was queued.
    private struct Candidate {
        var merge: Merge
        var left: Int
        var right: Int
        /// Bytes of both together: tells a candidate that was overtaken.
        var count: Int

        /// Earlier merges go first, then those further left.
        @inline(__always)
        static func < (a: Candidate, b: Candidate) -> Bool {
            (a.merge.rank, a.left) < (b.merge.rank, b.left)
        }
    }

    var symbols: [Symbol] = []
    /// The result of the last piece.
    var tokens: [BytePairEncoder.Token] = []
    private var heap: [Candidate] = []

    /// Appends a symbol behind the last one.
    mutating func addSymbol(id: Int32, start: Int, count: Int) {
        let index = symbols.count
        if index > 0 { symbols[index - 1].next = index }
        symbols.append(Symbol(id: id, start: start, count: count, previous: index - 1, next: -1))
    }

    /// Appends a symbol for each character of `piece`.
    mutating func addCharacters(of piece: UnsafeRawBufferPointer, id: (UnsafeRawBufferPointer) -> Int32) {
        var start = 0
        while start < piece.count {
            let end = Self.characterEnd(in: piece, from: start)
            addSymbol(id: id(UnsafeRawBufferPointer(rebasing: piece[start..<end])), start: start, count: end - start)
            start = end
        }
    }

    /// The offset after the character that begins at `start`.
    static func characterEnd(in piece: UnsafeRawBufferPointer, from start: Int) -> Int {
        var end = start + 1
        while end < piece.count, piece[end] & 0xC0 == 0x80 { end += 1 }
        return end
    }

    /// Merges the symbols until no two neighbours merge: always the earliest merge, the leftmost of equal ones.
    mutating func merge(_ piece: UnsafeRawBufferPointer, with source: some MergeSource) {
        heap.removeAll(keepingCapacity: true)
        for left in symbols.indices.dropLast() { propose(left, left + 1, piece, source) }
        while let candidate = popFirst() {
            let left = symbols[candidate.left]
            guard left.count > 0, left.next == candidate.right else { continue }
            let right = symbols[candidate.right]
            guard left.count + right.count == candidate.count else { continue }
            symbols[candidate.left].id = candidate.merge.id
            symbols[candidate.left].count = candidate.count
            symbols[candidate.left].next = right.next
            symbols[candidate.right].count = 0
            if right.next >= 0 { symbols[right.next].previous = candidate.left }
            if left.previous >= 0 { propose(left.previous, candidate.left, piece, source) }
            if right.next >= 0 { propose(candidate.left, right.next, piece, source) }
        }
    }

    @inline(__always)
    private mutating func propose(
        _ left: Int, _ right: Int, _ piece: UnsafeRawBufferPointer, _ source: some MergeSource
    ) {
        guard let merge = source.merge(symbols[left], symbols[right], in: piece) else { return }
        push(Candidate(merge: merge, left: left, right: right, count: symbols[left].count + symbols[right].count))
    }

    private mutating func push(_ candidate: Candidate) {
        var index = heap.count
        heap.append(candidate)
        while index > 0 {
            let parent = (index - 1) / 2
            guard candidate < heap[parent] else { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = candidate
    }

    private mutating func popFirst() -> Candidate? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < last else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = last
        return first
    }
}
