import Checkpoint
import Compute
import Foundation
import Layers
import Testing
import Transformer

/// Rows that were decoded one by one, and come again together when an answer is taken up elsewhere: bit for bit the same,
/// where products are. With AVX-512 that has no bf16 instructions activations are Float32 and few rows are summed in another
/// order than many.
@Suite("Decoded rows")
struct DecodedRowsTests {
    private static let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models/needle-main-2m").path

    @Test func togetherTheyAreWhatTheyWereAlone() throws {
        let checkpoint = try Checkpoint(path: Self.model)
        let stage = try Stage(
            checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: .bf16,
            pool: ThreadPool(threads: 1, name: "decoded"))
        let prompt = 90
        let tokens = (0..<prompt + 41).map { Int32(($0 * 7919 + 13) % checkpoint.configuration.vocabularySize) }
        /// The last row's logits after rows of these lengths; those behind the prompt count as decoded.
        func logits(_ lengths: [Int]) throws -> [Float] {
            let cache = stage.makeCache(capacity: tokens.count)
            var result: [Float] = []
            for length in lengths {
                let rows = cache.count..<cache.count + length
                let hidden = try stage.embed(Array(tokens[rows]))
                let segment = Segment(
                    cache: cache, positions: rows.map(Int32.init),
                    decodedFrom: max(0, min(length, prompt - rows.lowerBound)))
                try stage.forward(hidden, segments: [segment])
                if rows.upperBound == tokens.count {
                    result = try stage.logits(hidden, rows: [length - 1]).withUnsafeBufferPointer { Array($0) }
                }
            }
            return result
        }
        let alone = try logits([prompt] + Array(repeating: 1, count: 41))
        let cuts = [[prompt + 41], [60, 30 + 20, 21], [prompt, 41], [89, 1, 41], [1, 89, 7, 34]]
        for cut in cuts {
            let together = try logits(cut)
            let difference = zip(together, alone).reduce(0) { max($0, abs($1.0 - $1.1)) }
            let isExact = ![.avx512, .avx512vnni].contains(CPULevel.inUse)
            #expect(difference <= (isExact ? 0 : 0.2), "cut \(cut)")
        }
    }
}
