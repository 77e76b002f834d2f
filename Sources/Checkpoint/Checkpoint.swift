// A Hugging Face model directory: configuration and tensors.

package import Compute
internal import Glibc

/// A model directory whose files are mapped and checked.
public final class Checkpoint: Sendable {
    /// The directory as it was given.
    public let directory: String
    /// The model's shape.
    public let configuration: ModelConfiguration

    /// Each tensor with the file it is in.
    let tensors: [String: (file: SafetensorsFile, entry: TensorEntry)]

    /// Reads the configuration, maps `model.safetensors` or the shards that `model.safetensors.index.json` names, and
    /// checks that every tensor the model needs is there, with the right shape and a type that can be read.
    public init(directory: String) throws(CheckpointError) {
        self.directory = directory
        let configuration = try ModelConfiguration(directory: directory)
        self.configuration = configuration
        var tensors: [String: (file: SafetensorsFile, entry: TensorEntry)] = [:]
        for path in try Self.files(of: directory) {
            let file = try SafetensorsFile(path: path)
            for (name, entry) in file.tensors {
                if let other = tensors[name] {
                    throw CheckpointError(
                        path: path, place: name, problem: "the tensor is in \(other.file.file.path) too",
                        fix: "remove the file that is not part of the model")
                }
                tensors[name] = (file, entry)
            }
        }
        self.tensors = tensors
        for expected in LlamaLayout(configuration).tensors { try check(expected) }
    }

    /// The number of weights, tied ones once.
    public var parameterCount: Int {
        LlamaLayout(configuration).tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
    }

    /// The size of all tensors in the files, in bytes.
    public var byteCount: Int { tensors.values.reduce(0) { $0 + $1.entry.bytes.count } }

    /// The element types of the model's tensors as the files name them ("BF16"), most bytes first.
    public var elementTypes: [String] {
        var bytes: [String: Int] = [:]
        for tensor in tensors.values { bytes[tensor.entry.type.rawValue, default: 0] += tensor.entry.bytes.count }
        return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
    }

    /// The files that hold the tensors, in a fixed order.
    public var files: [String] { Set(tensors.values.map(\.file.file.path)).sorted() }

    private static func files(of directory: String) throws(CheckpointError) -> [String] {
        let single = directory + "/model.safetensors"
        let indexPath = directory + "/model.safetensors.index.json"
        if access(single, F_OK) == 0 { return [single] }
        guard access(indexPath, F_OK) == 0 else {
            throw CheckpointError(
                path: directory, place: "",
                problem: "neither model.safetensors nor model.safetensors.index.json is there",
                fix: "give a model directory in Hugging Face's safetensors layout")
        }
        let index = try JSONObject(file: indexPath)
        guard let map = try index.object("weight_map") else { throw index.error("weight_map", "missing") }
        var names: Set<String> = []
        for tensor in map.fields.keys {
            guard let name = try map.string(tensor), !name.isEmpty, !name.contains("/"), name != "..", name != "."
            else {
                throw map.error(tensor, "expected the name of a file in the same directory")
            }
            names.insert(name)
        }
        return names.sorted().map { "\(directory)/\($0)" }
    }

    private func check(_ expected: LlamaLayout.Tensor) throws(CheckpointError) {
        guard let (file, entry) = tensors[expected.name] else {
            throw CheckpointError(
                path: directory, place: expected.name, problem: "the tensor is missing",
                fix: expected.name.hasPrefix("lm_head")
                    ? "if the head is the embedding, config.json must say \"tie_word_embeddings\": true"
                    : "a shard is missing, or config.json belongs to another model")
        }
        guard entry.shape == expected.shape else {
            throw CheckpointError(
                path: file.file.path, place: expected.name,
                problem: "its shape is \(entry.shape); config.json asks for \(expected.shape)",
                fix: "config.json or the weights belong to another model")
        }
        guard [.f32, .f16, .bf16].contains(entry.type) else {
            throw CheckpointError(
                path: file.file.path, place: expected.name, problem: "its type is \(entry.type.rawValue)",
                fix: "convert the weights to F32, F16 or BF16")
        }
    }

    /// Copies a tensor of the model, widened to Float32, to the rows of `matrix` from `row` on.
    ///
    /// A vector counts as one row. The tensor must be one of the layout's and fit the matrix.
    package func load(_ tensor: LlamaLayout.Tensor, into matrix: Matrix, from row: Int = 0) throws(CheckpointError) {
        try check(tensor)
        guard let (file, entry) = tensors[tensor.name] else { return }
        let count = tensor.shape.reduce(1, *)
        precondition(tensor.shape.last == matrix.columns && row * matrix.columns + count <= matrix.count)
        file.file.withBytes { bytes in
            guard let source = bytes.baseAddress?.advanced(by: entry.bytes.lowerBound) else { return }
            matrix.withUnsafeMutableBufferPointer { all in
                let target = UnsafeMutableBufferPointer(
                    rebasing: all[row * matrix.columns..<row * matrix.columns + count])
                switch entry.type {
                case .bf16: Kernels.widenBF16(source, into: target)
                case .f16: Kernels.widenF16(source, into: target)
                default:
                    UnsafeMutableRawBufferPointer(target).copyMemory(
                        from: UnsafeRawBufferPointer(start: source, count: entry.bytes.count))
                }
            }
        }
    }
}
