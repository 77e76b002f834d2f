// The part of a model that a directory holds, and how it proves what it is a part of.

internal import Glibc
public import Layers

/// What `winnow-part.json` says of a directory that holds some layers of a model, or none: see ``ModelSplitter``.
///
/// It names every tensor of the whole model with the digest that enters the ``Fingerprint``. So a part has the whole
/// model's fingerprint, and its own tensors are held against the list before it is given out.
public struct ModelPart: Sendable, Equatable {
    /// The file's name, in the part's directory.
    static let fileName = "winnow-part.json"
    private static let version = 2
    /// Far more than the list of any model takes.
    private static let mostBytes = 64 << 20

    /// The layers whose weights are there, with the embedding and the head if a stage of these layers needs them; empty:
    /// none, only what a coordinator reads.
    public let layers: LayerSpan
    /// Every tensor of the whole model, by name.
    let tensors: [String: TensorDigest]

    init(layers: LayerSpan, tensors: [String: TensorDigest]) {
        self.layers = layers
        self.tensors = tensors
    }

    /// Reads a directory's; nil if it holds a whole model.
    ///
    /// - Parameter layerCount: the whole model's.
    static func read(directory: String, layerCount: Int) throws(CheckpointError) -> ModelPart? {
        let path = "\(directory)/\(fileName)"
        guard access(path, F_OK) == 0 else { return nil }
        let object = try JSONObject(file: path, limit: mostBytes)
        let layers: LayerSpan
        switch try object.integer("version") {
        case 1:
            // Of whole layers only.
            let first = try object.integer("first_layer", in: 0...layerCount)
            layers = LayerSpan(first..<first + (try object.integer("layer_count", in: 0...layerCount - first)))
        case version:
            guard let text = try object.string("layers") else { throw object.error("layers", "missing") }
            let none = text == LayerSpan.none.description
            guard let span = none ? LayerSpan.none : LayerSpan(text, below: layerCount) else {
                throw object.error(
                    "layers", "\"\(text)\" are no layers of the model, which has \(LayerSpan(0..<layerCount))")
            }
            layers = span
        default:
            throw object.error(
                "version", "\(object.fields["version"]?.kind ?? "missing"), expected \(version)",
                fix: "split the model again, with the version that reads it")
        }
        guard let list = try object.object("tensors") else { throw object.error("tensors", "missing") }
        guard list.fields.count <= SafetensorsFile.mostTensors else {
            throw object.error(
                "tensors", "\(list.fields.count) of them, at most \(SafetensorsFile.mostTensors) are read")
        }
        var tensors: [String: TensorDigest] = [:]
        for name in list.fields.keys {
            guard let text = try list.string(name), let digest = TensorDigest(text) else {
                throw list.error(name, "expected type, shape and digest")
            }
            tensors[name] = digest
        }
        guard tensors.count >= layerCount else {
            throw object.error(
                "tensors", "\(tensors.count) of them, which cannot be all of a model of \(layerCount) layers",
                fix: "split the model again")
        }
        return ModelPart(layers: layers, tensors: tensors)
    }

    /// What stands in the file.
    var json: JSONValue {
        .object([
            "version": .integer(Self.version), "layers": .string(layers.description),
            "tensors": .object(tensors.mapValues { .string($0.description) }),
        ])
    }
}

/// What of a tensor enters its model's fingerprint. As text: `BF16 64x32 ` and 64 hexadecimal digits.
struct TensorDigest: Sendable, Equatable, CustomStringConvertible {
    let description: String

    /// The digest of a tensor that is there; see ``Checkpoint/fingerprint()``.
    init(_ tensor: StoredTensor) {
        let shape = tensor.shape.map(String.init).joined(separator: "x")
        let sample = tensor.file.withBytes { file in
            let bytes = UnsafeRawBufferPointer(rebasing: file[tensor.bytes])
            guard bytes.count > 4096 else { return Digest.blake2b(bytes) }
            var windows: [UInt8] = []
            for window in 0..<8 {
                let start = window == 7 ? bytes.count - 256 : (bytes.count - 256) / 7 * window
                windows += bytes[start..<start + 256]
            }
            return windows.withUnsafeBytes { Digest.blake2b($0) }
        }
        description = "\(tensor.typeName) \(shape) \(Digest.text(sample))"
    }

    /// Takes one from a file; nil for text that could not be one.
    init?(_ text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, text.utf8.count <= 256, words[2].utf8.count == 64,
            text.utf8.allSatisfy({ 0x20 <= $0 && $0 < 0x7F })
        else { return nil }
        description = text
    }
}

extension Checkpoint {
    /// The layers whose weights are in the files.
    public var heldLayers: LayerSpan { part?.layers ?? configuration.allLayers }

    /// Throws unless the weights of these layers, which the model has, are in the files; the error names them and the fix.
    package func checkHeld(_ layers: LayerSpan) throws(CheckpointError) {
        let held = heldLayers
        guard !held.contains(layers) else { return }
        throw CheckpointError(
            path: path, place: "layers \(layers)",
            problem: "they are not in this part of the model, which "
                + (held.isEmpty ? "has no weights, only what a coordinator reads" : "holds layers \(held)"),
            fix: "give the part that holds them (`winnow model split` writes one for each stage), or the whole model")
    }
}
