// The logits of a row depend on its own request only: not on chunks, stages, or strangers in the batch.

import Checkpoint
import Compute
import Layers
import Testing
import Transformer

@Suite struct InvarianceTests {
    private static let count = 150
    private static let tolerance: Float = 1e-4

    private static func whole() throws -> [[Float]] {
        let stages = try SmallModel.stages()
        return try logits(Request(tokens(count, seed: 1), on: stages), chunks: [0..<count], through: stages)
    }

    @Test(arguments: [1, 2, 7, 32, 64, 149])
    func chunkSizeMakesNoDifference(size: Int) throws {
        let stages = try SmallModel.stages()
        let chunks = stride(from: 0, to: Self.count, by: size).map { $0..<min(Self.count, $0 + size) }
        let chunked = try logits(Request(tokens(Self.count, seed: 1), on: stages), chunks: chunks, through: stages)
        #expect(difference(chunked, try Self.whole()) < Self.tolerance)
    }

    @Test(arguments: [[1], [2, 3], [1, 2, 3, 4], [4], [3]])
    func cutsMakeNoDifference(cuts: [Int]) throws {
        let stages = try SmallModel.stages(cuts: cuts)
        let split = try logits(
            Request(tokens(Self.count, seed: 1), on: stages), chunks: [0..<60, 60..<61, 61..<Self.count],
            through: stages)
        #expect(difference(split, try Self.whole()) < Self.tolerance)
    }

    /// Between layers and within them, for shares of the rows, and a stage of nothing but one half: bitwise what one stage
    /// gives, for all rows and where only some are asked for, with truncated caches, rows decoded alone, and pruned positions.
    @Test(arguments: [
        [100], [500], [900], [200, 300], [300, 400, 500], [600], [800, 900], (1...9).map { 100 * $0 }, [134],
        [901, 999],
        [150, 333, 350, 399, 700, 950],
    ])
    func cutsWithinLayersChangeNoBit(cuts: [Int]) throws {
        func run(_ stages: [Stage]) throws -> [[Float]] {
            let positions = (0..<Int32(Self.count)).map { $0 * 3 + $0 % 5 }
            let request = Request(tokens(Self.count, seed: 1), positions: positions, on: stages)
            var all: [[Float]] = []
            func step(_ rows: Range<Int>, outputs: [Int]?) throws {
                let hidden = try stages[0].embed(Array(request.tokens[rows]))
                for (stage, cache) in zip(stages, request.caches) {
                    try stage.forward(
                        hidden, segments: [Segment(cache: cache, positions: Array(positions[rows]))], outputs: outputs)
                }
                all += values(try stages[stages.count - 1].logits(hidden, rows: outputs ?? Array(0..<rows.count)))
            }
            try step(0..<90, outputs: nil)
            for cache in request.caches { cache.truncate(to: 50) }
            try step(50..<90, outputs: [])
            try step(90..<140, outputs: [3, 17, 49])
            for row in 140..<Self.count { try step(row..<row + 1, outputs: [0]) }
            #expect(request.caches.allSatisfy { $0.count == Self.count })
            return all
        }
        // In bf16, where a row is the same in any company and on any number of threads; Float32's depends on OpenBLAS.
        let isShared = cuts.contains { $0 % LayerSpan.unit != 0 }
        if !isShared || CPULevel.inUse.keepsSumsOfShares {
            let whole = try run(SmallModel.stages(bounds: [], precision: .bf16))
            #expect(try run(SmallModel.stages(bounds: cuts, precision: .bf16)) == whole)
        }
        #expect(try difference(run(SmallModel.stages(bounds: cuts)), run(SmallModel.stages())) < Self.tolerance)
    }

    /// Stages hold their halves' weights and keys, and nothing else of them.
    @Test func halvesHoldTheirOwnWeightsAndKeys() throws {
        let whole = try SmallModel.stages(halfCuts: [4, 6])[1]
        let halves = try SmallModel.stages(halfCuts: [4, 5, 6])[1...2]
        #expect(halves.map { $0.makeCache(capacity: 1).layers.count } == [1, 0])
        #expect(halves.reduce(0) { $0 + $1.weightBytes } == whole.weightBytes)
        #expect(halves.allSatisfy { $0.weightBytes > 0 && !$0.isFirst && !$0.isLast })
    }

    @Test func strangersMakeNoDifference() throws {
        let stages = try SmallModel.stages(cuts: [2])
        let requests = (1...4).map { Request(tokens(Self.count, seed: UInt64($0)), on: stages) }
        let alone = try requests.map {
            try logits(Request($0.tokens, on: stages), chunks: [0..<Self.count], through: stages)
        }
        // Steps in which prefill rows of some requests travel with decode rows of others.
        let steps: [[Range<Int>]] = [
            [0..<90, 0..<20, 0..<0, 0..<149],
            [90..<91, 20..<21, 0..<1, 149..<150],
            [91..<150, 21..<150, 1..<150, 150..<150],
        ]
        var batched = [[[Float]]](repeating: [], count: 4)
        for step in steps {
            for (index, rows) in try pass(requests, rows: step, through: stages).enumerated() {
                batched[index] += rows
            }
        }
        for index in 0..<4 { #expect(difference(batched[index], alone[index]) < Self.tolerance) }
    }

    @Test func onlyRowOrderDecidesWhatIsSeen() throws {
        // Position ids far apart and out of order: each row still sees exactly the rows before it.
        let stages = try SmallModel.stages()
        let positions: [Int32] = (0..<60).map { Int32(($0 * 37) % 61 * 60) }
        let request = Request(tokens(60, seed: 3), positions: positions, on: stages)
        let whole = try logits(request, chunks: [0..<60], through: stages)
        let prefix = Request(Array(request.tokens[..<30]), positions: Array(positions[..<30]), on: stages)
        #expect(difference(Array(whole[..<30]), try logits(prefix, chunks: [0..<30], through: stages)) < Self.tolerance)
        let shifted = Request(request.tokens, on: stages)
        #expect(difference(whole, try logits(shifted, chunks: [0..<60], through: stages)) > 1e-2)
    }

    @Test func aTruncatedCacheForgets() throws {
        let stages = try SmallModel.stages()
        let request = Request(tokens(40, seed: 5), on: stages)
        let first = try pass([request], rows: [0..<40], through: stages)[0]
        request.caches[0].truncate(to: 25)
        let again = try pass([request], rows: [25..<40], through: stages)[0]
        #expect(difference(again, Array(first[25...])) < Self.tolerance)
    }
}
