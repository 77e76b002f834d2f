// Writes GGUF files, streaming.

/// Writes one GGUF file of version 3: the header at once, then the tensors' bytes in the order of the header.
struct GGUFWriter {
    /// A tensor that the file will have.
    struct Entry {
        var name: String
        /// `[outputs, inputs]` or `[values]`; written the other way round.
        var shape: [Int]
        var type: GGUFTensorType

        /// The bytes of its values; 0 for a type that is not known.
        var byteCount: Int { type.block.map { shape.reduce(1, *) / $0.elements * $0.bytes } ?? 0 }
    }

    /// Tensors begin at multiples of this many bytes.
    static let alignment = 32

    /// The bytes of all tensors, without padding.
    let totalBytes: Int
    /// The bytes of tensors written so far, without padding.
    private(set) var writtenBytes = 0
    private let file: OutputFile

    /// Begins the file with its header. `general.alignment` is added to the metadata.
    init(path: String, metadata: [(key: String, value: GGUFValue)], entries: [Entry]) throws(CheckpointError) {
        var header = GGUFBytes()
        header.all += Array("GGUF".utf8)
        header.add(UInt32(3))
        header.add(UInt64(entries.count))
        header.add(UInt64(metadata.count + 1))
        header.add("general.alignment")
        header.add(.unsigned(UInt64(Self.alignment)))
        for (key, value) in metadata {
            header.add(key)
            header.add(value)
        }
        var offset = 0
        for entry in entries {
            header.add(entry.name)
            header.add(UInt32(entry.shape.count))
            for size in entry.shape.reversed() { header.add(UInt64(size)) }
            header.add(entry.type.code)
            header.add(UInt64(offset))
            offset += entry.byteCount + Self.padding(after: entry.byteCount)
        }
        header.all += [UInt8](repeating: 0, count: Self.padding(after: header.all.count))
        totalBytes = entries.reduce(0) { $0 + $1.byteCount }
        file = try OutputFile(path: path)
        try file.write(header.all)
    }

    private static func padding(after count: Int) -> Int { (alignment - count % alignment) % alignment }

    /// Appends bytes of the tensor that is due.
    mutating func write(_ bytes: [UInt8]) throws(CheckpointError) {
        try file.write(bytes)
        writtenBytes += bytes.count
    }

    /// Ends a tensor of `count` bytes, all of them written.
    func endTensor(_ count: Int) throws(CheckpointError) {
        try file.write([UInt8](repeating: 0, count: Self.padding(after: count)))
    }

    /// Gives the file its name; all bytes must have been written.
    func finish() throws(CheckpointError) {
        precondition(writtenBytes == totalBytes)
        try file.finish()
    }
}

/// GGUF's primitive values as bytes.
private struct GGUFBytes {
    var all: [UInt8] = []

    mutating func add(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { all += $0 }
    }

    mutating func add(_ text: String) {
        add(UInt64(text.utf8.count))
        all += Array(text.utf8)
    }

    /// A type code and a value, whole numbers in 32 bits where they fit, others as Float32.
    mutating func add(_ value: GGUFValue) {
        switch value {
        case .unsigned(let value):
            if let small = UInt32(exactly: value) { addCoded(4, small) } else { addCoded(10, value) }
        case .signed(let value):
            if let small = Int32(exactly: value) { addCoded(5, small) } else { addCoded(11, value) }
        case .float(let value): addCoded(6, Float(value).bitPattern)
        case .boolean(let value): addCoded(7, UInt8(value ? 1 : 0))
        case .string(let text):
            add(UInt32(8))
            add(text)
        case .array(let array):
            add(UInt32(9))
            add(array)
        }
    }

    private mutating func addCoded(_ code: UInt32, _ value: some FixedWidthInteger) {
        add(code)
        add(value)
    }

    private mutating func add(_ array: GGUFArray) {
        func begin(_ code: UInt32, into bytes: inout GGUFBytes) {
            bytes.add(code)
            bytes.add(UInt64(array.count))
        }
        switch array {
        case .unsigned(let values):
            begin(10, into: &self)
            for value in values { add(value) }
        case .signed(let values):
            let areSmall = values.allSatisfy { Int32(exactly: $0) != nil }
            begin(areSmall ? 5 : 11, into: &self)
            for value in values { if areSmall { add(Int32(truncatingIfNeeded: value)) } else { add(value) } }
        case .float(let values):
            begin(6, into: &self)
            for value in values { add(Float(value).bitPattern) }
        case .boolean(let values):
            begin(7, into: &self)
            for value in values { add(UInt8(value ? 1 : 0)) }
        case .string(let texts):
            begin(8, into: &self)
            for text in texts { add(text) }
        case .array(let arrays):
            begin(9, into: &self)
            for inner in arrays { add(inner) }
        }
    }
}
