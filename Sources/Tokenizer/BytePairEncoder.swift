// The merging of symbols into tokens: byte-pair encoding proper.

/// Encodes one piece of text at a time.
struct BytePairEncoder: Sendable {
    /// Where merges come from.
    enum Merges: Sendable {
        /// By position in a list of pairs (Hugging Face, GPT-2).
        case ranked(RankedMerges)
        /// By the score of the token that a pair would make (SentencePiece).
        case scored(ScoredMerges)
    }

    /// What a piece is made of before merging.
    enum Units: Sendable {
        /// Single bytes; the token of each, or -1.
        case bytes([Int32])
        /// Characters, looked up in the vocabulary; `fallback` holds the tokens of the 256 bytes for the others.
        case characters(fallback: [Int32]?)
    }

    /// The start of a token within its piece, in bytes, and its id.
    struct Token: Sendable {
        var id: Int32
        var start: Int
    }

    /// Texts of tokens that text may become, byte for byte; special tokens are not among them.
    let vocabulary: ByteTable
    let units: Units
    let merges: Merges
    /// A piece that is in the vocabulary is that token, whatever the merges say.
    let takesWholePieces: Bool
    /// Stands for what has no token; without it such text is dropped, as Hugging Face does.
    let unknown: Int32?
    /// Adjacent unknowns become one.
    let fusesUnknown: Bool

    /// Encodes `piece`; the tokens replace `scratch.tokens`.
    func encode(_ piece: UnsafeRawBufferPointer, with scratch: inout Scratch) {
        scratch.tokens.removeAll(keepingCapacity: true)
        if takesWholePieces, let id = vocabulary.find(piece) {
            scratch.tokens.append(Token(id: id, start: 0))
            return
        }
        scratch.symbols.removeAll(keepingCapacity: true)
        switch (units, merges) {
        case (_, .scored(let merges)):
            scratch.addCharacters(of: piece) { vocabulary.find($0) ?? ScoredMerges.noToken }
            scratch.merge(piece, with: merges)
        case (.bytes(let ids), .ranked(let merges)):
            var open: Int?
            for (offset, byte) in piece.enumerated() {
                add(ids[Int(byte)], at: offset, count: 1, to: &scratch, openUnknown: &open)
            }
            scratch.merge(piece, with: merges)
        case (.characters(let fallback), .ranked(let merges)):
            addCharacters(of: piece, fallback: fallback, to: &scratch)
            scratch.merge(piece, with: merges)
        }
        collect(piece, from: &scratch)
    }

    /// Adds a symbol for the token `id`, or for an unknown one when that is negative.
    private func add(_ id: Int32, at start: Int, count: Int, to scratch: inout Scratch, openUnknown: inout Int?) {
        if id >= 0 {
            openUnknown = nil
            scratch.addSymbol(id: id, start: start, count: count)
        } else if let unknown {
            if fusesUnknown, let open = openUnknown {
                scratch.symbols[open].count += count
            } else {
                openUnknown = scratch.symbols.count
                scratch.addSymbol(id: unknown, start: start, count: count)
            }
        }
    }

    private func addCharacters(of piece: UnsafeRawBufferPointer, fallback: [Int32]?, to scratch: inout Scratch) {
        var open: Int?
        var start = 0
        while start < piece.count {
            let end = Scratch.characterEnd(in: piece, from: start)
            let character = UnsafeRawBufferPointer(rebasing: piece[start..<end])
            if let id = vocabulary.find(character) {
                add(id, at: start, count: end - start, to: &scratch, openUnknown: &open)
            } else if let fallback, character.allSatisfy({ fallback[Int($0)] >= 0 }) {
                for (offset, byte) in character.enumerated() {
                    add(fallback[Int(byte)], at: start + offset, count: 1, to: &scratch, openUnknown: &open)
                }
            } else {
                add(-1, at: start, count: end - start, to: &scratch, openUnknown: &open)
            }
            start = end
        }
    }

    /// Turns what is left of the symbols into tokens.
    private func collect(_ piece: UnsafeRawBufferPointer, from scratch: inout Scratch) {
        var index = scratch.symbols.isEmpty ? -1 : 0
        while index >= 0 {
            let symbol = scratch.symbols[index]
            if symbol.id >= 0 {
                scratch.tokens.append(Token(id: symbol.id, start: symbol.start))
            } else if case .characters(let fallback?) = units {
                for offset in symbol.start..<(symbol.start + symbol.count) {
                    let id = fallback[Int(piece[offset])]
                    if let id = id >= 0 ? id : unknown { scratch.tokens.append(Token(id: id, start: offset)) }
                }
            } else if let unknown {
                scratch.tokens.append(Token(id: unknown, start: symbol.start))
            }
            index = symbol.next
        }
    }
}
