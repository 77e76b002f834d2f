// A model's configuration and its tensors.

/// A model whose files are mapped and checked.
public final class Checkpoint: Sendable {
    /// The model directory as it was given.
    public let path: String
    /// The model's shape.
    public let configuration: ModelConfiguration

    /// Each tensor by the name that Hugging Face gives it.
    let tensors: [String: StoredTensor]

    /// Reads the configuration, maps the files and checks that every tensor the model needs is there, with the right
    /// shape and a type that can be read.
    ///
    /// - Parameter path: a directory in Hugging Face's layout, with `model.safetensors` or the shards that
    ///   `model.safetensors.index.json` names.
    public init(path: String) throws(CheckpointError) {
        self.path = path
        configuration = try ModelConfiguration(directory: path)
        tensors = try Self.safetensors(directory: path)
        for expected in TensorLayout(configuration).tensors { _ = try stored(expected) }
    }

    /// The number of weights, tied ones once.
    public var parameterCount: Int {
        TensorLayout(configuration).tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
    }

    /// The size of all tensors in the files, in bytes.
    public var byteCount: Int { tensors.values.reduce(0) { $0 + $1.bytes.count } }

    /// The element types of the model's tensors as the files name them ("BF16"), most bytes first.
    public var elementTypes: [String] {
        var bytes: [String: Int] = [:]
        for tensor in tensors.values { bytes[tensor.typeName, default: 0] += tensor.bytes.count }
        return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
    }

    /// The files that hold the tensors, in a fixed order.
    public var files: [String] { Set(tensors.values.map(\.file.path)).sorted() }

    /// Drops the pages of the files that reading brought into memory; call it when the weights have been loaded.
    ///
    /// What is read afterwards is read from the files again.
    package func forgetPages() {
        var files: [ObjectIdentifier: MappedFile] = [:]
        for tensor in tensors.values { files[ObjectIdentifier(tensor.file)] = tensor.file }
        for file in files.values { file.forgetPages() }
    }

    /// A tensor of the layout where it lies, checked against what the layout says of it.
    func stored(_ expected: TensorLayout.Tensor) throws(CheckpointError) -> StoredTensor {
        guard let tensor = tensors[expected.name] else {
            throw CheckpointError(
                path: path, place: expected.name, problem: "the tensor is missing",
                fix: expected.name.hasPrefix("lm_head")
                    ? "if the head is the embedding, config.json must say \"tie_word_embeddings\": true"
                    : "a shard is missing, or config.json belongs to another model")
        }
        guard tensor.shape == expected.shape else {
            throw CheckpointError(
                path: tensor.file.path, place: expected.name,
                problem: "its shape is \(tensor.shape); config.json asks for \(expected.shape)",
                fix: "config.json or the weights belong to another model")
        }
        guard let encoding = tensor.encoding, encoding != .int8 else {
            throw CheckpointError(
                path: tensor.file.path, place: expected.name, problem: "its type is \(tensor.typeName)",
                fix: "convert the weights to F32, F16 or BF16")
        }
        return tensor
    }
}
