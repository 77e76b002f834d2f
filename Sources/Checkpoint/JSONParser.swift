// Parses JSON that nobody vouches for.

/// A strict JSON parser (RFC 8259) over UTF-8 bytes, bounded in depth.
package struct JSONParser {
    /// What is wrong, and where in the file.
    package struct Fault: Error {
        /// In bytes from the beginning.
        package var offset: Int
        /// What was expected there.
        package var problem: String
    }

    /// Objects and arrays may nest this deep.
    package static let deepestNesting = 128

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    private init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Parses one JSON text; nil when it is none.
    package static func parse(_ bytes: [UInt8]) -> JSON? { bytes.withUnsafeBytes { try? parse($0) } }

    /// Parses one JSON text that fills `bytes`.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> JSON {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Fault(offset: 0, problem: "is not UTF-8")
        }
        var parser = JSONParser(bytes: bytes)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.offset == bytes.count else { throw parser.fault("text after the end of the JSON value") }
        return value
    }

    private func fault(_ problem: String) -> Fault {
        Fault(offset: offset, problem: problem)
    }

    private var peek: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(Fault) -> JSON {
        guard depth <= Self.deepestNesting else { throw fault("nested deeper than \(Self.deepestNesting)") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw fault("the file ends inside a value")
        default: return try number()
        }
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(Fault) -> JSON {
        let count = text.utf8CodeUnitCount
        let expected = UnsafeRawBufferPointer(start: text.utf8Start, count: count)
        guard bytes.count - offset >= count, bytes[offset..<(offset + count)].elementsEqual(expected) else {
            throw fault("expected a value")
        }
        offset += count
        return value
    }

    private mutating func number() throws(Fault) -> JSON {
        let start = offset
        while let byte = peek, Self.isNumberByte(byte) { offset += 1 }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if let integer = Int(text), !text.hasPrefix("+") { return .integer(integer) }
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first),
            let number = Double(text), number.isFinite
        else {
            offset = start
            throw fault("expected a value")
        }
        let digits = first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        if digits.allSatisfy({ (0x30...0x39).contains($0) }) { return .largeInteger(Array(text.utf8)) }
        return .number(number)
    }

    private static func isNumberByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    private mutating func array(depth: Int) throws(Fault) -> JSON {
        offset += 1
        var values: [JSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(values) }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(values) }
            guard take(UInt8(ascii: ",")) else { throw fault("expected , or ]") }
        }
    }

    private mutating func object(depth: Int) throws(Fault) -> JSON {
        offset += 1
        var members: [(key: [UInt8], value: JSON)] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw fault("expected a key") }
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw fault("expected :") }
            members.append((key, try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            guard take(UInt8(ascii: ",")) else { throw fault("expected , or }") }
        }
    }

    private mutating func string() throws(Fault) -> [UInt8] {
        offset += 1
        var result: [UInt8] = []
        var runStart = offset
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                result.append(contentsOf: bytes[runStart..<offset])
                offset += 1
                return result
            case UInt8(ascii: "\\"):
                result.append(contentsOf: bytes[runStart..<offset])
                offset += 1
                try escape(into: &result)
                runStart = offset
            case 0..<0x20: throw fault("a control character inside a string")
            default: offset += 1
            }
        }
        throw fault("the file ends inside a string")
    }

    private mutating func escape(into result: inout [UInt8]) throws(Fault) {
        guard let byte = peek else { throw fault("the file ends inside a string") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"): try unicodeEscape(into: &result)
        default: throw fault("unknown escape")
        }
    }

    private mutating func unicodeEscape(into result: inout [UInt8]) throws(Fault) {
        var code = try hexadecimal()
        if (0xD800..<0xDC00).contains(code) {
            guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw fault("half a surrogate pair") }
            let low = try hexadecimal()
            guard (0xDC00..<0xE000).contains(low) else { throw fault("half a surrogate pair") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw fault("half a surrogate pair") }
        result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    }

    private mutating func hexadecimal() throws(Fault) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("expected four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }
}
