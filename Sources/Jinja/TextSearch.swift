// Finding, cutting and replacing inside text, as Python's str does.

extension Text {
    /// Which ends are stripped.
    struct Ends: OptionSet {
        let rawValue: Int
        static let left = Ends(rawValue: 1)
        static let right = Ends(rawValue: 2)
        static let both: Ends = [.left, .right]
    }

    /// Without white space, or the characters given, at its ends.
    func stripped(_ ends: Ends = .both, of characters: Text? = nil) -> Text {
        let set = characters.map { Set($0.string.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var start = 0
        var end = bytes.count
        while ends.contains(.left), start < end {
            guard goes(scalar(at: start)) else { break }
            start += Self.width(bytes[start])
        }
        while ends.contains(.right), start < end {
            let (scalar, before) = scalar(before: end)
            guard goes(scalar) else { break }
            end = before
        }
        return slice(start..<end)
    }

    /// Whether the bytes at `offset` are those of `other`.
    func has(_ other: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, offset + other.count <= bytes.count else { return false }
        for index in other.indices where bytes[offset + index] != other[index] { return false }
        return true
    }

    /// The byte offset of the first occurrence of `other` in a range of bytes; an empty one occurs everywhere.
    func find(_ other: [UInt8], in range: Range<Int>) -> Int? {
        guard let first = other.first else { return range.lowerBound }
        guard other.count <= range.count else { return nil }
        if other.count > 32 { return findLong(other, in: range) }
        let last = range.upperBound - other.count
        return bytes.withUnsafeBufferPointer { bytes -> Int? in
            var offset = range.lowerBound
            while offset <= last {
                if bytes[offset] == first {
                    var matched = 1
                    while matched < other.count, bytes[offset + matched] == other[matched] { matched += 1 }
                    if matched == other.count { return offset }
                }
                offset += 1
            }
            return nil
        }
    }

    /// The same in time proportional to both lengths, whatever they hold (Knuth, Morris and Pratt).
    private func findLong(_ other: [UInt8], in range: Range<Int>) -> Int? {
        // By length of what matched: how much of it still matches one further on.
        var shorter = [0, 0]
        var matched = 0
        for index in 1..<other.count {
            while matched > 0, other[index] != other[matched] { matched = shorter[matched] }
            if other[index] == other[matched] { matched += 1 }
            shorter.append(matched)
        }
        matched = 0
        for offset in range {
            while matched > 0, bytes[offset] != other[matched] { matched = shorter[matched] }
            if bytes[offset] == other[matched] { matched += 1 }
            if matched == other.count { return offset + 1 - matched }
        }
        return nil
    }

    /// The byte offset of the last occurrence.
    func findLast(_ other: [UInt8], in range: Range<Int>) -> Int? {
        guard other.count <= range.count else { return nil }
        return stride(from: range.upperBound - other.count, through: range.lowerBound, by: -1)
            .first { has(other, at: $0) }
    }

    func contains(_ other: Text) -> Bool { find(other.bytes, in: 0..<bytes.count) != nil }

    /// What searching for `other` from the end may cost, in bytes: it may match long at every offset.
    func backwardCost(_ other: Text) -> Int {
        max(bytes.count - other.bytes.count, 0).multipliedReportingOverflow(by: 1 + other.bytes.count / 4).partialValue
    }

    /// `str.split` and, from the right, `str.rsplit`; `limit` below 0: no limit.
    func split(_ separator: Text?, limit: Int, fromRight: Bool = false) -> [Text] {
        guard let separator else { return splitAtSpace(limit: limit, fromRight: fromRight) }
        var parts: [Text] = []
        if fromRight {
            var end = bytes.count
            while limit < 0 || parts.count < limit, let found = findLast(separator.bytes, in: 0..<end) {
                parts.append(slice((found + separator.bytes.count)..<end))
                end = found
            }
            parts.append(slice(0..<end))
            return parts.reversed()
        }
        var start = 0
        while limit < 0 || parts.count < limit, let found = find(separator.bytes, in: start..<bytes.count) {
            parts.append(slice(start..<found))
            start = found + separator.bytes.count
        }
        parts.append(slice(start..<bytes.count))
        return parts
    }

    private func splitAtSpace(limit: Int, fromRight: Bool) -> [Text] {
        var words: [Range<Int>] = []
        var offset = 0
        var wordStart: Int?
        while offset < bytes.count {
            let isSpace = scalar(at: offset).isPythonSpace
            if isSpace, let start = wordStart {
                words.append(start..<offset)
                wordStart = nil
            } else if !isSpace, wordStart == nil {
                wordStart = offset
            }
            offset += Self.width(bytes[offset])
        }
        if let start = wordStart { words.append(start..<bytes.count) }
        guard limit >= 0, words.count > limit else { return words.map { slice($0) } }
        if fromRight {
            let kept = words.suffix(limit)
            let rest = slice(0..<words[words.count - limit - 1].upperBound)
            return [rest] + kept.map { slice($0) }
        }
        let rest = slice(words[limit].lowerBound..<bytes.count)
        return words.prefix(limit).map { slice($0) } + [rest]
    }

    /// `str.splitlines`.
    func lines(keepingEnds: Bool) -> [Text] {
        var result: [Text] = []
        var start = 0
        var offset = 0
        while offset < bytes.count {
            let width = Self.width(bytes[offset])
            guard scalar(at: offset).isLineEnd else {
                offset += width
                continue
            }
            let isPair = bytes[offset] == 0x0D && offset + 1 < bytes.count && bytes[offset + 1] == 0x0A
            let next = offset + (isPair ? 2 : width)
            result.append(slice(start..<(keepingEnds ? next : offset)))
            start = next
            offset = next
        }
        if start < bytes.count { result.append(slice(start..<bytes.count)) }
        return result
    }

    /// `str.replace`; `limit` below 0: every occurrence.
    func replacing(_ old: Text, with new: Text, limit: Int, _ budget: Budget) throws(TemplateError) -> Text {
        try budget.spend(bytes.count / 32)
        var builder = TextBuilder(budget)
        var count = 0
        if old.isEmpty {
            var start = 0
            while limit < 0 || count < limit {
                try builder.append(new)
                count += 1
                guard start < bytes.count else { break }
                let end = start + Self.width(bytes[start])
                try builder.append(self, start..<end)
                start = end
            }
            try builder.append(self, start..<bytes.count)
            return builder.text
        }
        var start = 0
        while limit < 0 || count < limit, let found = find(old.bytes, in: start..<bytes.count) {
            try builder.append(self, start..<found)
            try builder.append(new)
            start = found + old.bytes.count
            count += 1
        }
        if count == 0 { return self }
        try builder.append(self, start..<bytes.count)
        return builder.text
    }

    /// How often `other` occurs without overlapping, between two byte offsets.
    func occurrences(of other: Text, in range: Range<Int>) -> Int {
        if other.isEmpty { return slice(range).count + 1 }
        var count = 0
        var start = range.lowerBound
        while let found = find(other.bytes, in: start..<range.upperBound) {
            count += 1
            start = found + other.bytes.count
        }
        return count
    }
}
