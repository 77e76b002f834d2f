// The whole way from a text to token ids.

/// Added tokens, normalizing, splitting and merging, in Hugging Face's order.
struct TextEncoder: Sendable {
    /// Longest piece whose tokens are remembered within one text, in bytes.
    private static let longestRemembered = 64

    let normalizer: [Rewrite]
    let preTokenizer: PreTokenizer
    let encoder: BytePairEncoder
    /// Matched in the text as it stands.
    let rawTokens: AddedTokens
    /// Matched in normalized text.
    let normalizedTokens: AddedTokens

    init(normalizer: [Rewrite], preTokenizer: PreTokenizer, encoder: BytePairEncoder, addedTokens: [AddedToken]) {
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.encoder = encoder
        rawTokens = AddedTokens(addedTokens.filter { !$0.isNormalized })
        normalizedTokens = AddedTokens(addedTokens.filter(\.isNormalized), normalizer: normalizer)
    }

    /// The ids of a text, and where its marked offsets fall among them.
    struct Output {
        var ids: [Int32] = []
        /// For each offset asked about: the index of the first token that begins there or later.
        var marks: [Int] = []

        mutating func mark() { marks.append(ids.count) }
    }

    /// Behind the first special token, or mark of the chat template, in a range of a text, and the white space after it.
    func markEnd(in text: [UInt8], _ range: Range<Int>) -> Int? {
        let bytes = Array(text[range])
        guard let mark = rawTokens.split(bytes, scope: .all).first(where: { $0.id.map(rawTokens.isMark) ?? false })
        else {
            return nil
        }
        let rest = bytes[mark.range.upperBound...].firstIndex { $0 != 0x0A && $0 != 0x20 }
        return range.lowerBound + (rest ?? bytes.count)
    }

    /// State of one encoding.
    private struct Run {
        var output = Output()
        var scratch = Scratch()
        /// Pieces met before, as indices into `remembered`.
        var known = ByteTable()
        var remembered: [Range<Int>] = []
        var rememberedTokens: [BytePairEncoder.Token] = []
    }

    /// Encodes `text` (UTF-8). `isFirst`: nothing precedes it. `offsets`: ascending byte offsets to find the tokens of.
    func encode(_ text: [UInt8], scope: AddedTokenScope, isFirst: Bool, offsets: [Int] = []) -> Output {
        var run = Run()
        run.output.ids.reserveCapacity(text.count / 3)
        split(text, by: rawTokens, scope, offsets, &run) { stretch, start, offsets, run in
            let isFirst = isFirst && start == 0
            let normalized = normalizer.applied(to: stretch, isFirst: isFirst)
            let places = normalizer.rewrittenOffsets(offsets, in: stretch, isFirst: isFirst)
            let inner = scope.inside(start..<(start + stretch.count)).mapped {
                normalizer.rewrittenOffsets($0, in: stretch, isFirst: isFirst)
            }
            split(normalized, by: normalizedTokens, inner, places, &run) { stretch, start, offsets, run in
                encode(stretch, isFirst: isFirst && start == 0, offsets, &run)
            }
        }
        return run.output
    }

    /// Emits the added tokens of `text` and hands the stretches between them, with their start and the offsets inside
    /// them, to `body`.
    private func split(
        _ text: [UInt8], by tokens: AddedTokens, _ scope: AddedTokenScope, _ offsets: [Int], _ run: inout Run,
        _ body: (_ stretch: [UInt8], _ start: Int, _ offsets: [Int], _ run: inout Run) -> Void
    ) {
        var left = offsets[...]
        for segment in tokens.split(text, scope: scope) {
            while let offset = left.first, offset <= segment.range.lowerBound {
                run.output.mark()
                left.removeFirst()
            }
            if let id = segment.id {
                run.output.ids.append(id)
            } else {
                let inside = left.prefix { $0 < segment.range.upperBound }
                left = left.dropFirst(inside.count)
                let start = segment.range.lowerBound
                let stretch = segment.range.count == text.count ? text : Array(text[segment.range])
                body(stretch, start, inside.map { $0 - start }, &run)
            }
        }
        for _ in left { run.output.mark() }
    }

    /// Encodes a stretch of normalized text that holds no added token.
    private func encode(_ stretch: [UInt8], isFirst: Bool, _ offsets: [Int], _ run: inout Run) {
        let text = preTokenizer.rewrites.applied(to: stretch, isFirst: isFirst)
        var left = preTokenizer.rewrites.rewrittenOffsets(offsets, in: stretch, isFirst: isFirst)[...]
        text.withUnsafeBytes { bytes in
            preTokenizer.forEachPiece(of: bytes) { range in
                let piece = UnsafeRawBufferPointer(rebasing: bytes[range])
                let found = tokens(of: piece, &run)
                let source = found.isEmpty ? run.scratch.tokens[...] : run.rememberedTokens[found]
                for token in source {
                    while let offset = left.first, offset <= range.lowerBound + token.start {
                        run.output.mark()
                        left.removeFirst()
                    }
                    run.output.ids.append(token.id)
                }
            }
        }
        for _ in left { run.output.mark() }
    }

    /// Encodes a piece, or remembers it: the result is in `rememberedTokens` at the range returned, or, where that is
    /// empty, in `scratch.tokens`.
    private func tokens(of piece: UnsafeRawBufferPointer, _ run: inout Run) -> Range<Int> {
        guard piece.count <= Self.longestRemembered else {
            encoder.encode(piece, with: &run.scratch)
            return 0..<0
        }
        if let index = run.known.find(piece) {
            let found = run.remembered[Int(index)]
            if found.isEmpty { run.scratch.tokens.removeAll(keepingCapacity: true) }
            return found
        }
        encoder.encode(piece, with: &run.scratch)
        let start = run.rememberedTokens.count
        run.rememberedTokens.append(contentsOf: run.scratch.tokens)
        run.known.insert(piece, Int32(run.remembered.count))
        run.remembered.append(start..<run.rememberedTokens.count)
        return start..<run.rememberedTokens.count
    }
}
