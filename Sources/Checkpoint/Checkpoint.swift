// A model's configuration and its tensors.

internal import Layers
internal import Synchronization

/// A model whose files are mapped and checked.
public final class Checkpoint: Sendable {
    /// The model directory or GGUF file as it was given.
    public let path: String
    /// The model's shape.
    public let configuration: ModelConfiguration
    /// What in the files is left out of account or taken in one of two ways, a sentence each: for the log at start-up.
    public let notes: [String]

    /// What of the model the files hold; nil: all.
    public let part: ModelPart?

    /// Each tensor by the name that Hugging Face gives it.
    let tensors: [String: StoredTensor]
    /// ``fingerprint()``, once it was asked for.
    let knownFingerprint = Mutex<Fingerprint?>(nil)
    /// Whether they come from a GGUF file; for messages.
    private let isGGUF: Bool

    /// Reads the configuration, maps the files and checks that every tensor the model needs is there, with the right
    /// shape and a type that can be read.
    ///
    /// - Parameter path: a directory in Hugging Face's layout, with `model.safetensors` or the shards that
    ///   `model.safetensors.index.json` names; or a GGUF file. Of a directory that holds a part of a model, only what the
    ///   part has must be there.
    public init(path: String) throws(CheckpointError) {
        self.path = path
        isGGUF = GGUFFile.isFile(path)
        if isGGUF {
            let parts = try GGUFParts(path: path)
            configuration = try ModelConfiguration(gguf: parts)
            part = nil
            tensors = try Self.tensors(of: parts, configuration)
            notes = GGUFKeys.notes(on: parts.first, configuration.family)
        } else {
            var (shape, notes) = try ModelConfiguration.read(directory: path)
            part = try ModelPart.read(directory: path, layerCount: shape.layerCount)
            tensors = part?.layers.isEmpty == true ? [:] : try Self.safetensors(directory: path)
            // Of each layer's tensors the names are made, before it is found that they are not there.
            guard part != nil || shape.layerCount <= tensors.count else {
                throw CheckpointError(
                    path: "\(path)/config.json", place: "num_hidden_layers",
                    problem: "\(shape.layerCount) layers cannot be in \(tensors.count) tensors",
                    fix: "a shard is missing, or config.json belongs to another model")
            }
            notes += Self.headNotes(tensors, &shape)
            notes += Self.unusedNotes(tensors, shape)
            configuration = shape
            self.notes = notes
        }
        for expected in TensorLayout(configuration).tensors(layers: heldLayers) { _ = try stored(expected) }
    }

    /// The number of weights in the files, tied ones once.
    public var parameterCount: Int {
        TensorLayout(configuration).tensors(layers: heldLayers).reduce(0) { $0 + $1.shape.reduce(1, *) }
    }

    /// The number of weights of the whole model, tied ones once, also where the files hold a part of it.
    public var wholeParameterCount: Int {
        TensorLayout(configuration).tensors(layers: configuration.allLayers)
            .reduce(0) { $0 + $1.shape.reduce(1, *) }
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

    /// Has the system begin to read tensors that are decoded next.
    package func willDecode(_ tensors: [TensorLayout.Tensor]) {
        for tensor in tensors {
            guard let stored = self.tensors[tensor.name] else { continue }
            stored.file.willRead(stored.bytes)
        }
    }

    /// A tensor of the layout where it lies, checked against what the layout says of it.
    func stored(_ expected: TensorLayout.Tensor) throws(CheckpointError) -> StoredTensor {
        guard let tensor = tensors[expected.name] else {
            throw error(expected, "the tensor is missing", fix: missing(expected))
        }
        guard tensor.shape == expected.shape else {
            throw error(
                expected,
                "its shape is \(tensor.shape); \(isGGUF ? "the metadata asks" : "config.json asks") "
                    + "for \(expected.shape)",
                fix: isGGUF ? "convert the model again" : "config.json or the weights belong to another model")
        }
        guard let encoding = tensor.encoding else {
            throw error(
                expected, "its type is \(tensor.typeName)",
                fix: isGGUF
                    ? "supported are \(WeightEncoding.ggufNames): quantise the model to one of them"
                    : "convert the weights to F32, F16 or BF16")
        }
        if encoding == .int8 { try checkScales(of: expected, in: tensor.file) }
        return tensor
    }

    private func missing(_ expected: TensorLayout.Tensor) -> String {
        if isGGUF { return "the file is not complete: convert the model again" }
        if part != nil { return "the part is not complete: split the model again" }
        return expected.name.hasPrefix("lm_head")
            ? "if the head is the embedding, config.json must say \"tie_word_embeddings\": true"
            : "a shard is missing, or config.json belongs to another model"
    }

    /// An error about one tensor, under the name that the reader finds in the file.
    func error(_ tensor: TensorLayout.Tensor, _ problem: String, fix: String) -> CheckpointError {
        CheckpointError(
            path: tensors[tensor.name]?.file.path ?? path,
            place: isGGUF ? GGUFTensorName.gguf(tensor.name) ?? tensor.name : tensor.name, problem: problem, fix: fix)
    }
}
