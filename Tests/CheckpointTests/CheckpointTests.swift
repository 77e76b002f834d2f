// Model directories: shards, faults across files, fingerprints, synthetic models.

import Checkpoint
import Foundation
import Testing

@Suite struct CheckpointTests {
    /// Splits the model's one file into two shards with an index.
    private func shard(_ directory: TemporaryDirectory) throws {
        let path = directory.path + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        let names = file.tensors.keys.sorted()
        var map: [String: JSONValue] = [:]
        for part in 0..<2 {
            let own = names.enumerated().filter { $0.offset % 2 == part }.map(\.element)
            var header: [String: JSONValue] = [:]
            var data = Data()
            for name in own {
                let entry = try #require(file.tensors[name])
                header[name] = .object([
                    "dtype": .string(entry.type.rawValue), "shape": .array(entry.shape.map { .integer($0) }),
                    "data_offsets": .array([.integer(data.count), .integer(data.count + entry.bytes.count)]),
                ])
                file.file.withBytes { data.append(contentsOf: $0[entry.bytes]) }
                map[name] = .string("part-\(part).safetensors")
            }
            let json = try JSONEncoder().encode(header)
            let length = (0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) }
            try (Data(length) + json + data).write(
                to: URL(fileURLWithPath: "\(directory.path)/part-\(part).safetensors"))
        }
        try FileManager.default.removeItem(atPath: path)
        try directory.write(["weight_map": .object(map)], to: "model.safetensors.index.json")
    }

    private func error(_ directory: TemporaryDirectory) -> CheckpointError? {
        #expect(throws: CheckpointError.self) { try Checkpoint(path: directory.path) }
    }

    @Test func shardsAreTheSameModel() throws {
        let directory = try smallModel()
        let whole = try Checkpoint(path: directory.path)
        let fingerprint = try whole.fingerprint()
        #expect(whole.files.count == 1 && whole.elementTypes == ["BF16"])
        try shard(directory)
        let sharded = try Checkpoint(path: directory.path)
        #expect(sharded.files.count == 2)
        #expect(try sharded.fingerprint() == fingerprint)
        #expect(sharded.parameterCount == whole.parameterCount && sharded.byteCount == whole.byteCount)
    }

    @Test func aMissingShard() throws {
        let directory = try smallModel()
        try shard(directory)
        try FileManager.default.removeItem(atPath: directory.path + "/part-1.safetensors")
        #expect(error(directory)?.path.hasSuffix("part-1.safetensors") == true)
    }

    @Test(arguments: ["../elsewhere.safetensors", "/etc/passwd", "", ".."])
    func anIndexThatPointsOutOfTheDirectory(name: String) throws {
        let directory = try smallModel()
        try shard(directory)
        try directory.write(
            ["weight_map": .object(["lm_head.weight": .string(name)])], to: "model.safetensors.index.json")
        #expect(error(directory)?.place == "weight_map.lm_head.weight")
    }

    @Test func aTensorInTwoShards() throws {
        let directory = try smallModel()
        try shard(directory)
        try FileManager.default.copyItem(
            atPath: directory.path + "/part-0.safetensors", toPath: directory.path + "/part-2.safetensors")
        let index = try directory.json("model.safetensors.index.json")
        guard case .object(var map)? = index["weight_map"] else { throw CocoaError(.coderReadCorrupt) }
        map["again"] = .string("part-2.safetensors")
        try directory.write(["weight_map": .object(map)], to: "model.safetensors.index.json")
        #expect(error(directory)?.problem.contains("too") == true)
    }

    @Test func noWeightsAtAll() throws {
        let directory = try smallModel()
        try FileManager.default.removeItem(atPath: directory.path + "/model.safetensors")
        #expect(error(directory)?.problem.contains("neither") == true)
    }

    @Test func aMissingTensorIsNamed() throws {
        let directory = try smallModel()
        try directory.edit("config.json", ["num_hidden_layers": .integer(3)])
        #expect(error(directory)?.place == "model.layers.2.input_layernorm.weight")
    }

    /// Found by fuzzing: a few bytes asked for the names of 600,000 tensors.
    @Test func layersWithoutTensorsAreRefusedBeforeTheyAreListed() throws {
        let directory = try smallModel()
        try directory.edit("config.json", ["num_hidden_layers": .integer(65_536)])
        let found = error(directory)
        #expect(found?.place == "num_hidden_layers" && found?.problem.hasPrefix("65536 layers") == true)
    }

    @Test func aWrongShapeIsNamed() throws {
        let directory = try smallModel()
        try directory.edit("config.json", ["intermediate_size": .integer(25)])
        let found = error(directory)
        #expect(found?.place == "model.layers.0.mlp.gate_proj.weight")
        #expect(found?.problem.contains("[24, 16]") == true && found?.problem.contains("[25, 16]") == true)
    }

    @Test func aMissingHeadSaysHowToTieIt() throws {
        let directory = try smallModel()
        let path = directory.path + "/model.safetensors"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let range = try #require(bytes.range(of: Data("lm_head.weight".utf8)))
        bytes.replaceSubrange(range, with: Data("lm_tail.weight".utf8))
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(error(directory)?.fix?.contains("tie_word_embeddings") == true)
        try directory.edit("config.json", ["tie_word_embeddings": .bool(true)])
        #expect(try Checkpoint(path: directory.path).configuration.tiedEmbeddings)
    }

    @Test func aTypeThatIsNoFloatIsNamed() throws {
        let directory = try smallModel()
        let path = directory.path + "/model.safetensors"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        while let range = bytes.range(of: Data("\"BF16\"".utf8)) {
            bytes.replaceSubrange(range, with: Data("\"I16\" ".utf8))
        }
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(error(directory)?.problem == "its type is I16")
    }

    @Test func fingerprintsTellModelsApart() throws {
        func fingerprint(_ directory: TemporaryDirectory) throws -> Fingerprint {
            try Checkpoint(path: directory.path).fingerprint()
        }
        let directory = try smallModel()
        let first = try fingerprint(directory)
        #expect(try fingerprint(smallModel()) == first)
        #expect(try fingerprint(smallModel(seed: 2)) != first)
        #expect(try fingerprint(smallModel(precision: .f32)) != first)
        #expect(first.description.count == 64 && Fingerprint(bytes: first.bytes) == first)
        #expect(Fingerprint(bytes: [1, 2, 3]) == nil)

        try directory.edit("config.json", ["eos_token_id": .integer(1)])
        #expect(try fingerprint(directory) == first)
        try directory.edit("config.json", ["rope_theta": .integer(10_000)])
        let other = try fingerprint(directory)
        #expect(other != first)

        // Any one byte of a tensor small enough to be hashed whole.
        let path = directory.path + "/model.safetensors"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(try fingerprint(directory) != other)
    }

    @Test func syntheticModelsAreWhatTheySay() throws {
        let directory = try smallModel(precision: .f32, hidden: 64)
        let files = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
        #expect(
            files == [
                "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            ])
        let checkpoint = try Checkpoint(path: directory.path)
        #expect(checkpoint.configuration.isSynthetic && checkpoint.configuration.eosTokens == [257])

        let file = try SafetensorsFile(path: directory.path + "/model.safetensors")
        func values(_ name: String) throws -> [Float] {
            let entry = try #require(file.tensors[name])
            return file.file.withBytes { bytes in
                stride(from: entry.bytes.lowerBound, to: entry.bytes.upperBound, by: 4).map {
                    bytes.loadUnaligned(fromByteOffset: $0, as: Float.self)
                }
            }
        }
        #expect(try values("model.norm.weight").allSatisfy { $0 == 1 })
        let weights = try values("lm_head.weight")
        let mean = weights.reduce(0, +) / Float(weights.count)
        let deviation = (weights.reduce(0) { $0 + $1 * $1 } / Float(weights.count)).squareRoot()
        #expect(abs(mean) < 0.01)
        #expect(abs(deviation * 8 - 1) < 0.03)
        #expect(Set(weights).count > weights.count * 9 / 10)
    }

    @Test func aTrainedModelIsNotOverwritten() throws {
        let directory = try smallModel()
        try directory.edit("config.json", ["winnow_synthetic": nil])
        let before = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/model.safetensors"))
        let shape = SyntheticCheckpoint.configuration(
            hidden: 16, layers: 1, feedForward: 24, heads: 4, kvHeads: 2, vocabulary: 300, context: 128)
        #expect(throws: CheckpointError.self) { try SyntheticCheckpoint.write(shape, to: directory.path) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: directory.path + "/model.safetensors")) == before)
    }

    @Test(arguments: [
        (0, 4, 2, 300, "hidden"), (16, 0, 2, 300, "heads"), (16, 3, 3, 300, "heads"), (12, 4, 2, 300, "heads"),
        (16, 4, 3, 300, "kv-heads"), (16, 4, 2, 257, "vocab"), (16, 4, 0, 300, "kv-heads"),
    ])
    func impossibleShapesAreNamed(hidden: Int, heads: Int, kvHeads: Int, vocabulary: Int, place: String) throws {
        let directory = try TemporaryDirectory()
        let shape = SyntheticCheckpoint.configuration(
            hidden: hidden, layers: 1, feedForward: 24, heads: heads, kvHeads: kvHeads, vocabulary: vocabulary,
            context: 128)
        let error = #expect(throws: CheckpointError.self) {
            try SyntheticCheckpoint.write(shape, to: directory.path + "/model")
        }
        #expect(error?.place == place)
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/model"))
    }
}
