// JSON text from Encodable values, members in the order in which they are encoded.

import NIOCore

/// A value as JSON text, in one pass and with no tree in between. Equal values give equal bytes.
///
/// Foundation's encoder sorts members or leaves their order to chance; an answer's log-probabilities go by probability.
func encoded(_ value: some Encodable) throws -> ByteBuffer {
    let text = JSONText()
    try text.write(value, at: [])
    return ByteBuffer(bytes: text.closed())
}

/// The text as far as it is written, and what stands open in it.
private final class JSONText {
    /// An object or array whose end is not written yet.
    struct Open {
        let number: Int
        let end: UInt8
        var isEmpty = true
    }

    private(set) var bytes: [UInt8] = []
    private var open: [Open] = []
    private var opened = 0

    /// Begins an object or array; returns its number.
    func begin(_ start: Unicode.Scalar, _ end: Unicode.Scalar) -> Int {
        opened += 1
        bytes.append(UInt8(ascii: start))
        open.append(Open(number: opened, end: UInt8(ascii: end)))
        return opened
    }

    /// Makes room for the next element of a container: what was begun inside it is over.
    func element(of number: Int, at path: [any CodingKey]) throws {
        while let last = open.last, last.number != number {
            bytes.append(last.end)
            open.removeLast()
        }
        guard let last = open.indices.last else {
            throw EncodingError.invalidValue(
                number, .init(codingPath: path, debugDescription: "a container was written to after its end"))
        }
        if !open[last].isEmpty { bytes.append(UInt8(ascii: ",")) }
        open[last].isEmpty = false
    }

    func member(_ key: any CodingKey, of number: Int, at path: [any CodingKey]) throws {
        try element(of: number, at: path)
        write(key.stringValue)
        bytes.append(UInt8(ascii: ":"))
    }

    /// The whole text.
    func closed() -> [UInt8] {
        while let last = open.popLast() { bytes.append(last.end) }
        return bytes
    }

    func write<Value: Encodable>(_ value: Value, at path: [any CodingKey]) throws {
        switch value {
        case let text as String: write(text)
        case let number as Double: try write(number, at: path)
        case let number as Float: try write(Double(number), at: path)
        case let truth as Bool: writeLiteral(truth ? "true" : "false")
        case let number as any BinaryInteger: writeLiteral("\(number)")
        default:
            let before = bytes.count
            try value.encode(to: ValueEncoder(text: self, codingPath: path))
            guard bytes.count > before else {
                throw EncodingError.invalidValue(
                    value, .init(codingPath: path, debugDescription: "\(Value.self) wrote nothing"))
            }
        }
    }

    func writeLiteral(_ literal: String) { bytes.append(contentsOf: literal.utf8) }

    private func write(_ number: Double, at path: [any CodingKey]) throws {
        guard number.isFinite else {
            throw EncodingError.invalidValue(
                number, .init(codingPath: path, debugDescription: "JSON has no \(number)"))
        }
        writeLiteral(Int64(exactly: number).map(String.init) ?? "\(number)")
    }

    private func write(_ text: String) {
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
            case UInt8(ascii: "\r"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
            case UInt8(ascii: "\t"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
            case 0..<0x20: bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

/// The place of one value in the text.
private struct ValueEncoder: Encoder, SingleValueEncodingContainer {
    let text: JSONText
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        KeyedEncodingContainer(Members(text: text, codingPath: codingPath, number: text.begin("{", "}")))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        Elements(text: text, codingPath: codingPath, number: text.begin("[", "]"))
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() { text.writeLiteral("null") }

    func encode<Value: Encodable>(_ value: Value) throws { try text.write(value, at: codingPath) }
}

/// The members of an object.
private struct Members<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let text: JSONText
    let codingPath: [any CodingKey]
    let number: Int

    func encodeNil(forKey key: Key) throws {
        try text.member(key, of: number, at: codingPath)
        text.writeLiteral("null")
    }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try text.member(key, of: number, at: codingPath)
        try text.write(value, at: codingPath + [key])
    }

    private func encoder(for key: any CodingKey) -> ValueEncoder {
        // Only a container that is over can fail here; what is written then is refused with it.
        try? text.member(key, of: number, at: codingPath)
        return ValueEncoder(text: text, codingPath: codingPath + [key])
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { encoder(for: key).container(keyedBy: type) }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        encoder(for: key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoder(for: FieldName(stringValue: "super")) }

    func superEncoder(forKey key: Key) -> any Encoder { encoder(for: key) }
}

/// The elements of an array.
private struct Elements: UnkeyedEncodingContainer {
    let text: JSONText
    let codingPath: [any CodingKey]
    let number: Int
    private(set) var count = 0

    mutating func encodeNil() throws {
        try next()
        text.writeLiteral("null")
    }

    mutating func encode<Value: Encodable>(_ value: Value) throws {
        try next()
        try text.write(value, at: codingPath)
    }

    private mutating func next() throws {
        try text.element(of: number, at: codingPath)
        count += 1
    }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        encoder().container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { encoder().unkeyedContainer() }

    mutating func superEncoder() -> any Encoder { encoder() }

    private mutating func encoder() -> ValueEncoder {
        try? next()
        return ValueEncoder(text: text, codingPath: codingPath)
    }
}
