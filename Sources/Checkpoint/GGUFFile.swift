// A GGUF file: its metadata and its list of tensors.

/// The header of a GGUF file, version 2 or 3, little-endian.
///
/// The file is mapped, and every length in it is checked against the file's size before anything is
/// allocated for it. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
public final class GGUFFile: Sendable {
    /// The path as it was given.
    public let path: String
    /// The format version, 2 or 3.
    public let version: Int
    /// Metadata by key.
    public let metadata: [String: GGUFValue]
    /// The metadata keys in the file's order.
    public let keys: [String]
    /// The tensors in the file's order.
    public let tensors: [GGUFTensor]
    /// The multiple on which tensor data begins, in bytes.
    public let alignment: Int
    /// The whole file.
    let file: MappedFile

    /// Reads the header of a GGUF file; the error names the place in it that is wrong.
    public init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        let header: Result<Header, CheckpointError> = file.withBytes { bytes in
            do throws(CheckpointError) {
                return .success(try Header(bytes: bytes, path: path))
            } catch {
                return .failure(error)
            }
        }
        let read = try header.get()
        self.path = path
        self.file = file
        version = read.version
        metadata = read.metadata
        keys = read.keys
        tensors = read.tensors
        alignment = read.alignment
    }

    /// The metadata value under `key`, converted by `convert`; nil when there is none. Throws when it has another type.
    package func value<T>(
        _ key: String, _ expected: String, _ convert: (GGUFValue) -> T?
    ) throws(CheckpointError) -> T? {
        guard let value = metadata[key] else { return nil }
        guard let converted = convert(value) else {
            throw CheckpointError(
                path: path, place: key, problem: "expected \(expected), found another type",
                fix: "convert the model again")
        }
        return converted
    }
}

/// Everything before the tensor data, as values.
private struct Header {
    /// Largest count of metadata entries and of tensors; models have some tens and some thousands.
    static let mostEntries = 1 << 20

    var version = 0
    var metadata: [String: GGUFValue] = [:]
    var keys: [String] = []
    var tensors: [GGUFTensor] = []
    var alignment = 32

    init(bytes: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
        var reader = GGUFReader(bytes: bytes, path: path)
        let (tensorCount, entryCount) = try readCounts(&reader)
        for _ in 0..<entryCount {
            let place = reader.place
            let key = try reader.string(limit: 65_535)
            guard metadata[key] == nil else {
                throw reader.error("metadata key \(key)", "appears twice", fix: "convert the model again")
            }
            reader.context = "metadata \(key)"
            metadata[key] = try reader.value()
            reader.context = nil
            guard !key.isEmpty else { throw reader.error(place, "a metadata key is empty") }
            keys.append(key)
        }
        if let value = metadata["general.alignment"] {
            guard let wanted = value.integer, wanted > 0, wanted <= 1 << 20, wanted % 8 == 0 else {
                throw reader.error("general.alignment", "expected a multiple of 8 up to 1048576, found \(value)")
            }
            alignment = wanted
        }
        try readTensors(&reader, count: tensorCount)
    }

    /// Reads the fixed part: magic, version and the two counts.
    private mutating func readCounts(_ reader: inout GGUFReader) throws(CheckpointError) -> (Int, Int) {
        guard try reader.integer(UInt32.self) == 0x4655_4747 else {
            throw reader.error("byte 0", "expected the magic \"GGUF\"", fix: "give a GGUF file")
        }
        let found = try reader.integer(UInt32.self)
        switch found {
        case 2, 3: version = Int(found)
        case 0x0200_0000, 0x0300_0000:
            throw reader.error("version", "a big-endian GGUF file", fix: "convert it to little-endian")
        default:
            throw reader.error("version", "expected 2 or 3, found \(found)", fix: "convert the model again")
        }
        // The shortest entries: a tensor with an empty name and one dimension; a key, a type and one byte.
        let tensorCount = try reader.count("tensor count", smallest: 8 + 4 + 8 + 4 + 8, limit: Self.mostEntries)
        let entryCount = try reader.count("metadata count", smallest: 8 + 4 + 1, limit: Self.mostEntries)
        return (tensorCount, entryCount)
    }

    private mutating func readTensors(_ reader: inout GGUFReader, count: Int) throws(CheckpointError) {
        var names: Set<String> = []
        var infos: [GGUFTensorInfo] = []
        infos.reserveCapacity(count)
        for index in 0..<count {
            reader.context = "tensor \(index)"
            let info = try GGUFTensorInfo(&reader)
            guard names.insert(info.name).inserted else {
                throw reader.error("tensor \(info.name)", "appears twice", fix: "convert the model again")
            }
            infos.append(info)
        }
        let dataStart = reader.aligned(to: alignment)
        for info in infos {
            tensors.append(try info.placed(dataStart: dataStart, alignment: alignment, in: reader))
        }
        try checkOverlap(reader)
    }

    private func checkOverlap(_ reader: GGUFReader) throws(CheckpointError) {
        var end = 0
        var last = ""
        for tensor in tensors.sorted(by: { $0.offset < $1.offset }) {
            guard tensor.offset >= end else {
                throw reader.error("tensor \(tensor.name)", "overlaps \(last)", fix: "convert the model again")
            }
            end = tensor.offset + (tensor.byteCount ?? 0)
            last = tensor.name
        }
    }
}
