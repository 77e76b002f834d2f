// The printable stand-ins that byte-level vocabularies write for bytes.

/// GPT-2's one-to-one map between bytes and printable characters: printable Latin-1 stands for itself, the other
/// bytes, in order, for U+0100 and up.
enum ByteLevelAlphabet {
    /// The byte that each scalar below `bytes.count` stands for, or nil.
    private static let bytes: [UInt8?] = {
        var table = [UInt8?](repeating: nil, count: 256 + 68)
        var next = 256
        for byte in 0..<256 {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: table[byte] = UInt8(byte)
            default:
                table[next] = UInt8(byte)
                next += 1
            }
        }
        return table
    }()

    /// The bytes that `text` (UTF-8) stands for; nil when it has a character outside the alphabet.
    static func decode(_ text: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            guard scalar.value < bytes.count, let byte = bytes[Int(scalar.value)] else { return nil }
            result.append(byte)
        }
        return result
    }
}
