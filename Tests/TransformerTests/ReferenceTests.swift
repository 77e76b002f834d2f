// Logits against those of Hugging Face's transformers.

import Checkpoint
import Compute
import Foundation
import Layers
import Testing
import Transformer

private struct Expected: Decodable {
    var tokens: [Int32]
    var positions: [Int32]?
    var logits: [[Float]]
}

@Suite struct ReferenceTests {
    @Test(
        arguments: ["hf-gqa", "hf-untied", "hf-llama3rope", "hf-mistral", "hf-qwen2", "hf-qwen3"],
        ["expected.json", "expected-gaps.json"])
    func logitsAreThoseOfTransformers(model: String, file: String) throws {
        let directory = fixtures.appendingPathComponent(model)
        let expected = try JSONDecoder().decode(
            Expected.self, from: Data(contentsOf: directory.appendingPathComponent(file)))
        let checkpoint = try Checkpoint(path: directory.path)
        let stage = try Stage(
            checkpoint: checkpoint, layers: checkpoint.configuration.allLayers,
            pool: ThreadPool(threads: 2, name: "reference"))
        let request = Request(expected.tokens, positions: expected.positions, on: [stage])
        let actual = try logits(request, chunks: [0..<expected.tokens.count], through: [stage])
        #expect(difference(actual, expected.logits) < 1e-4)
    }
}
