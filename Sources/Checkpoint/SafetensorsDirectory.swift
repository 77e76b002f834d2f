// The tensors of a Hugging Face model directory.

internal import Glibc

extension Checkpoint {
    /// The tensors of `model.safetensors`, or of the shards that `model.safetensors.index.json` names.
    static func safetensors(directory: String) throws(CheckpointError) -> [String: StoredTensor] {
        var tensors: [String: StoredTensor] = [:]
        for path in try files(of: directory) {
            let file = try SafetensorsFile(path: path)
            for (name, entry) in file.tensors {
                if let other = tensors[name] {
                    throw CheckpointError(
                        path: path, place: name, problem: "the tensor is in \(other.file.path) too",
                        fix: "remove the file that is not part of the model")
                }
                tensors[name] = StoredTensor(
                    file: file.file, typeName: entry.type.rawValue, encoding: WeightEncoding(entry.type),
                    shape: entry.shape, bytes: entry.bytes)
            }
        }
        return tensors
    }

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
}

extension WeightEncoding {
    /// How safetensors write values of this type; nil for types that weights do not have.
    init?(_ type: ElementType) {
        switch type {
        case .f32: self = .f32
        case .f16: self = .f16
        case .bf16: self = .bf16
        case .i8: self = .int8
        default: return nil
        }
    }
}
