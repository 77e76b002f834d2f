// Numbers and strings as templates write them.

/// Numbers: Python's forms.
enum NumberLiteral {
    /// The number that begins at `start`, with a digit, and where it ends; nil for one too large to hold.
    static func read(_ bytes: [UInt8], at start: Int, mayBeFloat: Bool) -> (Token.Kind?, end: Int) {
        func digits(from place: Int, _ isDigit: (UInt8) -> Bool) -> Int {
            var end = place
            while end < bytes.count {
                if isDigit(bytes[end]) {
                    end += 1
                } else if bytes[end] == 0x5F, end > start, end + 1 < bytes.count, isDigit(bytes[end + 1]) {
                    end += 2
                } else {
                    break
                }
            }
            return end
        }
        func decimal(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
        func at(_ place: Int) -> UInt8 { place < bytes.count ? bytes[place] : 0 }
        func text(_ range: Range<Int>) -> String {
            String(decoding: bytes[range].filter { $0 != 0x5F }, as: UTF8.self)
        }
        if mayBeFloat {
            let whole = digits(from: start, decimal)
            var end = whole
            if at(end) == 0x2E, decimal(at(end + 1)) { end = digits(from: end + 1, decimal) }
            if at(end) | 0x20 == 0x65 {
                let sign = at(end + 1) == 0x2B || at(end + 1) == 0x2D ? 1 : 0
                if decimal(at(end + 1 + sign)) { end = digits(from: end + 1 + sign, decimal) }
            }
            if end > whole { return (Double(text(start..<end)).map { .float($0) }, end) }
        }
        let radices: [UInt8: Int] = [0x62: 2, 0x6F: 8, 0x78: 16]
        if at(start) == 0x30, let radix = radices[at(start + 1) | 0x20] {
            let end = digits(from: start + 2) { Int(String(UnicodeScalar($0)), radix: radix) != nil }
            if end > start + 2 { return (Int(text((start + 2)..<end), radix: radix).map { .integer($0) }, end) }
        }
        let end = digits(from: start) { at(start) == 0x30 ? $0 == 0x30 : decimal($0) }
        return (Int(text(start..<end)).map { .integer($0) }, end)
    }
}

/// Strings: Python's escapes.
enum StringLiteral {
    /// What stands between the quotes, escapes resolved.
    static func value(of source: ArraySlice<UInt8>, line: Int) throws(TemplateError) -> [UInt8] {
        let source = Lexer.normalized(Array(source))
        guard source.contains(0x5C) else { return source }
        var result: [UInt8] = []
        var offset = 0
        while offset < source.count {
            guard source[offset] == 0x5C, offset + 1 < source.count else {
                result.append(source[offset])
                offset += 1
                continue
            }
            let letter = source[offset + 1]
            offset += 2
            switch letter {
            case 0x0A: break
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "a"): result.append(0x07)
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0C)
            case UInt8(ascii: "v"): result.append(0x0B)
            case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(letter)
            case UInt8(ascii: "x"): try append(&result, source, &offset, digits: 2, line)
            case UInt8(ascii: "u"): try append(&result, source, &offset, digits: 4, line)
            case UInt8(ascii: "U"): try append(&result, source, &offset, digits: 8, line)
            case 0x30...0x37:
                var code = UInt32(letter - 0x30)
                for _ in 0..<2 where offset < source.count && (0x30...0x37).contains(source[offset]) {
                    code = code * 8 + UInt32(source[offset] - 0x30)
                    offset += 1
                }
                result.append(contentsOf: Array(String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8))
            case UInt8(ascii: "N"): throw TemplateError(.syntax, "a \\N escape is not supported", line: line)
            default: result += [0x5C, letter]
            }
        }
        return result
    }

    private static func append(
        _ result: inout [UInt8], _ source: [UInt8], _ offset: inout Int, digits: Int, _ line: Int
    ) throws(TemplateError) {
        guard offset + digits <= source.count,
            let code = UInt32(String(decoding: source[offset..<(offset + digits)], as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(code), source[offset] != 0x2B
        else { throw TemplateError(.syntax, "an escape in a string that names no character", line: line) }
        result.append(contentsOf: Array(String(scalar).utf8))
        offset += digits
    }
}
