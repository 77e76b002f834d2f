// Text from a stream of tokens, a whole character at a time.

/// Decodes tokens as they come. What it returns, put together, is what `Tokenizer.decode` gives for all of them.
///
/// With one exception. A run of single-byte tokens that turns out not to be UTF-8 becomes U+FFFD from the first byte to the
/// last when it is decoded whole; here its characters before the wrong byte have been given out already.
public struct StreamingDetokenizer: Sendable {
    private var reader: TokenReader
    /// The beginning of a character whose other bytes have not come yet: at most 3 bytes.
    private var pending: [UInt8] = []
    /// Whether `pending` is of single-byte tokens.
    private var isRun = false
    /// Whether a run of single-byte tokens has proved not to be UTF-8.
    private var isBrokenRun = false

    /// Begins a text. With `isContinuation` the tokens go on from a text that is there already, so a space at their
    /// beginning is kept where a SentencePiece tokenizer would otherwise take it for its own.
    public init(tokenizer: Tokenizer, skipSpecialTokens: Bool = true, isContinuation: Bool = false) {
        reader = TokenReader(tokenizer.tokenText, skipsSpecial: skipSpecialTokens, isContinuation: isContinuation)
    }

    /// The text that is complete once `id` is known; never half a character, often nothing.
    public mutating func append(_ id: Int32) -> String {
        switch reader.read(id) {
        case .nothing: return ""
        case .byte(let byte): return append(runByte: byte)
        case .text(let text):
            let before = isRun ? finish() : ""
            pending.append(contentsOf: text)
            return before + complete()
        }
    }

    private mutating func append(runByte byte: ArraySlice<UInt8>) -> String {
        let before = isRun ? "" : finish()
        isRun = true
        pending.append(contentsOf: byte)
        let whole = pending.count - Self.unfinishedCount(pending)
        if isBrokenRun || String(validating: pending[..<whole], as: UTF8.self) == nil {
            isBrokenRun = true
            return before + Self.replacements(&pending)
        }
        return before + complete()
    }

    /// Takes the characters that are there in full.
    private mutating func complete() -> String {
        let complete = pending.count - Self.unfinishedCount(pending)
        defer { pending.removeFirst(complete) }
        return String(decoding: pending[..<complete], as: UTF8.self)
    }

    /// The end of the text: U+FFFD if it breaks off inside a character, else nothing.
    public mutating func finish() -> String {
        let isRun = isRun
        (self.isRun, isBrokenRun) = (false, false)
        if isRun { return Self.replacements(&pending) }
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// The text of a whole run of single-byte tokens, which is taken away.
    static func text(ofRun run: inout [UInt8]) -> String {
        guard let text = String(validating: run, as: UTF8.self) else { return replacements(&run) }
        run.removeAll(keepingCapacity: true)
        return text
    }

    /// U+FFFD for each byte, which is taken away.
    private static func replacements(_ bytes: inout [UInt8]) -> String {
        defer { bytes.removeAll(keepingCapacity: true) }
        return String(repeating: "\u{FFFD}", count: bytes.count)
    }

    /// How many bytes at the end of `bytes` may yet become one character (Unicode 16, table 3-7).
    static func unfinishedCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let tail = bytes.suffix(count)
            guard let lead = tail.first, lead & 0xC0 != 0x80 else { continue }
            let isUnfinished =
                switch lead {
                case 0xC2...0xDF: count < 2
                case 0xE0...0xEF: count < 3
                case 0xF0...0xF4: true
                default: false
                }
            guard isUnfinished else { return 0 }
            guard count > 1 else { return 1 }
            return allowedSecond(after: lead).contains(bytes[bytes.count - count + 1]) ? count : 0
        }
        return 0
    }

    private static func allowedSecond(after lead: UInt8) -> ClosedRange<UInt8> {
        switch lead {
        case 0xE0: 0xA0...0xBF
        case 0xED: 0x80...0x9F
        case 0xF0: 0x90...0xBF
        case 0xF4: 0x80...0x8F
        default: 0x80...0xBF
        }
    }
}
