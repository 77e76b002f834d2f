// One entry of a GGUF file's tensor list, read and checked.

/// A tensor entry as the file has it, before its place in the data section is known to be sound.
struct GGUFTensorInfo {
    let name: String
    let dimensions: [Int]
    let type: GGUFTensorType
    /// Relative to the data section.
    let offset: UInt64

    /// Reads one entry; dimensions are checked so that their product fits `Int`.
    init(_ reader: inout GGUFReader) throws(CheckpointError) {
        name = try reader.string(limit: 1024)
        reader.context = "tensor \(name)"
        let rank = try reader.integer(UInt32.self)
        guard (1...4).contains(rank) else {
            throw reader.error("dimensions", "expected 1 to 4, found \(rank)")
        }
        var dimensions: [Int] = []
        var product = 1
        for _ in 0..<rank {
            let size = try reader.integer(UInt64.self)
            guard let size = Int(exactly: size), size > 0 else {
                throw reader.error("dimensions", "a size of \(size)")
            }
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            guard !overflow else { throw reader.error("dimensions", "more elements than fit 63 bits") }
            product = next
            dimensions.append(size)
        }
        self.dimensions = dimensions
        type = GGUFTensorType(code: try reader.integer(UInt32.self))
        offset = try reader.integer(UInt64.self)
    }

    /// The tensor with its absolute place, if that lies inside the file.
    func placed(dataStart: Int, alignment: Int, in reader: GGUFReader) throws(CheckpointError) -> GGUFTensor {
        let place = "tensor \(name)"
        guard offset % UInt64(alignment) == 0 else {
            throw reader.error(place, "its offset \(offset) is not a multiple of \(alignment)")
        }
        var byteCount: Int?
        if let block = type.block {
            guard dimensions[0] % block.elements == 0 else {
                throw reader.error(
                    place, "rows of \(dimensions[0]) elements cannot be packed in blocks of \(block.elements) (\(type))"
                )
            }
            let blocks = dimensions.reduce(1, *) / block.elements
            let (bytes, overflow) = blocks.multipliedReportingOverflow(by: block.bytes)
            guard !overflow else { throw reader.error(place, "more bytes than fit 63 bits") }
            byteCount = bytes
        }
        let room = reader.size - dataStart
        guard let start = Int(exactly: offset), start <= room, (byteCount ?? 0) <= room - start else {
            throw reader.error(
                place, "needs bytes \(offset)..+\(byteCount ?? 0) of a data section of \(max(room, 0)) bytes",
                fix: "the file is cut short or damaged: fetch it again")
        }
        return GGUFTensor(
            name: name, dimensions: dimensions, type: type, offset: dataStart + start, byteCount: byteCount)
    }
}
