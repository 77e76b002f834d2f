// Collects tokens by id and by text, and refuses contradictions.

/// The tokens of a file while it is being read. Texts are as the file writes them.
struct VocabularyBuilder {
    let path: String
    /// By id: the text as written; nil for an id not given out.
    private(set) var texts: [[UInt8]?] = []
    /// From the text as written to the id.
    private(set) var ids: ByteTable

    init(path: String, capacity: Int) {
        self.path = path
        ids = ByteTable(capacity: capacity)
        texts.reserveCapacity(capacity)
    }

    /// Adds a token; throws when its id or text is taken or absurd. `place` names it in the file.
    mutating func add(_ text: [UInt8], id: Int, place: @autoclosure () -> String) throws(TokenizerError) {
        guard id >= 0, id < TokenizerLimits.tokens else {
            throw error(place(), "has id \(id), expected 0..<\(TokenizerLimits.tokens)")
        }
        guard text.count <= TokenizerLimits.tokenBytes else {
            throw error(place(), "is \(text.count) bytes long, at most \(TokenizerLimits.tokenBytes) are accepted")
        }
        while texts.count <= id { texts.append(nil) }
        if let other = texts[id] {
            throw error(place(), "has id \(id), which belongs to \(Self.quoted(other))")
        }
        if let other = ids.insert(text, Int32(id)) {
            throw error(place(), "occurs twice, as \(other) and as \(id)")
        }
        texts[id] = text
    }

    /// The id of the token written `text`; throws when there is none.
    func id(of text: [UInt8], place: @autoclosure () -> String) throws(TokenizerError) -> Int32 {
        guard let id = ids.find(text) else {
            throw error(place(), "names \(Self.quoted(text)), which is not in the vocabulary")
        }
        return id
    }

    /// The id if a token has it; throws otherwise.
    func existing(_ id: Int, place: @autoclosure () -> String) throws(TokenizerError) -> Int32 {
        guard texts.indices.contains(id), texts[id] != nil else {
            throw error(place(), "is \(id), which no token has (ids go up to \(texts.count - 1))")
        }
        return Int32(id)
    }

    /// The merge of two tokens as written into the token of their joined text.
    func merge(
        _ left: [UInt8], _ right: [UInt8], rank: Int
    ) throws(TokenizerError) -> (left: Int32, right: Int32, merge: Merge) {
        let place = "merge \(rank)"
        let first = try id(of: left, place: place)
        let second = try id(of: right, place: place)
        let joined = try id(of: left + right, place: place)
        return (first, second, Merge(rank: UInt32(rank), id: joined))
    }

    /// The two tokens of a merge written as `left right`.
    func mergeParts(_ text: [UInt8], rank: Int) throws(TokenizerError) -> (left: [UInt8], right: [UInt8]) {
        guard let space = text.firstIndex(of: 0x20), space > 0, space + 1 < text.count,
            !text[(space + 1)...].contains(0x20)
        else {
            throw error("merge \(rank)", "expected two tokens with a space between, found \(Self.quoted(text))")
        }
        return (Array(text[..<space]), Array(text[(space + 1)...]))
    }

    /// The ids of the 256 byte tokens `<0x00>` to `<0xFF>`, -1 for those missing; nil when there are none.
    func byteTokens() -> [Int32]? {
        let found = (0..<256).map { ids.find(Self.byteToken(UInt8($0))) ?? -1 }
        return found.contains { $0 >= 0 } ? found : nil
    }

    /// The byte a token such as `<0x0A>` stands for, or nil.
    static func byte(of text: [UInt8]) -> UInt8? {
        guard text.count == 6, text.starts(with: "<0x".utf8), text.last == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
    }

    private static func byteToken(_ byte: UInt8) -> [UInt8] {
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)
    }

    /// A text from the file, short and printable.
    static func quoted(_ text: [UInt8]) -> String {
        let whole = String(decoding: text.prefix(60), as: UTF8.self).debugDescription
        return text.count > 60 ? whole + "…" : whole
    }

    private func error(_ place: String, _ problem: String) -> TokenizerError {
        TokenizerError(path: path, place: place, problem: problem, fix: "fetch or convert the tokenizer again")
    }
}
