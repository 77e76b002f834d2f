// Text that remembers where it comes from.

/// Whose words a stretch of text is.
public struct Origin: Sendable, Hashable {
    /// Whom it belongs to; 0 is nobody: the template itself. The caller gives the other numbers a meaning.
    public var owner: UInt32
    /// It was handed in from outside, so that nothing in it may be taken for a mark of the template.
    public var isInput: Bool

    /// An origin.
    public init(owner: UInt32, isInput: Bool) {
        self.owner = owner
        self.isInput = isInput
    }

    /// The template's own words.
    public static let template = Origin(owner: 0, isInput: false)
}

/// The end of a stretch of one origin, as a byte offset; it begins where the one before ends.
public struct OriginRun: Sendable, Equatable {
    /// Behind the last byte.
    public var end: Int
    /// Where the bytes come from.
    public var origin: Origin
}

/// UTF-8 text whose stretches know their origins.
public struct Text: Sendable {
    /// Valid UTF-8.
    public let bytes: [UInt8]
    /// Ascending, the last one ends at `bytes.count`; empty when all bytes have `origin`.
    let mixed: [OriginRun]
    /// The origin of all, where `mixed` is empty.
    let origin: Origin
    /// Every character is one byte.
    let isASCII: Bool
    /// HTML that was escaped: what is added to it is escaped, as Python's markupsafe does it.
    var isMarkup = false

    /// Text of one origin; `bytes` must be valid UTF-8.
    public init(_ bytes: [UInt8], origin: Origin = .template) {
        self.init(bytes, mixed: [], origin: origin)
    }

    init(_ text: String, origin: Origin = .template) {
        self.init(Array(text.utf8), origin: origin)
    }

    init(_ bytes: [UInt8], mixed: [OriginRun], origin: Origin) {
        self.bytes = bytes
        self.mixed = mixed.count > 1 ? mixed : []
        self.origin = mixed.count == 1 ? mixed[0].origin : origin
        isASCII = bytes.allSatisfy { $0 < 0x80 }
    }

    /// The stretches, in order; none for an empty text.
    public var runs: [OriginRun] {
        !mixed.isEmpty ? mixed : bytes.isEmpty ? [] : [OriginRun(end: bytes.count, origin: origin)]
    }

    /// As Swift has it.
    var string: String { String(decoding: bytes, as: UTF8.self) }

    var isEmpty: Bool { bytes.isEmpty }

    /// Length in code points, Python's `len`.
    var count: Int { isASCII ? bytes.count : bytes.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 } }

    /// The origin of the byte at `offset`.
    func origin(at offset: Int) -> Origin {
        guard !mixed.isEmpty else { return origin }
        return mixed[mixed.firstIndexAfter(offset)].origin
    }

    /// The text between two byte offsets, which must lie between characters.
    func slice(_ range: Range<Int>) -> Text {
        if range.count == bytes.count { return self }
        var runs: [OriginRun] = []
        if !mixed.isEmpty, !range.isEmpty {
            var index = mixed.firstIndexAfter(range.lowerBound)
            while index < mixed.count {
                let end = min(mixed[index].end, range.upperBound)
                runs.append(OriginRun(end: end - range.lowerBound, origin: mixed[index].origin))
                if end == range.upperBound { break }
                index += 1
            }
        }
        var part = Text(Array(bytes[range]), mixed: runs, origin: origin)
        part.isMarkup = isMarkup
        return part
    }

    /// The byte offset of the code point with this number; `bytes.count` behind the last.
    func offset(ofCharacter number: Int) -> Int {
        if isASCII { return min(number, bytes.count) }
        var seen = -1
        for (offset, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
            seen += 1
            if seen == number { return offset }
        }
        return bytes.count
    }

    /// The number of the code point that begins at a byte offset.
    func character(atOffset offset: Int) -> Int {
        isASCII ? offset : bytes[..<offset].reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
    }

    /// Every code point as a text of its own.
    var characters: [Text] {
        var result: [Text] = []
        result.reserveCapacity(bytes.count)
        var start = 0
        while start < bytes.count {
            let end = start + Self.width(bytes[start])
            result.append(slice(start..<end))
            start = end
        }
        return result
    }

    /// How many bytes the character has that begins with `lead`.
    static func width(_ lead: UInt8) -> Int { lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4 }

    /// The scalar at a byte offset that lies between characters.
    func scalar(at offset: Int) -> Unicode.Scalar {
        let lead = bytes[offset]
        if lead < 0x80 { return Unicode.Scalar(lead) }
        let end = min(offset + Self.width(lead), bytes.count)
        return String(decoding: bytes[offset..<end], as: UTF8.self).unicodeScalars.first ?? "\u{FFFD}"
    }

    /// The scalar that ends at a byte offset, and where it begins.
    func scalar(before offset: Int) -> (scalar: Unicode.Scalar, start: Int) {
        var start = offset - 1
        while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return (scalar(at: start), start)
    }
}

extension [OriginRun] {
    /// The index of the run that holds the byte at `offset`; the last one's for offsets behind the end.
    func firstIndexAfter(_ offset: Int) -> Int {
        var low = 0
        var high = count - 1
        while low < high {
            let middle = (low + high) / 2
            if self[middle].end > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Adds a stretch, joined with the one before where both have the same origin.
    mutating func extend(to end: Int, _ origin: Origin) {
        guard end > last?.end ?? 0 else { return }
        if let last, last.origin == origin {
            self[count - 1].end = end
        } else {
            append(OriginRun(end: end, origin: origin))
        }
    }
}
