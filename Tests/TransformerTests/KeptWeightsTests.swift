// Stages of parts of a model, and stages whose weights come from the cache: the same to the last bit.

import Checkpoint
import Compute
import Foundation
import Layers
import Synchronization
import Testing
import Transformer

@Suite struct KeptWeightsTests {
    private func logits(_ stages: [Stage]) throws -> [[Float]] {
        let request = Request(tokens(40, seed: 3), on: stages)
        return try pass([request], rows: [0..<40], through: stages)[0]
    }

    private func stage(
        _ checkpoint: Checkpoint, _ layers: LayerSpan, _ precision: Precision, _ cache: WeightsCache? = nil,
        threads: Int = 2
    ) throws -> Stage {
        try Stage(
            checkpoint: checkpoint, layers: layers, precision: precision, cache: cache,
            pool: ThreadPool(threads: threads, name: "stage"))
    }

    @Test(arguments: [Precision.f32, .bf16, .int8], [600, 500, 540])
    func partsComputeWhatTheWholeDoes(precision: Precision, end: Int) throws {
        let cut = [LayerSpan(bounds: 0..<end), LayerSpan(bounds: end..<1000)]
        let whole = try SmallModel.checkpoint()
        let directory = try TemporaryDirectory()
        try ModelSplitter.write(
            whole.path,
            parts: zip(["a", "b"], cut).map { ModelSplitter.Part(name: $0, layers: $1) },
            to: directory.path)
        let parts = try ["a", "b"].map { try Checkpoint(path: "\(directory.path)/\($0)") }
        let stages = try parts.map { try stage($0, $0.heldLayers, precision) }
        let expected = try cut.map { try stage(whole, $0, precision) }
        #expect(try logits(stages) == logits(expected))
        let error = #expect(throws: CheckpointError.self) { try stage(parts[0], LayerSpan(0..<5), precision) }
        #expect(error?.place == "layers 0-4" && error?.problem.contains("holds layers \(cut[0])") == true)
    }

    @Test(arguments: [1, 3]) func theCacheChangesNothing(threads: Int) throws {
        let checkpoint = try SmallModel.checkpoint()
        let directory = try TemporaryDirectory()
        func cache() -> WeightsCache { WeightsCache(directory: directory.path, smallest: 0) }
        let (first, second) = (cache(), cache())
        let cold = try stage(checkpoint, LayerSpan(0..<5), .int8, first)
        first.drain()
        // Seven products a layer and the head.
        #expect(first.use == WeightsCache.Use(read: 0, packed: 36, kept: 36, problem: nil))
        let warm = try stage(checkpoint, LayerSpan(0..<5), .int8, second, threads: threads)
        #expect(second.use == WeightsCache.Use(read: 36, packed: 0, kept: 0, problem: nil))
        let expected = try logits([stage(checkpoint, LayerSpan(0..<5), .int8)])
        #expect(try logits([cold]) == expected && logits([warm]) == expected)

        // Any layers can be had of it; what is missing is packed and kept.
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: directory.path).first)
        try FileManager.default.removeItem(atPath: "\(directory.path)/\(name)")
        let third = cache()
        let stages = try [LayerSpan(0..<2), LayerSpan(2..<5)].map { try stage(checkpoint, $0, .int8, third) }
        third.drain()
        #expect(third.use == WeightsCache.Use(read: 35, packed: 1, kept: 1, problem: nil))
        #expect(try logits(stages) == expected)
    }

    /// Nothing is kept that would be as quick to make again.
    @Test func onlyEightBitsOfManyWeightsAreKept() throws {
        let directory = try TemporaryDirectory()
        let cache = WeightsCache(directory: directory.path, smallest: 0)
        for precision in [Precision.f32, .bf16] {
            _ = try stage(SmallModel.checkpoint(), LayerSpan(0..<5), precision, cache)
        }
        let usual = WeightsCache(directory: directory.path)
        _ = try stage(SmallModel.checkpoint(), LayerSpan(0..<5), .int8, usual)
        for cache in [cache, usual] {
            cache.drain()
            #expect(cache.use == WeightsCache.Use())
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test func loadingSaysHowFarItIs() throws {
        let told = Mutex<[Double]>([])
        _ = try Stage(
            checkpoint: SmallModel.checkpoint(), layers: LayerSpan(0..<5), precision: .int8,
            pool: ThreadPool(threads: 1, name: "stage")
        ) { share in told.withLock { $0.append(share) } }
        let shares = told.withLock { $0 }
        #expect(shares.count == 11 && shares == shares.sorted() && shares.first ?? 0 > 0 && shares.last == 1)
    }
}
