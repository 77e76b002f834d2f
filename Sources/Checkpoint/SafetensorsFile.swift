// One safetensors file: 8 bytes of header length, a JSON header, then the tensors' bytes.

/// How a tensor's elements are stored.
package enum ElementType: String, Sendable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u64 = "U64"
    case u32 = "U32"
    case u16 = "U16"
    case u8 = "U8"
    case bool = "BOOL"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"

    /// Bytes per element.
    package var size: Int {
        switch self {
        case .f64, .i64, .u64: 8
        case .f32, .i32, .u32: 4
        case .f16, .bf16, .i16, .u16: 2
        case .i8, .u8, .bool, .f8e4m3, .f8e5m2: 1
        }
    }
}

/// Where a tensor is and what it looks like.
package struct TensorEntry: Sendable {
    package var name: String
    package var type: ElementType
    package var shape: [Int]
    /// The bytes in the file, checked to lie inside it and to fit type and shape.
    package var bytes: Range<Int>
}

/// A mapped safetensors file whose header has been checked against the file.
package final class SafetensorsFile: Sendable {
    /// The file.
    package let file: MappedFile
    /// The tensors by name.
    package let tensors: [String: TensorEntry]

    /// The largest header accepted, the limit of the format's own library.
    static let largestHeader = 100_000_000

    /// The most tensors accepted; models have some hundreds or thousands.
    static let mostTensors = 1 << 20

    /// Maps the file and checks its whole header: no tensor reaches outside the file or into another, and each has as
    /// many bytes as its type and shape ask for.
    package init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        self.file = file
        let header = file.withBytes { Self.header(of: $0, path: path) }
        let (object, start) = try header.get()
        guard object.fields.count <= Self.mostTensors else {
            throw CheckpointError(
                path: path, place: "header",
                problem: "\(object.fields.count) tensors, at most \(Self.mostTensors) are accepted")
        }
        var tensors: [String: TensorEntry] = [:]
        for name in object.fields.keys where name != "__metadata__" {
            guard let entry = try object.object(name) else {
                throw object.error(name, "expected an object, found null")
            }
            tensors[name] = try Self.entry(name, entry, dataStart: start, fileSize: file.count)
        }
        try Self.checkDisjoint(tensors, path: path)
        self.tensors = tensors
    }

    private static func header(
        of bytes: UnsafeRawBufferPointer, path: String
    ) -> Result<(JSONObject, dataStart: Int), CheckpointError> {
        let download = "the file is damaged or incomplete: fetch it again"
        guard bytes.count >= 8 else {
            return .failure(
                CheckpointError(
                    path: path, place: "header",
                    problem: "the file has \(bytes.count) bytes; a safetensors file has "
                        + "at least 8", fix: download))
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(bytes.count - 8), length <= UInt64(largestHeader) else {
            return .failure(
                CheckpointError(
                    path: path, place: "header",
                    problem: "it claims \(length) bytes; the file has \(bytes.count - 8) after the length, and the "
                        + "format allows \(largestHeader)", fix: download))
        }
        let start = 8 + Int(length)
        return JSONObject.parse(UnsafeRawBufferPointer(rebasing: bytes[8..<start]), path: path, place: "header")
            .map { (JSONObject(path: path, fields: $0.fields), start) }
    }

    private static func entry(
        _ name: String, _ entry: JSONObject, dataStart: Int, fileSize: Int
    ) throws(CheckpointError) -> TensorEntry {
        guard let typeName = try entry.string("dtype") else { throw entry.error("dtype", "missing") }
        guard let type = ElementType(rawValue: typeName) else {
            throw entry.error(
                "dtype", "unknown type \"\(typeName.prefix(80))\"",
                fix: "known are \(ElementType.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let shape = try sizes(entry, "shape")
        let offsets = try sizes(entry, "data_offsets")
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw entry.error("data_offsets", "expected a begin and an end not before it, found \(offsets)")
        }
        guard offsets[1] <= fileSize - dataStart else {
            throw entry.error(
                "data_offsets",
                "the tensor ends at byte \(offsets[1]) of the data, of which the file has "
                    + "\(fileSize - dataStart)", fix: "the file is damaged or incomplete: fetch it again")
        }
        var size = type.size
        for dimension in shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
            guard !overflow else { throw entry.error("shape", "\(shape) is too large to exist") }
            size = product
        }
        guard size == offsets[1] - offsets[0] else {
            throw entry.error(
                "data_offsets",
                "\(type.rawValue) of shape \(shape) takes \(size) bytes, the offsets give "
                    + "\(offsets[1] - offsets[0])")
        }
        return TensorEntry(name: name, type: type, shape: shape, bytes: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    private static func sizes(_ entry: JSONObject, _ key: String) throws(CheckpointError) -> [Int] {
        guard case .array(let list)? = entry.fields[key] else {
            throw entry.error(key, "expected a list of sizes, found \(entry.fields[key]?.kind ?? "nothing")")
        }
        var sizes: [Int] = []
        for value in list {
            guard case .integer(let size) = value, size >= 0 else {
                throw entry.error(key, "expected a size, found \(value.kind)")
            }
            sizes.append(size)
        }
        return sizes
    }

    private static func checkDisjoint(_ tensors: [String: TensorEntry], path: String) throws(CheckpointError) {
        let ordered = tensors.values.filter { !$0.bytes.isEmpty }.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
        for (one, next) in zip(ordered, ordered.dropFirst()) where next.bytes.lowerBound < one.bytes.upperBound {
            throw CheckpointError(
                path: path, place: next.name, problem: "its bytes overlap those of \(one.name)",
                fix: "the file is damaged: fetch it again")
        }
    }
}
