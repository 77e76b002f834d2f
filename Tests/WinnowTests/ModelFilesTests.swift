// What a model's files say is what is done, and the command says where they disagree.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Model files", .timeLimit(.minutes(2)))
    struct ModelFilesTests {
        /// Runs the command with `input` on its standard input.
        private func run(_ arguments: [String], input: Data) async throws -> Program.Finished {
            let folder = try TemporaryFolder()
            try input.write(to: folder.file("input"))
            let process = try RunningProgram(
                ["-c", "exec \"$@\" < \"$INPUT\"", "bash", Program.path] + arguments, name: "winnow",
                program: "/bin/bash", environment: ["INPUT": folder.file("input").path])
            defer { process.kill(SIGKILL) }
            return try await within(.seconds(20), "the end of winnow \(arguments.joined(separator: " "))") {
                let end = try await process.end()
                return Program.Finished(
                    end: end, output: try await process.output.all(), log: try await process.log.all())
            }
        }

        private struct Tokens: Decodable {
            var count: Int
            var tokens: [Int]
            var pieces: [String]
            var text: String
        }

        @Test func textBecomesIdsAndText() async throws {
            let needle = ["model", "tokenize", Package.needle]
            let text = Data("Call me Ishmael.".utf8)
            // As POST /tokenize gives them.
            let ids = "0 36 375 421 322 904 78 66 405 15"
            #expect(try await run(needle, input: text).output == [ids])
            let plain = try await run(needle + ["--no-special"], input: text)
            #expect(plain.output == [String(ids.dropFirst(2))] && plain.end == .exit(0))
            let back = try await run(needle + ["--decode", "--no-special"], input: Data("[\(ids)]\n".utf8))
            #expect(back.output == ["Call me Ishmael."])
            let pieces = try await run(needle + ["--pieces", "--no-special"], input: text)
            #expect(pieces.output.count == 9 && pieces.output.first?.hasPrefix("36\t\"") == true)

            let run = try await run(needle + ["--json"], input: Data("a\nb".utf8))
            let json = try JSONDecoder().decode(Tokens.self, from: Data(run.output.joined().utf8))
            #expect(json.text == "a\nb" && json.count == json.tokens.count && json.pieces.count == json.count)
            let decoded = try await self.run(
                needle + ["--decode", "--json"], input: Data(json.tokens.map(String.init).joined(separator: ",").utf8))
            let other = try JSONDecoder().decode(Tokens.self, from: Data(decoded.output.joined().utf8))
            #expect(other.tokens == json.tokens && other.text.hasSuffix("a\nb") && other.text.count > 3)
        }

        @Test func whatCannotBeTokenizedIsSaid() async throws {
            let needle = ["model", "tokenize", Package.needle]
            for (arguments, input, code, says) in [
                (needle, Data([0x61, 0xFF]), 65, "not UTF-8"),
                (needle + ["--decode"], Data("1 x 2".utf8), 65, "found \"x\""),
                (needle + ["--decode"], Data("1 99999999".utf8), 65, "found \"99999999\""),
                (needle + ["--decode"], Data("-1".utf8), 65, "found \"-1\""),
                (["model", "tokenize", "/nowhere"], Data(), 65, "/nowhere"),
                (needle + ["--decode", "--literal"], Data(), 64, "--literal"),
            ] {
                let run = try await run(arguments, input: input)
                #expect(run.end == .exit(Int32(code)), "\(arguments) \(run.log)")
                #expect(run.output.isEmpty && run.log.contains { $0.contains(says) }, "\(run.log)")
            }
        }

        private struct Report: Decodable {
            var eosTokens: [Int]
            var notes: [String]
        }

        private func inspect(_ folder: TemporaryFolder) async throws -> Report {
            let run = try await Program.run(["model", "inspect", folder.path, "--json"])
            #expect(run.end == .exit(0), "\(run.log)")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(Report.self, from: Data(run.output.joined(separator: "\n").utf8))
        }

        /// generation_config.json goes before config.json; the tokenizer's own end token counts beside either.
        @Test(arguments: [
            ("2", "[7, 9]", "\"</s>\"", [2, 7, 9]), ("7", "[9]", "{\"content\": \"</s>\"}", [2, 9]),
            ("7", "null", "\"</s>\"", [2, 7]), ("[7, 8]", "null", "null", [2, 7, 8]),
            ("null", "[9]", "\"<s>\"", [1, 9]),
        ])
        func endTokensOfAllFiles(config: String, generation: String, tokenizer: String, expected: [Int]) async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            func set(_ file: String, _ key: String, _ value: String) throws {
                try folder.change(file) { bytes in
                    var object = try #require(try JSONSerialization.jsonObject(with: bytes) as? [String: Any])
                    object[key] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
                    bytes = try JSONSerialization.data(withJSONObject: object)
                }
            }
            try set("config.json", "eos_token_id", config)
            try set("generation_config.json", "eos_token_id", generation)
            try set("tokenizer_config.json", "eos_token", tokenizer)
            // Where tokenizer_config.json does not say.
            try Data(#"{"eos_token": {"content": "</s>"}}"#.utf8).write(to: folder.file("special_tokens_map.json"))
            #expect(try await inspect(folder).eosTokens == expected)
        }

        @Test func keysThatNobodyKnowsAreListedOnce() async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            #expect(try await inspect(folder).notes == [])
            try folder.change("config.json") {
                $0 = Data(
                    String(decoding: $0, as: UTF8.self).replacing(
                        "{", with: "{\"shine\\nERROR\": 3,", maxReplacements: 1
                    ).utf8)
            }
            #expect(try await inspect(folder).notes.count == 1)
            let generated = try await Program.run(
                ["generate", "--model", folder.path, "--prompt", "Once", "--max-tokens", "1"])
            #expect(generated.end == .exit(0))
            #expect(generated.log.filter { $0.contains("shine\\nERROR") }.count == 1, "\(generated.log)")
        }

        @Test func aWeightThatIsNoNumberIsNamed() async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            try folder.change("model.safetensors") { bytes in
                var weights = try Weights(bytes)
                let offsets = try #require(weights.header["model.layers.2.mlp.up_proj.weight"]?.dataOffsets)
                let place = weights.data.startIndex + offsets[0]
                weights.data.replaceSubrange(place..<place + 4, with: [0, 0, 0xC0, 0x7F])
                bytes = try weights.encoded()
            }
            let run = try await Program.run(["generate", "--model", folder.path, "--prompt", "Once"])
            #expect(run.end == .exit(65) && run.output.isEmpty && run.log.count == 1)
            #expect(
                run.log.first?.contains("\(folder.path)/model.safetensors: model.layers.2.mlp.up_proj.weight") == true)
        }

        /// Finite weights, and logits that are not: the request ends with an error that says so, the pipeline stands.
        @Test func logitsThatAreNotFiniteAreNeverSampled() async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            try folder.change("model.safetensors") { bytes in
                var weights = try Weights(bytes)
                let offsets = try #require(weights.header["model.norm.weight"]?.dataOffsets)
                let start = weights.data.startIndex
                let huge = withUnsafeBytes(of: Float(3e38).bitPattern.littleEndian) { Data($0) }
                for place in stride(from: start + offsets[0], to: start + offsets[1], by: 4) {
                    weights.data.replaceSubrange(place..<place + 4, with: huge)
                }
                bytes = try weights.encoded()
            }
            let run = try await Program.run(
                ["generate", "--model", folder.path, "--prompt", "Once", "--max-tokens", "3", "--dtype", "f32"])
            #expect(run.end == .exit(70) && run.log.contains { $0.contains("the logit of token") }, "\(run.log)")
            try await withCluster(Cluster.Shape(model: folder.path, stages: 1, dtype: "f32")) { cluster, _, client in
                for _ in 0..<3 {
                    let refused = await #expect(throws: Refused.self) {
                        try await client.complete(Ask(prompt: "Once", maxTokens: 3))
                    }
                    #expect(refused?.status == 500 && refused?.problem?.code == "internal_error")
                    #expect(refused?.problem?.message.contains("not finite") == true, "\(String(describing: refused))")
                }
                #expect(try await client.get("/health/ready").status == 200)
                let metrics = String(decoding: try await client.get("/metrics").body, as: UTF8.self)
                #expect(
                    metrics.contains("kv_tokens_used") && metrics.contains("winnow_requests_running 0"), "\(metrics)")
            }
        }

        @Test func anEmptyPromptIsNoPrompt() async throws {
            let run = try await Program.run(["generate", "--model", Package.stories, "--prompt", ""])
            #expect(run.end == .exit(65) && run.log.count == 1)
        }
    }
}
