// GGUF files as checkpoints: the same model as its directory, and refused where they lie.

import Checkpoint
import Foundation
import Testing

@Suite struct GGUFCheckpointTests {
    /// Every tensor type against the values that llama.cpp's Python package has for it, bit by bit.
    @Test func packedValuesAreThoseOfTheReference() throws {
        let folder = fixtures.appendingPathComponent("gguf-blocks").path
        let packed = try Checkpoint(path: folder + "/model.gguf")
        let plain = try Checkpoint(path: folder)
        #expect(
            Set(packed.elementTypes) == [
                "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
                "IQ4_NL", "IQ4_XS",
            ])
        for tensor in TensorLayout(packed.configuration).tensors {
            let expected = try values(plain, tensor)
            #expect(try values(packed, tensor) == expected, "\(tensor.name)")
            // Any rows, not only from the first.
            for rows in [0..<1, tensor.rows / 2..<tensor.rows, tensor.rows - 1..<tensor.rows, 0..<0] {
                let part = expected[rows.lowerBound * tensor.columns..<rows.upperBound * tensor.columns]
                #expect(try values(packed, tensor, rows: rows) == Array(part), "\(tensor.name) \(rows)")
            }
        }
        #expect(packed.configuration.family == .llama && packed.configuration.hasAttentionBias)
        #expect(plain.configuration.family == .qwen2 && plain.configuration.tiedEmbeddings)
    }

    @Test(arguments: SyntheticCheckpoint.Precision.allCases)
    func bothFormatsHoldTheSameSyntheticModel(precision: SyntheticCheckpoint.Precision) throws {
        let directory = try smallModel(seed: 7, precision: precision)
        let path = directory.path + "/model.gguf"
        let shape = SyntheticCheckpoint.configuration(
            hidden: 16, layers: 2, feedForward: 24, heads: 4, kvHeads: 2, vocabulary: 300, context: 128)
        try SyntheticCheckpoint.write(shape, format: .gguf, precision: precision, seed: 7, to: path)
        let plain = try Checkpoint(path: directory.path)
        let packed = try Checkpoint(path: path)
        var expected = plain.configuration
        expected.normEpsilon = packed.configuration.normEpsilon
        #expect(packed.configuration == expected)
        #expect(abs(packed.configuration.normEpsilon - 1e-5) < 1e-10)
        #expect(packed.parameterCount == plain.parameterCount && packed.files == [path])
        for tensor in TensorLayout(packed.configuration).tensors {
            #expect(try values(packed, tensor) == values(plain, tensor), "\(tensor.name)")
        }
        #expect(try packed.fingerprint() == Checkpoint(path: path).fingerprint())
        packed.forgetPages()
        #expect(try values(packed, TensorLayout(expected).finalNorm) == [Float](repeating: 1, count: 16))

        // Written again over itself, but never over a model that is not synthetic.
        try SyntheticCheckpoint.write(shape, format: .gguf, precision: precision, seed: 8, to: path)
        #expect(try Checkpoint(path: path).fingerprint() != packed.fingerprint())
        _ = try GGUFModel.small().open(in: directory)
        #expect(throws: CheckpointError.self) { try SyntheticCheckpoint.write(shape, format: .gguf, to: path) }
    }

    @Test(arguments: ["llama", "qwen2", "qwen3"])
    func familiesAreRead(architecture: String) throws {
        let directory = try TemporaryDirectory()
        var model = GGUFModel.small(architecture: architecture)
        model.metadata["tokenizer.ggml.eot_token_id"] = .size(4)
        model.metadata["tokenizer.ggml.eom_token_id"] = .size(2)
        let checkpoint = try model.open(in: directory)
        let shape = checkpoint.configuration
        #expect(shape.family.rawValue == architecture)
        #expect(shape.hasAttentionBias == (architecture == "qwen2"))
        #expect(shape.hasQueryKeyNorm == (architecture == "qwen3"))
        #expect(shape.headDim == 4 && shape.vocabularySize == 6 && shape.contextLength == 32 && shape.tiedEmbeddings)
        #expect(shape.ropeTheta == 1000 && shape.normEpsilon == 0.5 && shape.ropeScaling == nil && !shape.isSynthetic)
        #expect(shape.bosToken == 1 && shape.eosTokens == [2, 4])

        // Only Llama's files interleave the halves of a head.
        let layer = TensorLayout(shape).layer(0)
        let rows = try values(checkpoint, layer.query)
        let firsts: [Float] = (0..<8).map { rows[$0 * 8] }
        let order: [Float] = architecture == "llama" ? [0, 2, 1, 3, 4, 6, 5, 7] : [0, 1, 2, 3, 4, 5, 6, 7]
        let expected: [Float] = order.map { $0 * 8 + 0.5 }
        #expect(firsts == expected)
        if let bias = layer.keyBias { #expect(try values(checkpoint, bias) == [0.5, 1.5, 2.5, 3.5]) }
    }

    @Test func frequencyFactorsAndWindows() throws {
        let directory = try TemporaryDirectory()
        var model = GGUFModel.small()
        model.tensors.append(.init("rope_freqs.weight", 2, value: 1))
        model.tensors.append(.init("output.weight", 8, 6))
        model.metadata["llama.attention.sliding_window"] = .size(16)
        let shape = try model.open(in: directory).configuration
        #expect(shape.ropeScaling == .factors([1, 2]) && !shape.tiedEmbeddings)
        #expect(shape.rotaryFrequencies == [1, pow(1000, -0.5) / 2])
        #expect(shape.slidingWindow(layer: 0) == 16 && shape.slidingWindow(layer: 1) == nil)

        model = .small()
        model.metadata["llama.rope.scaling.type"] = .text("linear")
        model.metadata["llama.rope.scaling.factor"] = .number(4)
        #expect(try model.open(in: directory).configuration.ropeScaling == .linear(factor: 4))
    }

    @Test(arguments: [
        ("general.architecture", GGUFModel.Value.text("gemma3"), "general.architecture"),
        ("general.architecture", .size(1), "general.architecture"),
        ("llama.block_count", .size(0), "llama.block_count"),
        ("llama.block_count", .text("1"), "llama.block_count"),
        ("llama.block_count", .size(2), "blk.1.attn_norm.weight"),
        ("llama.block_count", .size(65_536), "llama.block_count"),
        ("llama.embedding_length", .size(1 << 30), "llama.embedding_length"),
        ("llama.embedding_length", .size(16), "llama.rope.dimension_count"),
        ("llama.feed_forward_length", .size(7), "blk.0.ffn_gate.weight"),
        ("llama.attention.head_count", .size(0), "llama.attention.head_count"),
        ("llama.attention.head_count", .sizes([2]), "llama.attention.head_count"),
        ("llama.attention.head_count_kv", .size(3), "llama.attention.head_count_kv"),
        ("llama.attention.head_count_kv", .size(0), "llama.attention.head_count_kv"),
        ("llama.attention.key_length", .size(3), "llama.attention.key_length"),
        ("llama.attention.value_length", .size(8), "llama.attention.value_length"),
        ("llama.attention.layer_norm_rms_epsilon", .number(-1), "llama.attention.layer_norm_rms_epsilon"),
        ("llama.rope.dimension_count", .size(2), "llama.rope.dimension_count"),
        ("llama.rope.freq_base", .number(0), "llama.rope.freq_base"),
        ("llama.rope.freq_base", .number(.nan), "llama.rope.freq_base"),
        ("llama.rope.scaling.type", .text("yarn"), "llama.rope.scaling.type"),
        ("llama.rope.scaling.factor", .number(-2), "llama.rope.scaling.factor"),
        ("llama.context_length", .size(0), "llama.context_length"),
        ("llama.vocab_size", .size(7), "token_embd.weight"),
        ("llama.expert_count", .size(8), "llama.expert_count"),
        ("llama.rope.scaling.factor", .number(1e-30), "llama.rope.scaling.factor"),
        ("llama.attention.scale", .number(0.1), "llama.attention.scale"),
        ("llama.attention.sliding_window_pattern", .size(2), "llama.attention.sliding_window_pattern"),
        ("llama.attention.causal", .flag(false), "llama.attention.causal"),
        ("tokenizer.ggml.precompiled_charsmap", .sizes([1]), "tokenizer.ggml.precompiled_charsmap"),
        ("tokenizer.ggml.eos_token_id", .size(6), "tokenizer.ggml.eos_token_id"),
        ("tokenizer.ggml.bos_token_id", .number(1), "tokenizer.ggml.bos_token_id"),
    ])
    func metadataThatCannotBe(key: String, value: GGUFModel.Value, place: String) throws {
        var model = GGUFModel.small()
        model.metadata[key] = value
        #expect(try error(model)?.place == place)
    }

    @Test func metadataThatNobodyKnowsAreListed() throws {
        let directory = try TemporaryDirectory()
        var model = GGUFModel.small()
        model.metadata["llama.attention.causal"] = .flag(true)
        model.metadata["llama.expert_count"] = .size(0)
        model.metadata["general.size_label"] = .text("1B")
        #expect(try model.open(in: directory).notes == [])
        model.metadata["llama.attention.shine"] = .number(2)
        model.metadata["other.key"] = .size(0)
        let notes = try model.open(in: directory).notes
        #expect(notes.count == 1 && notes.first?.hasSuffix(": llama.attention.shine, other.key") == true, "\(notes)")
    }

    @Test(arguments: [
        "general.architecture", "llama.context_length", "llama.embedding_length", "llama.block_count",
        "llama.feed_forward_length", "llama.attention.head_count",
    ])
    func missingMetadataIsNamed(key: String) throws {
        var model = GGUFModel.small()
        model.metadata[key] = nil
        let found = try error(model)
        #expect(found?.place == key && found?.problem.contains("missing") == true)
    }

    @Test func everyMissingTensorIsNamed() throws {
        for (index, tensor) in GGUFModel.small(architecture: "qwen2").tensors.enumerated() {
            var model = GGUFModel.small(architecture: "qwen2")
            model.tensors.remove(at: index)
            // Without an embedding there is no vocabulary.
            let place = tensor.name == "token_embd.weight" ? "qwen2.vocab_size" : tensor.name
            #expect(try error(model)?.place == place)
        }
    }

    @Test func everyWrongShapeIsNamed() throws {
        for index in GGUFModel.small().tensors.indices {
            var model = GGUFModel.small()
            let sizes = model.tensors[index].sizes
            model.tensors[index].sizes = sizes.count > 1 ? [sizes[0] + 1, sizes[1] - 1] : [sizes[0] - 1]
            let found = try error(model)
            #expect(found?.place.hasSuffix(model.tensors[index].name) == true, "\(String(describing: found))")
        }
    }

    @Test func tensorsThatNobodyAskedForAreNamed() throws {
        for name in [
            "blk.0.attn_output.bias", "blk.0.ffn_gate_inp.weight", "blk.1.ffn_up.weight", "rope_factors_long.weight",
        ] {
            var model = GGUFModel.small()
            model.tensors.append(.init(name, 8))
            #expect(try error(model)?.place == name)
        }
        var model = GGUFModel.small()
        model.tensors.append(.init("blk.0.attn.rot_embd", 2))
        #expect(try error(model) == nil)
        for (sizes, value) in [([3], Float(1)), ([2], 0), ([2], .infinity)] {
            model = .small()
            var tensor = GGUFModel.Tensor("rope_freqs.weight", 2, value: value)
            if sizes == [3] { tensor = .init("rope_freqs.weight", 3, value: value) }
            model.tensors.append(tensor)
            #expect(try error(model)?.place == "rope_freqs.weight")
        }
    }

    @Test func typesThatAreNotDecodedAreNamed() throws {
        for (type, name) in [(UInt32(24), "I8"), (28, "F64"), (999, "type 999")] {
            var model = GGUFModel.small()
            model.tensors[3].type = type
            model.tensors[3].data = [UInt8](repeating: 0, count: 512)
            let found = try error(model)
            #expect(found?.place == "blk.0.attn_q.weight" && found?.problem == "its type is \(name)")
            #expect(found?.fix?.contains("Q4_K") == true)
        }
    }

    /// Every way of cutting the file short, and a thousand damaged copies: an error or a model, never a crash.
    @Test func damagedFilesFailOrLoad() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/model.gguf"
        let bytes = GGUFModel.small(architecture: "qwen2").bytes
        func open(_ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let checkpoint = try Checkpoint(path: path)
            for tensor in TensorLayout(checkpoint.configuration).tensors { _ = try values(checkpoint, tensor) }
            _ = try checkpoint.fingerprint()
        }
        try open(bytes)
        for count in stride(from: 0, to: bytes.count - 32, by: 3) {
            #expect(throws: CheckpointError.self) { try open(Array(bytes[..<count])) }
        }
        var state: UInt64 = 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        for _ in 0..<1000 {
            var copy = bytes
            for _ in 0...random(3) { copy[random(1200)] = UInt8(random(256)) }
            do { try open(copy) } catch is CheckpointError {}
        }
    }

    private func error(_ model: GGUFModel) throws -> CheckpointError? {
        let directory = try TemporaryDirectory()
        do {
            _ = try model.open(in: directory)
            return nil
        } catch let error as CheckpointError {
            #expect(error.path == directory.path + "/model.gguf" && error.fix != nil || error.place.contains("."))
            return error
        }
    }
}
