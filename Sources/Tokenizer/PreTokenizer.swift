// From a stretch of normalized text to the pieces that are encoded one by one.

/// Rewrites text, then splits it by one pattern after another, each inside the pieces the one before left.
struct PreTokenizer: Sendable {
    /// Applied to the whole stretch.
    var rewrites: [Rewrite] = []
    /// Applied in order.
    var patterns: [SplitPattern] = []

    /// Calls `body` with each piece of `text` as offsets into it, in order. `text` is already rewritten.
    func forEachPiece(of text: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        split(text, at: 0, patterns: patterns[...], body)
    }

    private func split(
        _ text: UnsafeRawBufferPointer, at base: Int, patterns: ArraySlice<SplitPattern>, _ body: (Range<Int>) -> Void
    ) {
        guard let pattern = patterns.first else {
            if !text.isEmpty { body(base..<(base + text.count)) }
            return
        }
        pattern.forEachPiece(of: text) { piece in
            split(
                UnsafeRawBufferPointer(rebasing: text[piece]), at: base + piece.lowerBound,
                patterns: patterns.dropFirst(), body)
        }
    }
}
