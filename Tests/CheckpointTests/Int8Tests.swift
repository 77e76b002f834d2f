// Int8 weights: written, read, and refused in every other form.

import Checkpoint
import Foundation
import Testing

@Suite struct Int8Tests {
    private func quantized(_ source: TemporaryDirectory) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try Int8Quantizer.write(source.path, to: directory.path)
        return directory
    }

    @Test(arguments: SyntheticCheckpoint.Precision.allCases)
    func weightsAreWithinHalfAStep(precision: SyntheticCheckpoint.Precision) throws {
        let source = try smallModel(precision: precision, hidden: 64)
        let directory = try quantized(source)
        let (plain, packed) = (try Checkpoint(path: source.path), try Checkpoint(path: directory.path))
        #expect(packed.configuration == plain.configuration)
        #expect(try packed.fingerprint() != plain.fingerprint())
        var quantizedTensors = 0
        for tensor in TensorLayout(plain.configuration).tensors {
            let (expected, found) = (try values(plain, tensor), try values(packed, tensor))
            guard tensor.name.contains("_proj") else {
                #expect(found == expected)
                continue
            }
            quantizedTensors += 1
            for row in 0..<tensor.rows {
                let range = row * tensor.columns..<(row + 1) * tensor.columns
                let step = expected[range].reduce(0) { max($0, abs($1)) } / 127
                #expect(zip(expected[range], found[range]).allSatisfy { abs($0 - $1) <= step * 0.501 })
                // The largest is at the end of the scale, so that a second rounding finds the same bytes.
                #expect(found[range].contains { abs(abs($0) / step - 127) < 0.001 })
            }
            let middle = 1..<tensor.rows - 1
            #expect(
                try values(packed, tensor, rows: middle)
                    == Array(found[tensor.columns..<(tensor.rows - 1) * tensor.columns]))
        }
        #expect(quantizedTensors == 14)
    }

    @Test func everyFileOfTheModelIsThere() throws {
        let source = try smallModel()
        let directory = try quantized(source)
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            #expect(
                FileManager.default.contents(atPath: "\(directory.path)/\(name)")
                    == FileManager.default.contents(atPath: "\(source.path)/\(name)"))
        }
        var config = try directory.json("config.json")
        guard case .object(let quantization)? = config["quantization_config"] else {
            throw CocoaError(.coderReadCorrupt)
        }
        #expect(quantization["format"] == .string("int-quantized"))
        config["quantization_config"] = nil
        #expect(try config == source.json("config.json"))
        #expect(Set(try Checkpoint(path: directory.path).elementTypes) == ["I8", "F32", "BF16"])
    }

    @Test func whatCannotBeQuantizedIsRefused() throws {
        let source = try smallModel()
        let directory = try quantized(source)
        func error(_ from: String, _ to: String) -> CheckpointError? {
            #expect(throws: CheckpointError.self) { try Int8Quantizer.write(from, to: to) }
        }
        #expect(error(source.path, directory.path)?.problem == "the directory holds a model")
        #expect(error(source.path, source.path)?.problem == "the directory holds a model")
        #expect(error(directory.path, source.path + "/new")?.place == "quantization_config")
        #expect(error(source.path + "/model.safetensors", source.path + "/new")?.problem.contains("GGUF") == true)

        // A row with a weight that is no number.
        let path = source.path + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        let entry = try #require(file.tensors["model.layers.0.mlp.up_proj.weight"])
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[entry.bytes.lowerBound + 33] = 0x7F
        bytes[entry.bytes.lowerBound + 32] = 0xC0
        try bytes.write(to: URL(fileURLWithPath: path))
        let damaged = error(source.path, source.path + "/new")
        #expect(damaged?.place == "model.layers.0.mlp.up_proj.weight" && damaged?.path == path)
        #expect(damaged?.problem.contains("row 1") == true)
    }

    @Test(arguments: [
        ("quant_method", JSONValue.string("gptq")), ("format", .string("pack-quantized")), ("format", nil),
        ("config_groups", nil), ("kv_cache_scheme", .object([:])),
        ("config_groups.g.weights.num_bits", .integer(4)), ("config_groups.g.weights.type", .string("float")),
        ("config_groups.g.weights.symmetric", .bool(false)), ("config_groups.g.weights.strategy", .string("group")),
        ("config_groups.g.input_activations.dynamic", .bool(false)),
        ("config_groups.g.output_activations", .object([:])), ("config_groups.g.weights", .null),
    ])
    func otherWaysOfQuantizingAreNamed(place: String, value: JSONValue?) throws {
        let directory = try quantized(smallModel())
        func scheme(_ strategy: String, _ isDynamic: Bool) -> JSONValue {
            .object([
                "num_bits": .integer(8), "type": .string("int"), "symmetric": .bool(true),
                "strategy": .string(strategy), "dynamic": .bool(isDynamic),
            ])
        }
        let sound: JSONValue = .object([
            "quant_method": .string("compressed-tensors"), "format": .string("int-quantized"),
            "config_groups": .object([
                "g": .object(["weights": scheme("channel", false), "input_activations": scheme("token", true)])
            ]),
        ])
        func changed(_ object: JSONValue, _ path: ArraySlice<Substring>) -> JSONValue {
            guard case .object(var fields) = object, let key = path.first.map(String.init) else { return object }
            fields[key] = path.count == 1 ? value : changed(fields[key] ?? .null, path.dropFirst())
            return .object(fields)
        }
        try directory.edit("config.json", ["quantization_config": sound])
        _ = try Checkpoint(path: directory.path)
        try directory.edit("config.json", ["quantization_config": changed(sound, place.split(separator: ".")[...])])
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(path: directory.path) }
        #expect(error?.place == "quantization_config.\(place)")
    }

    @Test func scalesMustBeThereAndFit() throws {
        let name = "model.layers.0.mlp.up_proj.weight_scale"
        for (old, new, place) in [
            (name, name.replacingOccurrences(of: "scale", with: "wrong"), "model.layers.0.mlp.up_proj.weight"),
            ("\"F32\",\"shape\":[24,1]", "\"I32\",\"shape\":[24,1]", "model.layers.0.mlp.gate_proj.weight_scale"),
            ("\"shape\":[24,1]", "\"shape\":[1,24]", "model.layers.0.mlp.gate_proj.weight_scale"),
        ] {
            let directory = try quantized(smallModel())
            let path = directory.path + "/model.safetensors"
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            var start = bytes.startIndex
            var changes = 0
            while let range = bytes.range(of: Data(old.utf8), in: start..<bytes.endIndex) {
                bytes.replaceSubrange(range, with: Data(new.utf8))
                start = range.upperBound
                changes += 1
            }
            #expect(changes > 0)
            try bytes.write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: CheckpointError.self) { try Checkpoint(path: directory.path) }
            #expect(error?.place == place)
        }
    }
}
