// Cuts a template into tokens, with Jinja's rules for white space around tags.

/// Jinja's lexer with `trim_blocks` and `lstrip_blocks`, the delimiters being `{{ }}`, `{% %}` and `{# #}`.
struct Lexer {
    let bytes: [UInt8]
    private(set) var offset = 0
    private(set) var line = 1
    private var tokens: [Token] = []
    /// What was read last ended a line, or nothing was read yet.
    private var startsLine = true

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// All tokens of `source`, which must be UTF-8; the last one is `end`.
    static func tokens(of source: [UInt8]) throws(TemplateError) -> [Token] {
        guard source.count <= Limits.templateBytes else {
            throw TemplateError(
                .limit, "the template has \(source.count) bytes, at most \(Limits.templateBytes) are accepted")
        }
        var source = normalized(source)
        if source.last == 0x0A { source.removeLast() }
        var lexer = Lexer(source)
        while lexer.offset < source.count { try lexer.readText() }
        lexer.emit(.end)
        return lexer.tokens
    }

    /// `\r\n` and `\r` are line breaks too.
    static func normalized(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(0x0D) else { return bytes }
        var result: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if byte == 0x0D {
                result.append(0x0A)
            } else if byte != 0x0A || index == 0 || bytes[index - 1] != 0x0D {
                result.append(byte)
            }
        }
        return result
    }

    private mutating func emit(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

    func fault(_ message: String) -> TemplateError { TemplateError(.syntax, message, line: line) }

    private func byte(_ ahead: Int = 0) -> UInt8? {
        offset + ahead < bytes.count ? bytes[offset + ahead] : nil
    }

    private func follows(_ text: StaticString, at place: Int) -> Bool {
        guard place + text.utf8CodeUnitCount <= bytes.count else { return false }
        for index in 0..<text.utf8CodeUnitCount where bytes[place + index] != text.utf8Start[index] { return false }
        return true
    }

    /// Steps to `end`, counting lines.
    private mutating func advance(to end: Int) {
        for index in offset..<end where bytes[index] == 0x0A { line += 1 }
        if end > offset { startsLine = bytes[end - 1] == 0x0A }
        offset = end
    }

    /// Behind the white space that begins at `place`.
    private func spaceEnd(_ place: Int) -> Int {
        var end = place
        while end < bytes.count {
            let width = Text.width(bytes[end])
            if bytes[end] < 0x80 {
                guard Unicode.Scalar(bytes[end]).isPythonSpace else { break }
            } else {
                let part = bytes[end..<min(end + width, bytes.count)]
                guard String(decoding: part, as: UTF8.self).unicodeScalars.first?.isPythonSpace == true else { break }
            }
            end += width
        }
        return end
    }

    // MARK: Text

    private enum Opening {
        case variable, block, comment
    }

    private func opening(at place: Int) -> Opening? {
        guard place + 1 < bytes.count, bytes[place] == 0x7B else { return nil }
        switch bytes[place + 1] {
        case 0x7B: return .variable
        case 0x25: return .block
        case 0x23: return .comment
        default: return nil
        }
    }

    /// Reads text up to the next tag, and the tag.
    private mutating func readText() throws(TemplateError) {
        var end = offset
        var found: Opening?
        while end < bytes.count {
            found = opening(at: end)
            if found != nil { break }
            end += 1
        }
        guard let found else {
            emitData(offset..<bytes.count)
            advance(to: bytes.count)
            return
        }
        let sign = end + 2 < bytes.count ? bytes[end + 2] : 0
        emitData(offset..<stripped(offset..<end, sign: sign, isVariable: found == .variable))
        advance(to: end + (sign == 0x2D || sign == 0x2B ? 3 : 2))
        switch found {
        case .comment: try skipComment()
        case .variable:
            emit(.variableBegin)
            try readCode(isVariable: true)
        case .block:
            if let body = rawBody() {
                try readRaw(from: body)
            } else {
                emit(.blockBegin)
                try readCode(isVariable: false)
            }
        }
    }

    private mutating func emitData(_ range: Range<Int>) {
        if !range.isEmpty { emit(.data(Array(bytes[range]))) }
    }

    /// The end of what is left of the text in `range` before a tag with this sign behind its bracket.
    private func stripped(_ range: Range<Int>, sign: UInt8, isVariable: Bool) -> Int {
        let text = Text(Array(bytes[range]))
        if sign == 0x2D { return range.lowerBound + text.stripped(.right).bytes.count }
        guard sign != 0x2B, !isVariable else { return range.upperBound }
        let lineStart = bytes[range].lastIndex(of: 0x0A).map { $0 + 1 }
        guard lineStart != nil || startsLine else { return range.upperBound }
        let start = lineStart ?? range.lowerBound
        return spaceEnd(start) >= range.upperBound ? start : range.upperBound
    }

    private mutating func skipComment() throws(TemplateError) {
        var end = offset
        while !follows("#}", at: end) {
            guard end < bytes.count else { throw fault("a comment '{#' without its '#}'") }
            end += 1
        }
        let sign = end > offset ? bytes[end - 1] : 0
        advance(to: tagEnd(end + 2, sign: sign))
    }

    /// Behind a tag that closes before `place`, with what it strips: `-` white space, nothing a line break.
    private func tagEnd(_ place: Int, sign: UInt8) -> Int {
        if sign == 0x2D { return spaceEnd(place) }
        return sign != 0x2B && place < bytes.count && bytes[place] == 0x0A ? place + 1 : place
    }

    // MARK: Raw

    /// Where the body of a raw block begins whose tag is open at `offset`; nil when it is another tag.
    private func rawBody() -> Int? {
        let name = spaceEnd(offset)
        guard follows("raw", at: name) else { return nil }
        let end = spaceEnd(name + 3)
        if follows("%}", at: end) { return end + 2 }
        return follows("-%}", at: end) ? spaceEnd(end + 3) : nil
    }

    private mutating func readRaw(from body: Int) throws(TemplateError) {
        advance(to: body)
        for place in body..<max(body, bytes.count) where follows("{%", at: place) {
            let sign = place + 2 < bytes.count ? bytes[place + 2] : 0
            let name = spaceEnd(place + (sign == 0x2D || sign == 0x2B ? 3 : 2))
            guard follows("endraw", at: name) else { continue }
            var end = spaceEnd(name + 6)
            let closing = end < bytes.count ? bytes[end] : 0
            if closing == 0x2D || closing == 0x2B { end += 1 }
            guard follows("%}", at: end) else { continue }
            emitData(body..<stripped(body..<place, sign: sign, isVariable: false))
            advance(to: tagEnd(end + 2, sign: closing))
            return
        }
        throw fault("a raw block without its end")
    }

    // MARK: Inside tags

    private mutating func readCode(isVariable: Bool) throws(TemplateError) {
        var open: [Token.Sign] = []
        while true {
            advance(to: spaceEnd(offset))
            guard let byte = byte() else { return }
            if open.isEmpty, let end = closing(isVariable) {
                emit(isVariable ? .variableEnd : .blockEnd)
                advance(to: end)
                return
            }
            if byte == 0x27 || byte == 0x22 {
                try readString(quote: byte)
            } else if (0x30...0x39).contains(byte) {
                try readNumber()
            } else if scalar(at: offset).isNameStart {
                readName()
            } else {
                try readSign(&open)
            }
        }
    }

    /// Behind the end of the tag, if one stands here.
    private func closing(_ isVariable: Bool) -> Int? {
        let sign = byte() ?? 0
        if isVariable {
            if follows("}}", at: offset) { return offset + 2 }
            return follows("-}}", at: offset) ? spaceEnd(offset + 3) : nil
        }
        if follows("%}", at: offset) { return tagEnd(offset + 2, sign: 0) }
        guard sign == 0x2D || sign == 0x2B, follows("%}", at: offset + 1) else { return nil }
        return tagEnd(offset + 3, sign: sign)
    }

    private func scalar(at place: Int) -> Unicode.Scalar {
        let end = min(place + Text.width(bytes[place]), bytes.count)
        return String(decoding: bytes[place..<end], as: UTF8.self).unicodeScalars.first ?? "\u{FFFD}"
    }

    private mutating func readName() {
        var end = offset
        while end < bytes.count, scalar(at: end).isNamePart { end += Text.width(bytes[end]) }
        emit(.name(String(decoding: bytes[offset..<end], as: UTF8.self)))
        advance(to: end)
    }

    private mutating func readSign(_ open: inout [Token.Sign]) throws(TemplateError) {
        let two = String(decoding: bytes[offset..<min(offset + 2, bytes.count)], as: UTF8.self)
        guard let sign = Token.Sign(rawValue: two) ?? Token.Sign(rawValue: String(two.prefix(1))) else {
            throw fault("unexpected character '\(scalar(at: offset).escaped(asASCII: true))'")
        }
        switch sign {
        case .openBrace: open.append(.closeBrace)
        case .openBracket: open.append(.closeBracket)
        case .openParenthesis: open.append(.closeParenthesis)
        case .closeBrace, .closeBracket, .closeParenthesis:
            guard open.popLast() == sign else { throw fault("unexpected '\(sign.rawValue)'") }
        default: break
        }
        emit(.sign(sign))
        advance(to: offset + sign.rawValue.utf8.count)
    }

    private mutating func readString(quote: UInt8) throws(TemplateError) {
        var end = offset + 1
        while end < bytes.count, bytes[end] != quote { end += bytes[end] == 0x5C ? 2 : 1 }
        guard end < bytes.count else { throw fault("a string without its end") }
        emit(.string(try StringLiteral.value(of: bytes[(offset + 1)..<end], line: line)))
        advance(to: end + 1)
    }

    private mutating func readNumber() throws(TemplateError) {
        let followsDot = offset > 0 && bytes[offset - 1] == 0x2E
        let (number, end) = NumberLiteral.read(bytes, at: offset, mayBeFloat: !followsDot)
        guard let number else { throw fault("a number that is too large") }
        emit(number)
        advance(to: end)
    }
}
