// What a stage refuses, what it holds, and what an observer sees.

import Checkpoint
import Compute
import Foundation
import Layers
import Testing
import Transformer

@Suite struct StageTests {
    private func code(_ body: () throws -> Void) -> StageError.Code? {
        #expect(throws: StageError.self, performing: body)?.code
    }

    @Test(arguments: [0..<0, 0..<6, -1..<2, 5..<6, 4..<400])
    func layersOutsideTheModelAreRefused(layers: Range<Int>) throws {
        let checkpoint = try SmallModel.checkpoint()
        let error = #expect(throws: CheckpointError.self) {
            try Stage(checkpoint: checkpoint, layers: LayerSpan(layers), pool: ThreadPool(threads: 1, name: "stage"))
        }
        #expect(error?.problem.contains("layers 0-4") == true)
    }

    @Test func endsOfThePipelineKnowTheirWork() throws {
        let stages = try SmallModel.stages(cuts: [2, 4])
        #expect(stages.map(\.isFirst) == [true, false, false])
        #expect(stages.map(\.isLast) == [false, false, true])
        #expect(code { _ = try stages[1].embed([1]) } == .wrongStage)
        #expect(code { _ = try stages[1].logits(Matrix(rows: 1, columns: 64), rows: [0]) } == .wrongStage)
    }

    @Test(arguments: [[Int32(300)], [0, -1], [.max], [.min]])
    func tokensOutsideTheVocabularyAreRefused(tokens: [Int32]) throws {
        let stage = try SmallModel.stages()[0]
        #expect(code { _ = try stage.embed(tokens) } == .invalidToken)
    }

    @Test func argumentsThatDoNotFitChangeNothing() throws {
        let stages = try SmallModel.stages(cuts: [3])
        let stage = stages[0]
        let cache = stage.makeCache(capacity: 4)
        let rows = try stage.embed([1, 2, 3])
        func forward(_ hidden: Matrix, _ segments: Segment...) -> StageError.Code? {
            code { try stage.forward(hidden, segments: segments) }
        }
        #expect(forward(rows, Segment(cache: cache, positions: [0, 1])) == .invalidShape)
        #expect(forward(rows) == .invalidShape)
        #expect(forward(Matrix(rows: 3, columns: 63), Segment(cache: cache, positions: [0, 1, 2])) == .invalidShape)
        #expect(forward(rows, Segment(cache: cache, positions: [0, 1, 4096])) == .invalidPosition)
        #expect(forward(rows, Segment(cache: cache, positions: [0, 1, -1])) == .invalidPosition)
        #expect(
            forward(rows, Segment(cache: cache, positions: [0]), Segment(cache: cache, positions: [1, 2]))
                == .wrongCache)
        #expect(
            forward(rows, Segment(cache: stages[1].makeCache(capacity: 4), positions: [0, 1, 2])) == .wrongCache)
        #expect(
            forward(try stage.embed([1, 2, 3, 4, 5]), Segment(cache: cache, positions: [0, 1, 2, 3, 4])) == .cacheFull)
        #expect(code { _ = try stages[1].logits(rows, rows: [3]) } == .invalidShape)
        #expect(code { _ = try stages[1].logits(rows, rows: [-1]) } == .invalidShape)
        #expect(cache.count == 0)

        try stage.forward(rows, segments: [Segment(cache: cache, positions: [0, 1, 2])])
        #expect(cache.count == 3)
        #expect(forward(try stage.embed([1, 2]), Segment(cache: cache, positions: [3, 4])) == .cacheFull)
    }

    @Test func nothingToDoIsFine() throws {
        let stage = try SmallModel.stages()[0]
        try stage.forward(try stage.embed([]), segments: [])
        let cache = stage.makeCache(capacity: 0)
        try stage.forward(try stage.embed([]), segments: [Segment(cache: cache, positions: [])])
        #expect(try stage.logits(try stage.embed([1]), rows: []).rows == 0)
        #expect(cache.copyKeys(layer: 0, kvHead: 1).isEmpty)
    }

    @Test func cacheBytesCountKeysAndValues() throws {
        let configuration = try SmallModel.checkpoint().configuration
        func bytes(_ precision: Precision) -> Int {
            Stage.cacheBytes(configuration: configuration, layers: LayerSpan(1..<3), precision: precision, capacity: 10)
        }
        #expect(bytes(.f32) == 2 * 2 * 10 * 2 * 8 * 4)
        #expect(bytes(.bf16) == bytes(.f32) / 2 && bytes(.int8) == bytes(.bf16))
    }

    /// Attention recomputed from what the observer and the cache show must be what the stage used: the last row's
    /// largest weight by hand equals the stage's own result only if queries, keys and their order are right.
    @Test func anObserverSeesRotatedQueriesAndTheirKeys() throws {
        let stage = try SmallModel.stages(cuts: [2])[0]
        let request = tokens(20, seed: 4)
        let cache = stage.makeCache(capacity: 20)
        var seen: [(layer: Int, queries: [Float], rows: Int)] = []
        var steps = 0
        try stage.forward(
            try stage.embed(request), segments: [Segment(cache: cache, positions: (0..<20).map { $0 })],
            observer: { layer, queries in
                seen.append((layer, Array(queries), cache.copyKeys(layer: layer, kvHead: 0).count / 8))
            }, progress: { steps += 1 })
        #expect(seen.map(\.layer) == [0, 1] && steps == 4)
        #expect(seen.allSatisfy { $0.queries.count == 20 * 8 * 8 && $0.rows == 20 })

        // Rotation keeps lengths and, for equal shifts of all positions, products of queries and keys.
        let shifted = stage.makeCache(capacity: 20)
        var later: [Float] = []
        try stage.forward(
            try stage.embed(request), segments: [Segment(cache: shifted, positions: (0..<20).map { $0 + 1000 })],
            observer: { layer, queries in if layer == 0 { later = Array(queries) } })
        func products(_ queries: [Float], _ cache: KVCache) -> [Float] {
            let keys = cache.copyKeys(layer: 0, kvHead: 1)
            return (0..<20).map { row in
                // Query head 5 belongs to KV head 1.
                let query = queries[(19 * 8 + 5) * 8..<(19 * 8 + 6) * 8]
                return zip(query, keys[row * 8..<(row + 1) * 8]).reduce(0) { $0 + $1.0 * $1.1 }
            }
        }
        let (here, there) = (products(seen[0].queries, cache), products(later, shifted))
        #expect(difference([here], [there]) < 1e-3)
        #expect(seen[0].queries != later)
        #expect(cache.copyValues(layer: 0, kvHead: 1) == shifted.copyValues(layer: 0, kvHead: 1))
    }

    @Test func storageTypesGiveTheSameModel() throws {
        // The bf16 values are exact in every type, so that only the reading can differ.
        let directory = try TemporaryDirectory()
        try SyntheticCheckpoint.write(
            SyntheticCheckpoint.configuration(
                hidden: 32, layers: 2, feedForward: 48, heads: 4, kvHeads: 2, vocabulary: 258, context: 64),
            precision: .bf16, seed: 3, to: directory.path)
        func run() throws -> [[Float]] {
            let checkpoint = try Checkpoint(path: directory.path)
            let stage = try Stage(
                checkpoint: checkpoint, layers: LayerSpan(0..<2), pool: ThreadPool(threads: 1, name: "types"))
            return try logits(
                Request(tokens(10, seed: 1, vocabulary: 258), on: [stage]), chunks: [0..<10], through: [stage])
        }
        let expected = try run()
        let file = try SafetensorsFile(path: directory.path + "/model.safetensors")
        let entries = file.tensors.values.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
        let start = try #require(entries.first).bytes.lowerBound
        let original = file.file.withBytes { Data($0) }
        func rewrite(_ type: ElementType, _ convert: (Float) -> [UInt8]) throws {
            var header = "{"
            var data = Data()
            for entry in entries {
                let first = data.count
                for offset in stride(from: entry.bytes.lowerBound, to: entry.bytes.upperBound, by: 2) {
                    let bits = UInt32(original[offset]) | UInt32(original[offset + 1]) << 8
                    data.append(contentsOf: convert(Float(bitPattern: bits << 16)))
                }
                header += header.count > 1 ? "," : ""
                header += "\"\(entry.name)\":{\"dtype\":\"\(type.rawValue)\",\"shape\":\(entry.shape),"
                header += "\"data_offsets\":[\(first),\(data.count)]}"
            }
            // An odd header length: tensors then begin at odd addresses.
            header += header.utf8.count % 2 == 0 ? "}" : " }"
            let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
            try (Data(length) + Data(header.utf8) + data).write(
                to: URL(fileURLWithPath: directory.path + "/model.safetensors"))
        }
        #expect(start > 8)
        try rewrite(.f32) { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        #expect(difference(try run(), expected) == 0)
        // Small bf16 values lose bits in f16, a step of 2^-24.
        try rewrite(.f16) { value in withUnsafeBytes(of: Float16(value).bitPattern.littleEndian) { Array($0) } }
        #expect(difference(try run(), expected) < 1e-4)
    }
}
