// The greedy story of stories260K, in one process and through pipelines of real ones.

import ChildPrograms
import Foundation
import Testing

/// What llama2.c says after BOS at temperature 0.
enum Story {
    static func text() throws -> String {
        try String(
            contentsOfFile: Package.file("Tests/TransformerTests/Fixtures/stories260K-greedy.txt"), encoding: .utf8)
    }

    static let beginning = "Once upon a time"

    /// Whether `text` is the story as far as it goes, and goes as far as 200 tokens do.
    static func isTold(by text: String) throws -> Bool { try text.count > 450 && self.text().hasPrefix(text) }
}

extension EndToEnd {
    @Suite("Stories", .timeLimit(.minutes(2)))
    struct StoryTests {
        private let generate = ["generate", "--model", Package.stories, "--max-tokens", "200", "--temperature", "0"]

        private struct Facts: Decodable {
            var text: String
            var promptTokens: Int
            var completionTokens: Int
            var finishReason: String
        }

        private func tell(_ options: [String]) async throws -> Facts {
            let run = try await Program.run(generate + ["--prompt", Story.beginning, "--json"] + options)
            try #require(run.end == .exit(0), "\(run.log)")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(Facts.self, from: Data(run.output.joined().utf8))
        }

        @Test func oneProcessTellsIt() async throws {
            let facts = try await tell(["--dtype", "f32"])
            #expect(facts.completionTokens == 200)
            #expect(facts.finishReason == "length")
            #expect(try Story.isTold(by: Story.beginning + facts.text))
        }

        @Test func everyLevelTellsIt() async throws {
            let levels = try await Program.run(["bench", "levels"]).output
            try #require(levels.first == "portable")
            for level in levels {
                let facts = try await tell(["--dtype", "f32", "--cpu-level", level])
                #expect(try Story.isTold(by: Story.beginning + facts.text), "\(level)")
            }
        }

        /// As scripts use it: text alone on standard output, facts on standard error.
        @Test func aPromptFileIsRead() async throws {
            let file = try TemporaryFolder()
            try Data(Story.beginning.utf8).write(to: file.url.appending(path: "prompt"))
            let run = try await Program.run(
                generate + ["--dtype", "f32", "--prompt-file", file.url.appending(path: "prompt").path])
            try #require(run.end == .exit(0), "\(run.log)")
            #expect(try Story.isTold(by: Story.beginning + run.output.joined(separator: "\n")))
            #expect(run.log.last?.contains("5 prompt tokens") == true)
        }

        @Test(arguments: [1, 2, 5]) func aPipelineTellsIt(stages: Int) async throws {
            try await withCluster(.stories(stages: stages)) { _, _, client in
                // From BOS alone; the text then begins with the space that SentencePiece puts before a word.
                let all = try await client.complete(Ask(prompt: [1], maxTokens: 200))
                #expect(try Story.isTold(by: all.text.trimmingCharacters(in: .whitespaces)))
                #expect(all.usage?.completionTokens == 200)
                #expect(all.choices?.first?.finishReason == "length")

                let streamed = try await client.stream(Ask(prompt: .text(Story.beginning), maxTokens: 200)).rest()
                #expect(streamed.problem == nil && streamed.finish == "length")
                #expect(try Story.isTold(by: Story.beginning + streamed.text))
            }
        }

        /// Rounding may turn the story elsewhere where two words are nearly as likely; how it is cut into stages may not.
        @Test(arguments: ["auto", "bf16", "int8"]) func everyPipelineTellsTheSame(dtype: String) async throws {
            let alone = try await tell(["--dtype", dtype])
            #expect(alone.completionTokens == 200)
            for stages in [1, 2, 5] {
                try await withCluster(.stories(stages: stages, dtype: dtype)) { _, _, client in
                    let told = try await client.complete(Ask(prompt: .text(Story.beginning), maxTokens: 200))
                    #expect(told.text == alone.text, "\(stages) stages")
                }
            }
        }
    }
}
