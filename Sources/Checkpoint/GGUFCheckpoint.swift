// A GGUF file as a checkpoint: its tensors under Hugging Face's names.

internal import Glibc

extension GGUFFile {
    /// Whether `path` is a file, not a directory, and so to be read as GGUF.
    package static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}

extension Checkpoint {
    /// The tensors of all parts. One that the family does not have is refused: it would be left out of the arithmetic.
    static func tensors(
        of parts: GGUFParts, _ configuration: ModelConfiguration
    ) throws(CheckpointError) -> [String: StoredTensor] {
        let known = Set(TensorLayout(configuration).tensors.map(\.name))
        var tensors: [String: StoredTensor] = [:]
        for (tensor, file) in parts.tensors where tensor.name != GGUFTensorName.ropeFactors {
            // Frequencies that some converters of the first days wrote down; they follow from the metadata.
            if tensor.name.contains("rot_embd") { continue }
            guard let name = GGUFTensorName.huggingFace(tensor.name), known.contains(name) else {
                throw CheckpointError(
                    path: file.path, place: tensor.name,
                    problem: "\(configuration.family.rawValue) models of \(configuration.layerCount) layers have no "
                        + "such tensor here", fix: "the model needs arithmetic that this version does not have")
            }
            var stored = StoredTensor(
                file: file.file, typeName: "\(tensor.type)", encoding: WeightEncoding(tensor.type),
                shape: tensor.dimensions.reversed(), bytes: tensor.offset..<tensor.offset + (tensor.byteCount ?? 0))
            if configuration.family.rules.ggufInterleavesHeads, GGUFTensorName.holdsRotatedRows(name) {
                stored.interleavedHeadDim = configuration.headDim
            }
            tensors[name] = stored
        }
        return tensors
    }
}

extension WeightEncoding {
    /// The types of GGUF files that can be read, for messages.
    static let ggufNames = (0..<64).map { GGUFTensorType(code: $0) }.filter { WeightEncoding($0) != nil }
        .map(\.description).joined(separator: ", ")

    /// How GGUF files write values of this type; nil for types that are not decoded here.
    init?(_ type: GGUFTensorType) {
        switch type.code {
        case 0: self = .f32
        case 1: self = .f16
        case 2: self = .q40
        case 3: self = .q41
        case 6: self = .q50
        case 7: self = .q51
        case 8: self = .q80
        case 10: self = .q2K
        case 11: self = .q3K
        case 12: self = .q4K
        case 13: self = .q5K
        case 14: self = .q6K
        case 20: self = .iq4NL
        case 23: self = .iq4XS
        case 30: self = .bf16
        default: return nil
        }
    }
}
