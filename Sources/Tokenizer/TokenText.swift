// What each token stands for, as bytes.

/// The bytes of every token, by id.
struct TokenText: Sendable {
    /// What to do with the space that encoding put in front of a text.
    enum LeadingSpace: Sendable, Equatable {
        /// It is the text's own.
        case keep
        /// Up to this many spaces are dropped from the front of the text.
        case drop(Int)
        /// All spaces of the first token are dropped, as Hugging Face's `Metaspace` decoder does.
        case dropInFirstToken
    }

    private let arena: [UInt8]
    /// Where each token begins in the arena, and the end of the last.
    private let starts: [Int]
    let isSpecial: [Bool]
    /// The most bytes any token stands for.
    let longest: Int
    /// Tokens that stand for a byte of a character that has no token of its own.
    private let byteTokens: Set<Int32>
    let leadingSpace: LeadingSpace

    /// Takes the bytes of every token; an id that no token has is nil.
    init(_ tokens: [[UInt8]?], specialIds: Set<Int32>, byteTokens: Set<Int32>, leadingSpace: LeadingSpace) {
        var arena: [UInt8] = []
        var starts = [0]
        starts.reserveCapacity(tokens.count + 1)
        for token in tokens {
            arena.append(contentsOf: token ?? [])
            starts.append(arena.count)
        }
        self.arena = arena
        self.starts = starts
        longest = tokens.lazy.map { $0?.count ?? 0 }.max() ?? 0
        isSpecial = tokens.indices.map { specialIds.contains(Int32($0)) }
        self.byteTokens = byteTokens
        self.leadingSpace = leadingSpace
    }

    /// One more than the largest id.
    var count: Int { starts.count - 1 }

    /// Whether the token stands for a byte of a character that has no token of its own.
    func isByte(_ id: Int32) -> Bool { byteTokens.contains(id) }

    /// The bytes of a token; empty for an id that no token has.
    subscript(id: Int32) -> ArraySlice<UInt8> {
        guard id >= 0, id < count else { return [] }
        return arena[starts[Int(id)]..<starts[Int(id) + 1]]
    }
}

/// Turns ids into the bytes of the text they stand for, one at a time.
struct TokenReader: Sendable {
    private let text: TokenText
    private let skipsSpecial: Bool
    private var leading: TokenText.LeadingSpace

    /// `isContinuation`: the ids go on from a text, so their first space is part of it.
    init(_ text: TokenText, skipsSpecial: Bool, isContinuation: Bool) {
        self.text = text
        self.skipsSpecial = skipsSpecial
        leading = isContinuation ? .keep : text.leadingSpace
    }

    /// What a token adds to the text.
    enum Piece {
        /// Bytes, which together with those of other tokens are UTF-8.
        case text(ArraySlice<UInt8>)
        /// One byte, or none, of a run of single bytes: a character that has no token of its own.
        case byte(ArraySlice<UInt8>)
        /// Nothing: a special token that is left out, or an id that no token has.
        case nothing
    }

    /// What `id` adds to the text.
    mutating func read(_ id: Int32) -> Piece {
        guard id >= 0, id < text.count, !(skipsSpecial && text.isSpecial[Int(id)]) else { return .nothing }
        let bytes = stripped(text[id])
        return text.isByte(id) ? .byte(bytes) : .text(bytes)
    }

    private mutating func stripped(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        switch leading {
        case .keep: return bytes
        case .dropInFirstToken:
            leading = .keep
            return bytes.filter { $0 != 0x20 }[...]
        case .drop(let most):
            let spaces = bytes.prefix(most).prefix { $0 == 0x20 }.count
            leading = spaces < bytes.count || spaces == most ? .keep : .drop(most - spaces)
            return bytes.dropFirst(spaces)
        }
    }
}
