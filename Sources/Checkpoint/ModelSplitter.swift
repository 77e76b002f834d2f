// A model directory as one directory for each stage.

internal import Glibc
public import Layers

/// Writes the parts of a model: each stage's layers alone, so that its host needs no room for the rest.
public enum ModelSplitter {
    /// A directory to write.
    public struct Part: Sendable, Equatable {
        /// The directory's name.
        public var name: String
        /// The layers it gets, not empty.
        public var layers: LayerSpan

        /// A stage's directory.
        public init(name: String, layers: LayerSpan) {
            self.name = name
            self.layers = layers
        }
    }

    /// The directory for the coordinator: configuration and tokenizer, no weights.
    public static let coordinatorName = "coordinator"

    /// Writes `directory/NAME` for each part: its layers' tensors as they are, with the embedding for the first layer and
    /// norm and head for the last; `config.json`, which is the whole model's; and `winnow-part.json`. Beside them
    /// ``coordinatorName``, with the tokenizer. All of them have the whole model's fingerprint.
    ///
    /// - Parameters:
    ///   - source: a model directory in Hugging Face's layout; it is only read.
    ///   - parts: names without `/`, all different; layers of the model.
    ///   - directory: made if it does not exist; none of the parts may hold a model.
    ///   - progress: told the bytes of weights written so far and in total.
    /// - Throws: for a source that is not such a directory, when a file cannot be written, and when the task is cancelled;
    ///   nothing of the parts is left then.
    public static func write(
        _ source: String, parts: [Part], to directory: String,
        progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        guard !GGUFFile.isFile(source) else {
            throw CheckpointError(
                path: source, place: "", problem: "is a GGUF file, which is not split here",
                fix: "give the Hugging Face directory of the model; a GGUF file goes to every host as it is")
        }
        let checkpoint = try Checkpoint(path: source)
        try checkpoint.checkHeld(checkpoint.configuration.allLayers)
        try check(parts, of: checkpoint)
        let all = parts + [Part(name: coordinatorName, layers: .none)]
        let tensors = try all.map { part throws(CheckpointError) in try checkpoint.stored(layers: part.layers) }
        let total = tensors.joined().reduce(0) { $0 + $1.tensor.bytes.count }
        var config = try JSONObject(file: source + "/config.json", limit: 16 << 20).fields
        // Whether the files have a head of their own can't be seen in a part without it.
        config["tie_word_embeddings"] = .bool(checkpoint.configuration.tiedEmbeddings)
        let digests = checkpoint.tensors.mapValues { TensorDigest($0) }

        let top = try OutputDirectory(path: directory)
        var outputs: [OutputDirectory] = []
        defer {
            for output in outputs { output.removeUnlessComplete() }
            top.removeUnlessComplete()
        }
        var written = 0
        for (part, tensors) in zip(all, tensors) {
            let output = try OutputDirectory(path: "\(directory)/\(part.name)")
            outputs.append(output)
            try output.checkHoldsNoModel()
            if !tensors.isEmpty {
                try writeWeights(tensors, to: output.file("model.safetensors")) { progress(written + $0, total) }
                written += tensors.reduce(0) { $0 + $1.tensor.bytes.count }
                checkpoint.forgetPages()
            }
            try output.copy(
                companions: part.layers.isEmpty ? CompanionFiles.all : CompanionFiles.legal, of: source)
            try ModelPart(layers: part.layers, tensors: digests).json.write(to: output.file(ModelPart.fileName))
            try JSONValue.object(config).write(to: output.file("config.json"))
        }
        for output in outputs { output.complete() }
        top.complete()
    }

    private static func check(_ parts: [Part], of checkpoint: Checkpoint) throws(CheckpointError) {
        let layerCount = checkpoint.configuration.layerCount
        var names: Set<String> = [coordinatorName]
        for part in parts {
            guard !part.name.isEmpty, !part.name.contains("/"), !part.name.hasPrefix("."),
                names.insert(part.name).inserted
            else {
                throw CheckpointError(
                    path: checkpoint.path, place: part.name, problem: "no name for the directory of a part",
                    fix: "give each a name of its own, without '/'")
            }
            guard part.layers.isWithin(layerCount: layerCount) else {
                throw CheckpointError(
                    path: checkpoint.path, place: part.name,
                    problem:
                        "layers \(part.layers) are not within those of the "
                        + "model, 0-\(layerCount - 1)")
            }
        }
    }

    private static func writeWeights(
        _ tensors: [(name: String, tensor: StoredTensor)], to path: String, _ progress: (Int) -> Void
    ) throws(CheckpointError) {
        var entries: [SafetensorsWriter.Entry] = []
        for (name, tensor) in tensors {
            guard let type = ElementType(rawValue: tensor.typeName) else {
                throw CheckpointError(
                    path: tensor.file.path, place: name, problem: "its type \(tensor.typeName) cannot be written")
            }
            entries.append(.init(name: name, type: type, shape: tensor.shape))
        }
        var writer = try SafetensorsWriter(path: path, entries: entries)
        for (_, tensor) in tensors { try writer.copy(tensor) { written, _ in progress(written) } }
        try writer.finish()
    }
}

extension Checkpoint {
    /// What a stage with these layers reads, scales of int8 weights included, in the order of computation.
    fileprivate func stored(layers: LayerSpan) throws(CheckpointError) -> [(name: String, tensor: StoredTensor)] {
        var found: [(name: String, tensor: StoredTensor)] = []
        for expected in TensorLayout(configuration).tensors(layers: layers) {
            let tensor = try stored(expected)
            found.append((expected.name, tensor))
            let scales = CompressedTensors.scaleName(expected.name)
            if tensor.encoding == .int8, let tensor = tensors[scales] { found.append((scales, tensor)) }
        }
        return found
    }
}
