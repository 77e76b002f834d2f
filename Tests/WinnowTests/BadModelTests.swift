// Damaged and mismatched models: one line that names the file, and never a crash.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Bad models", .timeLimit(.minutes(2)))
    struct BadModelTests {
        /// What is done to a copy of stories260K, and what must be said about it.
        struct Damage: Sendable, CustomTestStringConvertible {
            var testDescription: String
            /// Empty where no single file is at fault.
            var file = "model.safetensors"
            var says: String
            var apply: @Sendable (TemporaryFolder) throws -> Void

            /// Damage to the weights file's bytes.
            static func bytes(
                _ what: String, file: String = "model.safetensors", says: String,
                _ change: @escaping @Sendable (inout Data) throws -> Void
            ) -> Damage {
                Damage(testDescription: what, file: file, says: says) { try $0.change("model.safetensors", change) }
            }

            /// Damage to what the weights file says of its tensors.
            static func header(
                _ what: String, file: String = "model.safetensors", says: String,
                _ change: @escaping @Sendable (inout [String: TensorHeader]) throws -> Void
            ) -> Damage {
                bytes(what, file: file, says: says) { bytes in
                    var weights = try Weights(bytes)
                    try change(&weights.header)
                    bytes = try weights.encoded()
                }
            }

            /// Another value in config.json.
            static func config(
                _ what: String, file: String = "config.json", says: String, _ old: String, _ new: String
            ) -> Damage {
                Damage(testDescription: what, file: file, says: says) { folder in
                    try folder.change("config.json") { bytes in
                        let text = String(decoding: bytes, as: UTF8.self)
                        try #require(text.contains(old))
                        bytes = Data(text.replacing(old, with: new).utf8)
                    }
                }
            }
        }

        private static let query = "model.layers.0.self_attn.q_proj.weight"
        private static let output = "model.layers.1.self_attn.o_proj.weight"

        static let weights: [Damage] = [
            .bytes("empty", says: "0 bytes") { $0 = Data() },
            .bytes("4 bytes", says: "4 bytes") { $0 = $0.prefix(4) },
            .bytes("cut in its header", says: "incomplete") { $0 = $0.prefix(100) },
            .bytes("cut in its data", says: "incomplete") { $0 = $0.prefix($0.count - 1000) },
            .bytes("cut by one byte", says: "incomplete") { $0 = $0.prefix($0.count - 1) },
            .bytes("header of 2^60 bytes", says: "\(1 << 60)") {
                $0.replaceSubrange(0..<8, with: [0, 0, 0, 0, 0, 0, 0, 16])
            },
            .bytes("header of 2^64 - 1 bytes", says: "\(UInt64.max)") {
                $0.replaceSubrange(0..<8, with: [UInt8](repeating: 255, count: 8))
            },
            .bytes("header is no JSON", says: "header") { $0[8] = UInt8(ascii: "?") },
            .header("overlapping tensors", says: "overlap") { header in
                let other = try #require(header[output])
                header[query]?.dataOffsets = other.dataOffsets
            },
            .header("tensor outside the file", says: query) { header in
                header[query]?.dataOffsets = [1 << 40, 1 << 40 + 64 * 64 * 4]
            },
            .header("offsets at the end of Int", says: query) { header in
                header[query]?.dataOffsets = [Int.max - 16384, Int.max]
            },
            .header("negative offsets", says: query) { $0[query]?.dataOffsets = [-16384, 0] },
            .header("shape that overflows", says: query) { $0[query]?.shape = [1 << 32, 1 << 32, 1 << 32] },
            .header("negative shape", says: query) { $0[query]?.shape = [-64, -64] },
            .header("shape of another model", says: query) { $0[query]?.shape = [128, 32] },
            .header("unknown type", says: "F31") { $0[query]?.dtype = "F31" },
            .header("a tensor missing", file: "", says: query) { $0[query] = nil },
            Damage(testDescription: "weights missing", says: "model.safetensors") {
                try FileManager.default.removeItem(at: $0.file("model.safetensors"))
            },
        ]

        static let configurations: [Damage] = [
            Damage(testDescription: "config.json missing", file: "config.json", says: "No such file") {
                try FileManager.default.removeItem(at: $0.file("config.json"))
            },
            Damage(testDescription: "config.json cut", file: "config.json", says: "JSON") {
                try $0.change("config.json") { $0 = $0.prefix(60) }
            },
            .config(
                "no heads", says: "num_attention_heads", #""num_attention_heads": 8"#, #""num_attention_heads": 0"#),
            .config(
                "heads in no groups", says: "num_key_value_heads", #"key_value_heads": 4"#, #"key_value_heads": 3"#),
            .config(
                "width too large", says: "hidden_size", #""hidden_size": 64"#, #""hidden_size": 9999999999999999999"#),
            .config("another architecture", says: "GPT2", #""LlamaForCausalLM""#, #""GPT2LMHeadModel""#),
            .config(
                "more layers than there are", file: "", says: "model.layers.5", #""num_hidden_layers": 5"#,
                #""num_hidden_layers": 6"#),
        ]

        static let tokenizers: [Damage] = [
            Damage(testDescription: "tokenizer.json missing", file: "tokenizer.json", says: "tokenizer.json") {
                try FileManager.default.removeItem(at: $0.file("tokenizer.json"))
            },
            Damage(testDescription: "tokenizer.json cut", file: "tokenizer.json", says: "JSON") {
                try $0.change("tokenizer.json") { $0 = $0.prefix($0.count / 2) }
            },
            Damage(testDescription: "tokenizer.json of another model", file: "tokenizer", says: "same model") {
                try $0.take(["tokenizer.json"], of: Package.needle)
            },
            Damage(testDescription: "tokenizer of another model", file: "tokenizer.json", says: "another model") {
                try $0.take(["tokenizer.json", "tokenizer_config.json"], of: Package.needle)
            },
        ]

        @Test(arguments: weights + configurations) func damageIsNamed(damage: Damage) async throws {
            try await expect(damage, commands: ["generate", "coordinator", "inspect"])
        }

        @Test(arguments: tokenizers) func aDamagedTokenizerIsNamed(damage: Damage) async throws {
            try await expect(damage, commands: ["generate", "coordinator"])
        }

        private func expect(_ damage: Damage, commands: [String]) async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            try damage.apply(folder)
            let lines = [
                "generate": ["generate", "--model", folder.path, "--prompt", "Once", "--max-tokens", "1"],
                "coordinator": [
                    "coordinator", "--model", folder.path, "--http", "127.0.0.1:0", "--listen", "tcp://127.0.0.1:*",
                ],
                "inspect": ["model", "inspect", folder.path],
            ]
            for command in commands {
                let run = try await Program.run(try #require(lines[command]))
                try Self.expectOneLine(run, says: [folder.path, damage.file, damage.says])
            }
        }

        @Test func aWorkerReadsItsFilesBeforeItSaysHello() async throws {
            for damage in Self.weights.prefix(10) {
                let folder = try TemporaryFolder(copyOf: Package.stories)
                try damage.apply(folder)
                let run = try await Program.run(
                    ["worker", "--model", folder.path, "--coordinator", "tcp://127.0.0.1:9"])
                try Self.expectOneLine(run, says: [folder.path, damage.file, damage.says])
            }
        }

        @Test func aSmallerModelsTokenizerIsFoundToo() async throws {
            let folder = try TemporaryFolder(copyOf: Package.needle)
            try folder.take(["tokenizer.json", "tokenizer_config.json"], of: Package.stories)
            let run = try await Program.run([
                "generate", "--model", folder.path, "--prompt", "Once", "--max-tokens", "1",
            ])
            try Self.expectOneLine(run, says: [folder.path, "BOS", "another model"])
        }

        @Test(arguments: ["generate", "coordinator"])
        func aPairMustShareItsTokenizer(command: String) async throws {
            let specific =
                command == "generate"
                ? ["--prompt", "Once", "--max-tokens", "1"]
                : ["--http", "127.0.0.1:0", "--listen", "tcp://127.0.0.1:*"]
            let run = try await Program.run(
                [command, "--model", Package.needle, "--speculator", Package.stories] + specific)
            try Self.expectOneLine(run, says: [Package.needle, Package.stories, "tokenizer"])
        }

        @Test func aMissingDirectoryIsNamed() async throws {
            let run = try await Program.run(["generate", "--model", "/nowhere/model", "--prompt", "Once"])
            try Self.expectOneLine(run, says: ["/nowhere/model"])
        }

        /// Ended with 65 and said why on one line.
        private static func expectOneLine(_ run: Program.Finished, says: [String]) throws {
            #expect(run.end == .exit(65))
            #expect(run.output.isEmpty)
            try #require(run.log.count == 1, "\(run.log)")
            #expect(run.log[0].hasPrefix("winnow: "))
            for text in says where !text.isEmpty { #expect(run.log[0].contains(text)) }
        }
    }
}
