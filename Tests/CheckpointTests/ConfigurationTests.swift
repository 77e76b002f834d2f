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
        ("rope_scaling", .string("linear")),
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
