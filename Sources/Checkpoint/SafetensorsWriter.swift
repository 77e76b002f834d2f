// Writes safetensors files, streaming.

internal import FoundationEssentials

/// Writes one safetensors file: the header at once, then the tensors' bytes in the order of the header.
struct SafetensorsWriter {
    /// A tensor that the file will have.
    struct Entry {
        var name: String
        var type: ElementType
        var shape: [Int]

        /// The bytes of its values.
        var byteCount: Int { shape.reduce(type.size, *) }
    }

    /// The bytes of all tensors.
    let totalBytes: Int
    /// The bytes of tensors written so far.
    private(set) var writtenBytes = 0
    private let file: OutputFile

    /// Begins the file with its header.
    init(path: String, entries: [Entry]) throws(CheckpointError) {
        var header: [String: JSONValue] = ["__metadata__": .object(["format": .string("pt")])]
        var end = 0
        for entry in entries {
            header[entry.name] = .object([
                "dtype": .string(entry.type.rawValue), "shape": .array(entry.shape.map { .integer($0) }),
                "data_offsets": .array([.integer(end), .integer(end + entry.byteCount)]),
            ])
            end += entry.byteCount
        }
        totalBytes = end
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var text: [UInt8]
        do { text = Array(try encoder.encode(JSONValue.object(header))) } catch {
            throw CheckpointError(path: path, place: "header", problem: "cannot be encoded: \(error)")
        }
        // Spaces, as the format allows, so that the tensors begin aligned.
        text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
        file = try OutputFile(path: path)
        let length = UInt64(text.count)
        try file.write((0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) })
        try file.write(text)
    }

    /// Appends bytes of the tensors.
    mutating func write(_ bytes: [UInt8]) throws(CheckpointError) {
        try file.write(bytes)
        writtenBytes += bytes.count
    }

    /// Appends the bytes of a tensor of another file.
    mutating func copy(_ stored: StoredTensor, _ progress: (Int, Int) -> Void) throws(CheckpointError) {
        for start in stride(from: stored.bytes.lowerBound, to: stored.bytes.upperBound, by: 1 << 22) {
            let end = min(stored.bytes.upperBound, start + 1 << 22)
            try write(stored.file.withBytes { Array($0[start..<end]) })
            progress(writtenBytes, totalBytes)
        }
    }

    /// Gives the file its name; all bytes must have been written.
    func finish() throws(CheckpointError) {
        precondition(writtenBytes == totalBytes)
        try file.finish()
    }
}
