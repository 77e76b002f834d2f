// What each family's config.json means.

import Checkpoint
import Foundation
import Testing

@Suite struct FamilyTests {
    /// The configuration of a four-layer model of this architecture.
    private func configuration(_ architecture: String, _ changes: [String: JSONValue?]) throws -> ModelConfiguration {
        let directory = try smallModel(layers: 4)
        try directory.edit("config.json", ["architectures": .array([.string(architecture)])])
        try directory.edit("config.json", changes)
        return try ModelConfiguration(directory: directory.path)
    }

    private func windows(_ shape: ModelConfiguration) -> [Int?] { (0..<4).map { shape.slidingWindow(layer: $0) } }

    @Test(arguments: [
        ("LlamaForCausalLM", "llama", ModelFamily.llama), ("MistralForCausalLM", "mistral", .mistral),
        ("Qwen2ForCausalLM", "qwen2", .qwen2), ("Qwen3ForCausalLM", "qwen3", .qwen3),
    ])
    func familiesAreKnownByEitherName(architecture: String, type: String, family: ModelFamily) throws {
        let read = try configuration(architecture, [:])
        #expect(read.family == family)
        #expect(read.hasAttentionBias == (family == .qwen2) && read.hasQueryKeyNorm == (family == .qwen3))
        let other = try configuration("", ["architectures": .null, "model_type": .string(type)])
        #expect(other == read)
        let tensors = TensorLayout(read).layer(3)
        #expect(tensors.queryBias?.shape == (family == .qwen2 ? [16] : nil))
        #expect(tensors.keyBias?.name == (family == .qwen2 ? "model.layers.3.self_attn.k_proj.bias" : nil))
        #expect(tensors.keyNorm?.shape == (family == .qwen3 ? [4] : nil))
        let counts: [ModelFamily: Int] = [.llama: 9, .mistral: 9, .qwen2: 12, .qwen3: 11]
        #expect(tensors.tensors.count == counts[family])
    }

    @Test func absentFieldsHaveTheFamilysDefaults() throws {
        let absent: [String: JSONValue?] = [
            "num_key_value_heads": nil, "head_dim": nil, "max_position_embeddings": nil,
            "num_attention_heads": .integer(8),
        ]
        let mistral = try configuration("MistralForCausalLM", absent)
        #expect(mistral.kvHeadCount == 8 && mistral.headDim == 2 && mistral.contextLength == 131_072)
        let qwen3 = try configuration(
            "Qwen3ForCausalLM", absent.merging(["num_key_value_heads": .null]) { $1 })
        #expect(qwen3.kvHeadCount == 8 && qwen3.headDim == 128 && qwen3.contextLength == 32_768)
        // Qwen 2 has 32 where nothing is said.
        #expect(throws: CheckpointError.self) { try configuration("Qwen2ForCausalLM", absent) }
    }

    @Test func mistralsWindowIsEverywhere() throws {
        #expect(windows(try configuration("MistralForCausalLM", [:])) == [4096, 4096, 4096, 4096])
        #expect(windows(try configuration("MistralForCausalLM", ["sliding_window": .integer(7)])) == [7, 7, 7, 7])
        #expect(try configuration("MistralForCausalLM", ["sliding_window": .null]).slidingWindow == nil)
        #expect(try configuration("LlamaForCausalLM", ["sliding_window": .integer(7)]).slidingWindow == nil)
    }

    @Test func mistralsWindowIsOfTheLayersThatAreListed() throws {
        let (full, sliding) = (JSONValue.string("full_attention"), JSONValue.string("sliding_attention"))
        func layers(_ types: [JSONValue], _ size: JSONValue?) throws -> [Int?] {
            windows(try configuration("MistralForCausalLM", ["layer_types": .array(types), "sliding_window": size]))
        }
        #expect(try layers([full, sliding, full, sliding], .integer(16)) == [nil, 16, nil, 16])
        #expect(try layers([full, sliding, full, full], nil) == [nil, 4096, nil, nil])
        #expect(try layers([full, full, full, full], .integer(16)) == [nil, nil, nil, nil])
        for (types, size, place) in [
            ([full, sliding, full, full], JSONValue.null, "sliding_window"), ([full], .integer(16), "layer_types"),
            ([full, full, full, .string("chunked_attention")], .integer(16), "layer_types"),
        ] {
            let error = #expect(throws: CheckpointError.self) { try layers(types, size) }
            #expect(error?.place == place)
        }
    }

    @Test(arguments: ["Qwen2ForCausalLM", "Qwen3ForCausalLM"])
    func qwensWindowIsOfTheLayersThatAreNamed(architecture: String) throws {
        func windows(_ changes: [String: JSONValue?]) throws -> [Int?] {
            let shape = try configuration(architecture, changes)
            return (0..<4).map { shape.slidingWindow(layer: $0) }
        }
        let size: [String: JSONValue?] = ["sliding_window": .integer(9)]
        let used = size.merging(["use_sliding_window": .bool(true)]) { $1 }
        #expect(try windows(size) == [nil, nil, nil, nil])
        #expect(try windows(used) == [nil, nil, nil, nil])
        #expect(try windows(used.merging(["max_window_layers": .integer(3)]) { $1 }) == [nil, nil, nil, 9])
        #expect(try windows(used.merging(["max_window_layers": .integer(0)]) { $1 }) == [9, 9, 9, 9])
        let (full, sliding) = (JSONValue.string("full_attention"), JSONValue.string("sliding_attention"))
        let types: [String: JSONValue?] = ["layer_types": .array([sliding, full, full, sliding])]
        #expect(try windows(used.merging(types) { $1 }) == [9, nil, nil, 9])
        #expect(
            try windows(used.merging(["sliding_window": .null, "max_window_layers": .integer(0)]) { $1 })
                == [nil, nil, nil, nil])
        for (changes, place) in [
            (types, "layer_types"),
            (used.merging(["layer_types": .array([full])]) { $1 }, "layer_types"),
            (used.merging(["layer_types": .array([full, full, full, .string("chunked")])]) { $1 }, "layer_types"),
            (used.merging(["sliding_window": .integer(0)]) { $1 }, "sliding_window"),
            (used.merging(["max_window_layers": .integer(-1)]) { $1 }, "max_window_layers"),
        ] {
            let error = #expect(throws: CheckpointError.self) { try windows(changes) }
            #expect(error?.place == place)
        }
    }

    @Test func biasesThatAreNotImplementedAreRefused() throws {
        let bias: [String: JSONValue?] = ["attention_bias": .bool(true)]
        for architecture in ["LlamaForCausalLM", "Qwen3ForCausalLM"] {
            #expect(throws: CheckpointError.self) { try configuration(architecture, bias) }
        }
        // These have no such field.
        for architecture in ["MistralForCausalLM", "Qwen2ForCausalLM"] { _ = try configuration(architecture, bias) }
    }
}
