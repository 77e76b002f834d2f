// config.json and generation_config.json: what is read, and what is refused by name.

import Checkpoint
import Foundation
import Testing

@Suite struct ConfigurationTests {
    /// The configuration of a small model after changes to its config.json.
    private func configuration(_ changes: [String: JSONValue?], generation: [String: JSONValue]? = nil) throws
        -> ModelConfiguration
    {
        let directory = try smallModel()
        try directory.edit("config.json", changes)
        if let generation { try directory.write(generation, to: "generation_config.json") }
        return try ModelConfiguration(directory: directory.path)
    }

    @Test func aWholeConfigurationIsRead() throws {
        let read = try configuration([:])
        #expect(
            read
                == SyntheticCheckpoint.configuration(
                    hidden: 16, layers: 2, feedForward: 24, heads: 4, kvHeads: 2, vocabulary: 300, context: 128))
    }

    @Test func absentFieldsHaveTheirDefaults() throws {
        let read = try configuration([
            "num_key_value_heads": nil, "head_dim": nil, "rope_theta": nil, "rope_scaling": nil, "rms_norm_eps": nil,
            "tie_word_embeddings": nil, "bos_token_id": .null, "winnow_synthetic": nil, "hidden_act": nil,
            "max_position_embeddings": nil, "architectures": nil,
        ])
        #expect(read.kvHeadCount == 4 && read.headDim == 4 && read.ropeTheta == 10_000 && read.ropeScaling == nil)
        #expect(read.normEpsilon == 1e-6 && !read.tiedEmbeddings && read.bosToken == nil && !read.isSynthetic)
        #expect(read.contextLength == 2048)
    }

    @Test func ropeScalingInEverySpelling() throws {
        let llama3: [String: JSONValue] = [
            "rope_type": .string("llama3"), "factor": .number(8), "low_freq_factor": .integer(1),
            "high_freq_factor": .number(4), "original_max_position_embeddings": .integer(8192),
        ]
        let expected = RopeScaling.llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
        #expect(try configuration(["rope_scaling": .object(llama3)]).ropeScaling == expected)
        let parameters = llama3.merging(["rope_theta": .number(500_000)]) { $1 }
        let read = try configuration(["rope_parameters": .object(parameters), "rope_theta": nil, "rope_scaling": nil])
        #expect(read.ropeScaling == expected && read.ropeTheta == 500_000)
        let linear: [String: JSONValue] = ["type": .string("linear"), "factor": .number(2)]
        #expect(try configuration(["rope_scaling": .object(linear)]).ropeScaling == .linear(factor: 2))
        #expect(try configuration(["rope_scaling": .object(["rope_type": .string("default")])]).ropeScaling == nil)
    }

    /// With both spellings `rope_scaling` counts, as in transformers; where they disagree the file is refused.
    @Test func ropeParametersBesideRopeScaling() throws {
        let plain: JSONValue = .object(["rope_type": .string("default"), "rope_theta": .integer(20_000)])
        let linear: JSONValue = .object(["rope_type": .string("linear"), "factor": .integer(2)])
        let read = try configuration(
            ["rope_parameters": plain, "rope_scaling": linear, "rope_theta": .integer(20_000)])
        #expect(read.ropeScaling == .linear(factor: 2) && read.ropeTheta == 20_000)
        #expect(try configuration(["rope_parameters": plain, "rope_scaling": .object([:])]).ropeScaling == nil)
        func place(_ changes: [String: JSONValue?]) throws -> String? {
            try #require(throws: CheckpointError.self) { try configuration(changes) }.place
        }
        let yarn: JSONValue = .object(["rope_type": .string("yarn"), "factor": .integer(4)])
        #expect(
            try place(["rope_parameters": plain, "rope_scaling": yarn, "rope_theta": .integer(20_000)])
                == "rope_scaling.rope_type")
        #expect(
            try place(["rope_parameters": yarn, "rope_scaling": linear]) == "rope_parameters.rope_type")
        #expect(
            try place(["rope_parameters": plain, "rope_scaling": linear, "rope_theta": nil])
                == "rope_parameters.rope_theta")
        #expect(try place(["rope_parameters": yarn, "rope_scaling": nil]) == "rope_parameters.rope_type")
    }

    @Test func fieldsThatNobodyKnowsAreListed() throws {
        func notes(_ changes: [String: JSONValue?]) throws -> [String] {
            let directory = try smallModel()
            try directory.edit("config.json", changes)
            return try Checkpoint(path: directory.path).notes
        }
        #expect(try notes(["torch_dtype": .string("float16"), "num_experts": .integer(0), "qk_norm": .null]) == [])
        #expect(try notes(["embedding_multiplier": .number(1), "attention_chunk_size": .null]) == [])
        let found = try notes([
            "shine": .integer(3), "absent": .null, "sliding_window": .integer(7),
            "rope_scaling": .object(["rope_type": .string("default"), "sheen": .integer(1)]),
        ])
        #expect(found.count == 1 && found.first?.contains("llama") == true, "\(found)")
        #expect(found.first?.hasSuffix(": rope_scaling.sheen, shine, sliding_window") == true, "\(found)")
        // However many and long they are, it is one line.
        let many = try notes(
            Dictionary(
                uniqueKeysWithValues: (0..<500).map { (String(repeating: "x", count: 99) + "\($0)", .integer(1)) }))
        #expect(many.count == 1 && many.first?.hasSuffix("and 484 more") == true && (many.first?.count ?? 0) < 1500)
    }

    @Test func endTokensComeFromTheGenerationConfigurationFirst() throws {
        let list: JSONValue = .array([.integer(3), .integer(5)])
        #expect(try configuration([:], generation: ["eos_token_id": list]).eosTokens == [3, 5])
        #expect(try configuration([:], generation: ["eos_token_id": .integer(9)]).eosTokens == [9])
        #expect(try configuration(["eos_token_id": list], generation: [:]).eosTokens == [3, 5])
        #expect(try configuration(["eos_token_id": .null], generation: [:]).eosTokens == [])
    }

    @Test(arguments: [
        ("architectures", JSONValue.array([.string("MixtralForCausalLM")])),
        ("architectures", .integer(1)),
        ("hidden_act", .string("gelu")),
        ("attention_bias", .bool(true)),
        ("mlp_bias", .bool(true)),
        ("quantization_config.quant_method", .object(["quant_method": .string("gptq")])),
        ("rope_scaling.full_attention", .object(["full_attention": .object([:])])),
        ("rope_scaling.partial_rotary_factor", .object(["partial_rotary_factor": .number(0.5)])),
        ("rope_scaling.rope_type", .object(["rope_type": .string("yarn"), "factor": .number(4)])),
        ("rope_scaling.factor", .object(["rope_type": .string("linear")])),
        ("rope_scaling.factor", .object(["rope_type": .string("linear"), "factor": .integer(0)])),
        ("rope_scaling.factor", .object(["rope_type": .string("linear"), "factor": .number(.leastNonzeroMagnitude)])),
        ("rope_scaling.factor", .object(["rope_type": .string("linear"), "factor": .number(1e300)])),
        (
            "rope_scaling.mrope_section",
            .object(["rope_type": .string("default"), "mrope_section": .array([.integer(16)])])
        ),
        ("rope_scaling", .string("linear")),
        ("rope_theta", .number(.leastNonzeroMagnitude)),
        ("partial_rotary_factor", .number(0.5)),
        ("layer_types", .array([.string("full_attention"), .string("sliding_attention")])),
        ("layer_types", .array([.string("full_attention")])),
        ("num_experts", .integer(8)),
        ("attn_logit_softcapping", .number(50)),
        ("embedding_multiplier", .number(12)),
        ("qk_norm", .bool(true)),
        ("is_encoder_decoder", .bool(true)),
        ("no_rope_layers", .array([.integer(1), .integer(0)])),
        ("hidden_size", .integer(0)),
        ("hidden_size", .integer(1 << 40)),
        ("hidden_size", .number(16.5)),
        ("hidden_size", .string("16")),
        ("num_hidden_layers", .integer(-1)),
        ("num_hidden_layers", .null),
        ("num_attention_heads", .integer(0)),
        ("num_key_value_heads", .integer(3)),
        ("num_key_value_heads", .integer(0)),
        ("head_dim", .integer(3)),
        ("head_dim", .integer(-2)),
        ("vocab_size", .bool(true)),
        ("intermediate_size", nil),
        ("max_position_embeddings", .integer(0)),
        ("rope_theta", .integer(0)),
        ("rope_theta", .integer(-10)),
        ("rms_norm_eps", .number(-0.5)),
        ("eos_token_id", .integer(300)),
        ("eos_token_id", .array([.string("</s>")])),
        ("bos_token_id", .integer(-1)),
        ("tie_word_embeddings", .string("yes")),
    ])
    func whatCannotBeRunIsNamed(place: String, value: JSONValue?) throws {
        let field = String(place.split(separator: ".")[0])
        do {
            _ = try configuration([field: value], generation: [:])
            Issue.record("\(field) was accepted")
        } catch let error as CheckpointError {
            #expect(error.place == place, "\(error)")
            #expect(error.path.hasSuffix("/config.json"))
        }
    }

    @Test(arguments: ["", "{", "[]", "\"text\"", "{\"vocab_size\": 1e999}", "\u{FEFF}nonsense"])
    func aFileThatIsNoObject(text: String) throws {
        let directory = try smallModel()
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory.path + "/config.json"))
        #expect(throws: CheckpointError.self) { try ModelConfiguration(directory: directory.path) }
    }

    @Test func llama3FrequenciesAreThoseOfThePaper() throws {
        var read = try configuration([:])
        read.headDim = 8
        read.ropeTheta = 10_000
        #expect(read.rotaryFrequencies == [1, 0.1, 0.01, 0.001])
        read.ropeScaling = .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 1000)
        let scaled = read.rotaryFrequencies
        // Wavelengths 6.3, 63, 628 and 6283 against a context of 1000: short, short, between, long.
        #expect(scaled[0] == 1 && scaled[1] == 0.1 && scaled[3] == 0.001 / 8)
        #expect(scaled[2] < 0.01 && scaled[2] > 0.01 / 8)
    }
}
