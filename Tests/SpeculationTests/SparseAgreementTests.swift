// What a sparsely read prompt keeps, against what exact scores keep, by a model that was trained to find things.

import Checkpoint
import Compute
import Foundation
import Speculation
import Testing
import Tokenizer
import Transformer

@Suite struct SparseAgreementTests {
    private struct Needle: Decodable { var prompt: String }

    private static func file(_ path: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../\(path)").path
    }

    /// Questions about a fact hidden in 2048 tokens of a book. Rows see at most three tenths of the keys here, where a
    /// prompt as short as that would be read almost exactly by default.
    @Test func nearlyTheSameTokensAreKept() throws {
        let model = Self.file("cluster/models/needle-speculator-0.4m")
        let tokenizer = try Tokenizer(modelPath: model)
        let checkpoint = try Checkpoint(path: model)
        let stage = try Stage(
            checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: .automatic,
            pool: ThreadPool(threads: 2, name: "agreement"))
        let speculator = Speculator(
            stage: stage, eosTokens: [], sparsity: BlockSparsity(nearKeys: 128, exactKeys: 384))
        let prompts = try String(
            contentsOfFile: Self.file("Tests/WinnowTests/Fixtures/needle-2048.jsonl"), encoding: .utf8
        )
        .split(separator: "\n").prefix(12)
        .map { tokenizer.encode(try JSONDecoder().decode(Needle.self, from: Data($0.utf8)).prompt) }
        try #require(prompts.count == 12 && prompts.allSatisfy { $0.count > 1900 })
        var overlaps: [Double] = []
        for prompt in prompts {
            func kept(_ attention: SpeculatorAttention) throws -> (importance: [Float], tokens: Set<Int32>) {
                let parameters = SpeculationParameters(
                    keepRate: 0.1, keepHead: false, tail: 0, attention: attention)
                let importance = try speculator.importance(of: prompt, parameters: parameters)
                return (importance, Set(Selector.select(importance: importance, parameters: parameters).kept))
            }
            let (exact, sparse) = (try kept(.exact), try kept(.sparse))
            #expect(exact.importance != sparse.importance)
            overlaps.append(Double(exact.tokens.intersection(sparse.tokens).count) / Double(exact.tokens.count))
        }
        let mean = overlaps.reduce(0, +) / Double(overlaps.count)
        print("overlap of sparse and exact: \(mean), least \(overlaps.min() ?? 0)")
        #expect(mean >= 0.95)
    }
}
