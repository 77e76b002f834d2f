// Tokens that are found in the text as they stand, before any merging.

/// A token that is matched literally.
struct AddedToken: Sendable, Equatable {
    var id: Int32
    /// Its text, UTF-8, not empty.
    var content: [UInt8]
    /// A control token: BOS, a header mark. Left out of decoded text.
    var isSpecial: Bool
    /// Takes the white space before it.
    var stripsLeft = false
    /// Takes the white space after it.
    var stripsRight = false
    /// Is matched only where no word character touches it.
    var isSingleWord = false
    /// Is matched in normalized text.
    var isNormalized = false
    /// The chat template writes it, so no message may.
    var isTemplateMark = false

    /// Whether one of these templates has the token in its text; white space is no mark.
    func isWritten(in templates: [[UInt8]]) -> Bool {
        guard let head = content.first, !content.allSatisfy({ $0 <= 0x20 }) else { return false }
        return templates.contains { template in
            var start = template.startIndex
            while let first = template[start...].firstIndex(of: head) {
                if template[first...].starts(with: content) { return true }
                start = first + 1
            }
            return false
        }
    }
}

/// Which added tokens count as tokens in a text.
enum AddedTokenScope: Sendable {
    /// All of them.
    case all
    /// All but special ones, which are ordinary text.
    case ordinary
    /// All of them in these byte ranges, which ascend and do not touch; elsewhere neither special ones nor those that the
    /// chat template writes: for conversations, in which only the template may write marks.
    case trusted([Range<Int>])

    /// The scope inside a range of the text, by offsets from the range's start.
    func inside(_ range: Range<Int>) -> AddedTokenScope {
        guard case .trusted(let ranges) = self else { return self }
        var inner: [Range<Int>] = []
        var index = ranges.partition { $0.upperBound > range.lowerBound }
        while index < ranges.count, ranges[index].lowerBound < range.upperBound {
            let part = ranges[index].clamped(to: range)
            inner.append((part.lowerBound - range.lowerBound)..<(part.upperBound - range.lowerBound))
            index += 1
        }
        return .trusted(inner)
    }

    /// The scope after a rewriting of the text, given by what it does to ascending offsets.
    func mapped(_ places: ([Int]) -> [Int]) -> AddedTokenScope {
        guard case .trusted(let ranges) = self else { return self }
        let bounds = places(ranges.flatMap { [$0.lowerBound, $0.upperBound] })
        return .trusted(stride(from: 0, to: bounds.count, by: 2).map { bounds[$0]..<bounds[$0 + 1] })
    }

    /// Whether marks in `range` are the template's.
    fileprivate func trusts(_ range: Range<Int>) -> Bool {
        guard case .trusted(let ranges) = self else { return true }
        let index = ranges.partition { $0.upperBound >= range.upperBound }
        return index < ranges.count && ranges[index].lowerBound <= range.lowerBound
    }
}

extension [Range<Int>] {
    /// The first index from which on `belongs` holds.
    fileprivate func partition(_ belongs: (Range<Int>) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if belongs(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// Finds added tokens in text: leftmost first, the longest of those that begin together.
struct AddedTokens: Sendable {
    /// A stretch of the text and, where it is a token, that token's id.
    struct Segment: Equatable {
        var range: Range<Int>
        var id: Int32?
    }

    private let tokens: [AddedToken]
    /// The ids of special tokens and of marks that the chat template writes.
    private let marks: Set<Int32>
    /// Trie edges: node * 256 + byte to the next node. Node 0 is the root.
    private let edges: [Int: Int32]
    /// By trie node: the index of the token that ends there, or -1.
    private let ends: [Int32]
    private let isFirstByte: [Bool]

    /// Prepares the search for `tokens`; each is matched as `content` after `normalizer` has been applied.
    init(_ tokens: [AddedToken], normalizer: [Rewrite] = []) {
        var edges: [Int: Int32] = [:]
        var ends: [Int32] = [-1]
        var isFirstByte = [Bool](repeating: false, count: 256)
        for (index, token) in tokens.enumerated() {
            let content = normalizer.applied(to: token.content, isFirst: true)
            guard let first = content.first else { continue }
            isFirstByte[Int(first)] = true
            var node = 0
            for byte in content {
                let edge = node * 256 + Int(byte)
                if let next = edges[edge] {
                    node = Int(next)
                } else {
                    edges[edge] = Int32(ends.count)
                    node = ends.count
                    ends.append(-1)
                }
            }
            ends[node] = Int32(index)
        }
        self.tokens = tokens
        marks = Set(tokens.filter { $0.isSpecial || $0.isTemplateMark }.map(\.id))
        self.edges = edges
        self.ends = ends
        self.isFirstByte = isFirstByte
    }

    /// Whether a token is special or one that the chat template writes.
    func isMark(_ id: Int32) -> Bool { marks.contains(id) }

    /// Cuts `text` into added tokens and the stretches between them; empty stretches are left out.
    ///
    /// Tokens are found where they stand, whatever others strip: white space that a token takes may hold a further token,
    /// which is found too, and what follows that is text again, as with Hugging Face's library.
    func split(_ text: [UInt8], scope: AddedTokenScope) -> [Segment] {
        var segments: [Segment] = []
        var done = 0
        var offset = 0
        // White space that has been looked through: a token in the midst of it need not do it again.
        var blank = 0..<0
        while offset < text.count {
            guard isFirstByte[Int(text[offset])], let (token, end) = longestMatch(in: text, at: offset) else {
                offset += 1
                continue
            }
            let start = offset
            offset = end
            guard counts(token, start..<end, scope), !token.isSingleWord || Self.isWord(text, start..<end) else {
                continue
            }
            var to = end
            if token.stripsRight {
                if !blank.contains(end) { blank = end..<Self.whitespaceEnd(text, after: end) }
                to = max(end, blank.upperBound)
            }
            let from = token.stripsLeft ? Self.whitespaceStart(text, before: start, limit: min(done, start)) : start
            if done < from { segments.append(Segment(range: done..<from)) }
            segments.append(Segment(range: from..<to, id: token.id))
            done = to
        }
        if done < text.count { segments.append(Segment(range: done..<text.count)) }
        return segments
    }

    private func counts(_ token: AddedToken, _ range: Range<Int>, _ scope: AddedTokenScope) -> Bool {
        switch scope {
        case .all: true
        case .ordinary: !token.isSpecial
        case .trusted: !token.isSpecial && !token.isTemplateMark || scope.trusts(range)
        }
    }

    private func longestMatch(in text: [UInt8], at start: Int) -> (AddedToken, Int)? {
        var node = 0
        var best: (AddedToken, Int)?
        for offset in start..<text.count {
            guard let next = edges[node * 256 + Int(text[offset])] else { break }
            node = Int(next)
            if ends[node] >= 0 { best = (tokens[Int(ends[node])], offset + 1) }
        }
        return best
    }

    /// The offset of the first of the white-space characters that end at `start`, not before `limit`.
    private static func whitespaceStart(_ text: [UInt8], before start: Int, limit: Int) -> Int {
        var result = start
        for scalar in String(decoding: text[limit..<start], as: UTF8.self).unicodeScalars.reversed() {
            guard scalar.properties.isWhitespace else { break }
            result -= UTF8.width(scalar)
        }
        return result
    }

    private static func whitespaceEnd(_ text: [UInt8], after end: Int) -> Int {
        var result = end
        while result < text.count, let scalar = scalar(in: text, at: result), scalar.properties.isWhitespace {
            result += UTF8.width(scalar)
        }
        return result
    }

    /// Whether the range neither follows nor precedes a word character.
    private static func isWord(_ text: [UInt8], _ range: Range<Int>) -> Bool {
        var before = range.lowerBound
        while before > 0 {
            before -= 1
            if text[before] & 0xC0 != 0x80 { break }
        }
        if before < range.lowerBound, let scalar = scalar(in: text, at: before), isWordScalar(scalar) { return false }
        if range.upperBound < text.count, let scalar = scalar(in: text, at: range.upperBound), isWordScalar(scalar) {
            return false
        }
        return true
    }

    private static func scalar(in text: [UInt8], at offset: Int) -> Unicode.Scalar? {
        String(decoding: text[offset..<min(offset + 4, text.count)], as: UTF8.self).unicodeScalars.first
    }

    private static func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
        default: return false
        }
    }
}
