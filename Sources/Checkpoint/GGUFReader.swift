// Reads GGUF's primitive values from bytes that nobody vouches for.

/// A cursor over a GGUF header. Every read is checked against the bytes that are left.
struct GGUFReader {
    /// Arrays may hold arrays this many levels deep.
    static let deepestNesting = 4

    private let bytes: UnsafeRawBufferPointer
    private let path: String
    private var offset = 0
    /// What is being read, for error messages.
    var context: String?

    init(bytes: UnsafeRawBufferPointer, path: String) {
        self.bytes = bytes
        self.path = path
    }

    /// The whole file's size in bytes.
    var size: Int { bytes.count }
    private var left: Int { bytes.count - offset }
    /// The place now being read, for error messages.
    var place: String { "byte \(offset)" }

    /// The current offset rounded up, for the data section that follows the header.
    func aligned(to alignment: Int) -> Int {
        (offset + alignment - 1) / alignment * alignment
    }

    /// An error at `place`, within the current context.
    func error(_ place: String, _ problem: String, fix: String? = nil) -> CheckpointError {
        let whole = context.map { place.hasPrefix($0) ? place : "\($0), \(place)" } ?? place
        return CheckpointError(path: path, place: whole, problem: problem, fix: fix)
    }

    private func needs(_ count: Int) throws(CheckpointError) {
        guard count <= left else {
            throw error(
                place, "needs \(count) more bytes, \(left) are left",
                fix: "the file is cut short or damaged: fetch it again")
        }
    }

    /// A little-endian integer.
    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(CheckpointError) -> T {
        try needs(MemoryLayout<T>.size)
        defer { offset += MemoryLayout<T>.size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// A count of things that take at least `smallest` bytes each, so that no absurd count is ever acted upon.
    mutating func count(_ what: String, smallest: Int, limit: Int = .max) throws(CheckpointError) -> Int {
        let found = try integer(UInt64.self)
        guard found <= UInt64(min(left / smallest, limit)) else {
            throw error(
                what, "claims \(found), the \(left) bytes that are left hold at most \(min(left / smallest, limit))",
                fix: "the file is cut short or damaged: fetch it again")
        }
        return Int(found)
    }

    /// A length and that many bytes of UTF-8.
    mutating func string(limit: Int = .max) throws(CheckpointError) -> String {
        let start = place
        let length = try count("string at \(start)", smallest: 1, limit: limit)
        defer { offset += length }
        guard let text = String(validating: bytes[offset..<(offset + length)], as: UTF8.self) else {
            throw error("string at \(start)", "is not UTF-8")
        }
        return text
    }

    /// A type code and a value of that type.
    mutating func value() throws(CheckpointError) -> GGUFValue {
        let code = try integer(UInt32.self)
        switch code {
        case 0: return .unsigned(UInt64(try integer(UInt8.self)))
        case 1: return .signed(Int64(try integer(Int8.self)))
        case 2: return .unsigned(UInt64(try integer(UInt16.self)))
        case 3: return .signed(Int64(try integer(Int16.self)))
        case 4: return .unsigned(UInt64(try integer(UInt32.self)))
        case 5: return .signed(Int64(try integer(Int32.self)))
        case 6: return .float(Double(Float(bitPattern: try integer(UInt32.self))))
        case 7: return .boolean(try boolean())
        case 8: return .string(try string())
        case 9: return .array(try array(depth: 1))
        case 10: return .unsigned(try integer(UInt64.self))
        case 11: return .signed(try integer(Int64.self))
        case 12: return .float(Double(bitPattern: try integer(UInt64.self)))
        default: throw error(place, "unknown value type \(code)", fix: "convert the model again")
        }
    }

    private mutating func boolean() throws(CheckpointError) -> Bool {
        let byte = try integer(UInt8.self)
        guard byte <= 1 else { throw error(place, "expected 0 or 1 for a boolean, found \(byte)") }
        return byte == 1
    }

    private mutating func array(depth: Int) throws(CheckpointError) -> GGUFArray {
        guard depth <= Self.deepestNesting else {
            throw error(place, "arrays nested deeper than \(Self.deepestNesting)")
        }
        let code = try integer(UInt32.self)
        switch code {
        case 0: return .unsigned(try integers(UInt8.self) { UInt64($0) })
        case 1: return .signed(try integers(Int8.self) { Int64($0) })
        case 2: return .unsigned(try integers(UInt16.self) { UInt64($0) })
        case 3: return .signed(try integers(Int16.self) { Int64($0) })
        case 4: return .unsigned(try integers(UInt32.self) { UInt64($0) })
        case 5: return .signed(try integers(Int32.self) { Int64($0) })
        case 6: return .float(try integers(UInt32.self) { Double(Float(bitPattern: $0)) })
        case 10: return .unsigned(try integers(UInt64.self) { $0 })
        case 11: return .signed(try integers(Int64.self) { $0 })
        case 12: return .float(try integers(UInt64.self) { Double(bitPattern: $0) })
        default: break
        }
        switch code {
        case 7: return .boolean(try elements(smallest: 1) { (reader) throws(CheckpointError) in try reader.boolean() })
        case 8: return .string(try elements(smallest: 8) { (reader) throws(CheckpointError) in try reader.string() })
        case 9:
            return .array(
                try elements(smallest: 12) { (reader) throws(CheckpointError) in try reader.array(depth: depth + 1) })
        default: throw error(place, "unknown array element type \(code)", fix: "convert the model again")
        }
    }

    private mutating func integers<T: FixedWidthInteger, R>(
        _ type: T.Type, _ convert: (T) -> R
    ) throws(CheckpointError) -> [R] {
        try elements(smallest: MemoryLayout<T>.size) { (reader) throws(CheckpointError) in
            convert(try reader.integer(T.self))
        }
    }

    private mutating func elements<R>(
        smallest: Int, _ read: (inout GGUFReader) throws(CheckpointError) -> R
    ) throws(CheckpointError) -> [R] {
        let count = try count("array length", smallest: smallest)
        var values: [R] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try read(&self)) }
        return values
    }
}
