// What pruning must not change: everything kept is the dense answer, and positions go on after the whole prompt.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Pruning", .timeLimit(.minutes(2)))
    struct PruningTests {
        private let options = [
            "generate", "--model", Package.needle, "--speculator", Package.needleSpeculator, "--max-tokens", "24",
            "--ignore-eos", "--prompt-file",
        ]

        @Test func keepingEverythingIsDense() async throws {
            let needle = try #require(try Needle.all("needle-1024").first)
            let folder = try TemporaryFolder()
            let file = folder.file("prompt").path
            try Data(needle.prompt.utf8).write(to: folder.file("prompt"))
            let dense = try await Program.run(options + [file, "--dense"])
            let kept = try await Program.run(options + [file, "--keep-rate", "1.0"])
            let pruned = try await Program.run(options + [file, "--keep-rate", "0.1"])
            #expect(dense.end == .exit(0) && kept.end == .exit(0) && pruned.end == .exit(0))
            #expect(dense.output == kept.output)
            #expect(dense.output.joined().contains(needle.answer))
            #expect(pruned.output.joined().contains(needle.answer))

            try await withCluster(.needle(stages: 2)) { _, _, client in
                var ask = Ask(prompt: .text(needle.prompt), maxTokens: 24, ignoreEos: true, speculativePrefill: .dense)
                let whole = try await client.complete(ask)
                #expect(whole.text == dense.output.joined(separator: "\n"))
                ask.speculativePrefill = Ask.Pruning(keepRate: 1)
                #expect(try await client.complete(ask).text == whole.text)
                ask.speculativePrefill = .windows
                #expect(try await client.complete(ask).text == pruned.output.joined(separator: "\n"))
            }
        }

        /// RoPE sees distances only. So a prompt of which just the end was kept is answered like that end alone, if and only
        /// if the answer goes on at position M: at any other it would stand further from what it answers.
        @Test func theAnswerStandsBehindTheWholePrompt() async throws {
            let tokens = [0] + (1..<1000).map { 100 + ($0 * 7919) % 1900 }
            try await withCluster(.needle(stages: 2)) { _, _, client in
                let splits = stride(from: 992, through: 800, by: -16)
                for split in splits {
                    // Two chunks, of which the better is kept: the paper's selection with chunks of this size.
                    var ask = Ask(
                        prompt: .tokens(tokens), maxTokens: 16, ignoreEos: true, logprobs: 0,
                        speculativePrefill: Ask.Pruning(keepRate: 0.5, selection: "reference", chunk: split))
                    let pruned = try await client.complete(ask)
                    guard pruned.speculativePrefill?.keptSpans == [[split, tokens.count]] else { continue }
                    ask.prompt = .tokens(Array(tokens[split...]))
                    ask.speculativePrefill = .dense
                    let alone = try await client.complete(ask)
                    #expect(pruned.text == alone.text)
                    let (one, other) = (
                        try #require(pruned.choices?.first?.logprobs?.tokenLogprobs),
                        try #require(alone.choices?.first?.logprobs?.tokenLogprobs)
                    )
                    #expect(one.count == 16 && zip(one, other).allSatisfy { abs($0 - $1) < 3e-2 })

                    // The same end at another distance is answered otherwise, so the comparison can tell.
                    ask.prompt = .tokens([0] + tokens[split...])
                    let shifted = try await client.complete(ask).choices?.first?.logprobs?.tokenLogprobs
                    #expect(shifted != other)
                    return
                }
                Issue.record("no split makes the speculator prefer the end")
            }
        }
    }
}
