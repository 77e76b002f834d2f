import Coordinator
import Testing

@Suite("Cost model")
struct CostModelTests {
    private let truth = CostModel(perMicroBatch: 3e-3, perCached: 4e-7, perRow: 9e-5, perPair: 1.5e-8)

    private func microseconds(_ seconds: Double) -> UInt64 { UInt64((seconds * 1e6).rounded()) }

    /// Micro-batches as a scheduler makes them: prompts in chunks, and many decode rows.
    private func microBatch(_ random: inout Seeded) -> [CostSegment] {
        if Int.random(in: 0..<3, using: &random) > 0 {
            return (0..<Int.random(in: 1...8, using: &random)).map { _ in
                CostSegment(cached: Int.random(in: 10...4000, using: &random), rows: 1)
            }
        }
        return [
            CostSegment(
                cached: Int.random(in: 0...7, using: &random) * 512, rows: Int.random(in: 32...512, using: &random))
        ]
    }

    @Test func featuresAddUpOverSegments() {
        let model = CostModel(perMicroBatch: 1, perCached: 10, perRow: 100, perPair: 1000)
        #expect(model.seconds(cached: 2, rows: 3) == 1 + 20 + 300 + 1000 * (12 + 9))
        let both = model.seconds([CostSegment(cached: 2, rows: 3), CostSegment(cached: 0, rows: 1)])
        #expect(both == model.seconds(cached: 2, rows: 3) + 100 + 1000)
    }

    @Test(arguments: UInt64(1)...20) func whatWasMeasuredIsFound(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var fit = CostFit()
        for _ in 0..<400 {
            let batch = microBatch(&random)
            let noise = Double.random(in: 0.95...1.05, using: &random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch) * noise))
        }
        let model = try #require(fit.model)
        for (cached, rows) in [(0, 512), (4096, 512), (0, 64), (2000, 1), (8192, 128)] {
            let ratio = model.seconds(cached: cached, rows: rows) / truth.seconds(cached: cached, rows: rows)
            #expect((0.9...1.1).contains(ratio), "\(cached) + \(rows): \(ratio)")
        }
    }

    @Test func fewSamplesAreNoModel() {
        var fit = CostFit()
        for _ in 1..<CostFit.minSamples { fit.record([CostSegment(cached: 0, rows: 64)], microseconds: 1000) }
        #expect(fit.model == nil)
        // What says nothing is no sample.
        fit.record([], microseconds: 1000)
        fit.record([CostSegment(cached: 0, rows: 64)], microseconds: 0)
        fit.record([CostSegment(cached: 0, rows: 64)], microseconds: .max)
        #expect(fit.model == nil)
        fit.record([CostSegment(cached: 0, rows: 64)], microseconds: 1000)
        let seconds = fit.model?.seconds(cached: 0, rows: 64) ?? 0
        #expect((0.99e-3...1.01e-3).contains(seconds))
    }

    /// Whatever a worker says it took, predictions are finite, and more rows never cost less.
    @Test(arguments: UInt64(1)...20) func noCoefficientIsNegative(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var fit = CostFit()
        for _ in 0..<200 {
            fit.record(microBatch(&random), microseconds: 1 << UInt64.random(in: 0...36, using: &random))
            guard let model = fit.model else { continue }
            for coefficient in [model.perMicroBatch, model.perCached, model.perRow, model.perPair] {
                #expect(coefficient >= 0 && coefficient.isFinite)
            }
        }
    }

    @Test func oneOutlierMovesLittle() throws {
        var random = Seeded(state: 7)
        var fit = CostFit()
        for _ in 0..<100 {
            let batch = microBatch(&random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch)))
        }
        fit.record([CostSegment(cached: 0, rows: 512)], microseconds: microseconds(100))
        let ratio = try #require(fit.model).seconds(cached: 0, rows: 512) / truth.seconds(cached: 0, rows: 512)
        #expect((0.95...1.05).contains(ratio))
        for _ in 0..<20 {
            let batch = microBatch(&random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch)))
        }
        let after = try #require(fit.model).seconds(cached: 0, rows: 512) / truth.seconds(cached: 0, rows: 512)
        #expect((0.97...1.03).contains(after))
    }

    @Test func aHostThatBecomesSlowerIsBelievedSoon() throws {
        var random = Seeded(state: 3)
        var fit = CostFit()
        for _ in 0..<1000 {
            let batch = microBatch(&random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch)))
        }
        for _ in 0..<600 {
            let batch = microBatch(&random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch) * 3))
        }
        let ratio = try #require(fit.model).seconds(cached: 512, rows: 256) / truth.seconds(cached: 512, rows: 256)
        #expect((2.5...3.3).contains(ratio), "\(ratio)")
    }

    /// Ten thousand decode rows say nothing of a prompt: its cost stays as it was.
    @Test func whatIsNotSeenForLongIsNotForgotten() throws {
        var random = Seeded(state: 5)
        var fit = CostFit()
        for _ in 0..<300 {
            let batch = microBatch(&random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch)))
        }
        for step in 0..<10_000 {
            let batch = [CostSegment(cached: 1000 + step % 500, rows: 1)]
            let noise = Double.random(in: 0.97...1.03, using: &random)
            fit.record(batch, microseconds: microseconds(truth.seconds(batch) * noise))
        }
        let ratio = try #require(fit.model).seconds(cached: 1024, rows: 512) / truth.seconds(cached: 1024, rows: 512)
        #expect((0.6...1.6).contains(ratio), "\(ratio)")
    }

    @Test func aPipelineIsMeasuredWhenAllItsStagesAre() {
        var fit = CostFit()
        for _ in 0..<CostFit.minSamples { fit.record([CostSegment(cached: 0, rows: 64)], microseconds: 1000) }
        #expect(PipelineCost([fit, CostFit()]) == nil && PipelineCost([]) == nil)
        #expect(PipelineCost([fit, fit])?.stages.count == 2)
    }

    @Test func aPromptIsThroughWhenItsLastChunkIsThroughTheLastStage() {
        let stages = [CostModel(perRow: 1), CostModel(perRow: 2), CostModel(perRow: 1)]
        let cost = PipelineCost(stages: stages)
        #expect(cost.slowestSeconds(cached: 5, rows: 10) == 20)
        #expect(cost.promptSeconds(chunks: [10]) == 40)
        // Stage 1 begins at 10 and is never idle again.
        #expect(cost.promptSeconds(chunks: [10, 10, 10]) == 10 + 60 + 10)
        #expect(cost.promptSeconds(chunks: []) == 0)
    }
}

@Suite("Chunk plan")
struct ChunkPlanTests {
    private func cost(stages: Int, c: Double = 2e-3, b: Double = 1e-4, a: Double = 2e-8) -> PipelineCost {
        PipelineCost(
            stages: Array(repeating: CostModel(perMicroBatch: c, perRow: b, perPair: a), count: stages))
    }

    @Test func chunksTakeAboutTheSameTime() {
        let cost = cost(stages: 2)
        let sizes = ChunkPlan(rows: 8192, cost: cost, minRows: 64, maxRows: 512).sizes(of: 8192)
        #expect(sizes.reduce(0, +) == 8192)
        var cached = 0
        var times: [Double] = []
        for rows in sizes {
            times.append(cost.slowestSeconds(cached: cached, rows: rows))
            cached += rows
        }
        let whole = times.dropLast()
        #expect((whole.max() ?? 0) / (whole.min() ?? 1) < 1.5)  // 3.7 with equal rows
        // Two stages of half the layers each against one of all: what the cut is for.
        let one = ChunkPlan(rows: 8192, cost: cost, minRows: 512, maxRows: 512).sizes(of: 8192)
        #expect(cost.promptSeconds(chunks: sizes) < cost.promptSeconds(chunks: one))
        let alone = 2 * times.reduce(0, +)
        #expect(alone / cost.promptSeconds(chunks: sizes) > 1.85)
    }

    @Test func dearMicroBatchesMakeFewChunks() {
        let dear = ChunkPlan(rows: 2048, cost: cost(stages: 2, c: 0.1), minRows: 64, maxRows: 512).sizes(of: 2048)
        let cheap = ChunkPlan(rows: 2048, cost: cost(stages: 2, c: 0), minRows: 64, maxRows: 512).sizes(of: 2048)
        #expect(dear.count < cheap.count && dear.count <= 5)
    }

    @Test func oneStageIsNotCut() {
        let plan = ChunkPlan(rows: 2048, cost: cost(stages: 1), minRows: 64, maxRows: 512)
        #expect(plan.sizes(of: 2048) == [512, 512, 512, 512])
    }

    /// A model that says nothing, or that nothing costs, or that all does, still cuts within the bounds.
    @Test(arguments: UInt64(1)...60) func everyPlanKeepsItsBounds(seed: UInt64) {
        var random = Seeded(state: seed)
        func coefficient(_ scale: Double) -> Double {
            [0, scale, scale * 1e6, scale * 1e-6][Int.random(in: 0..<4, using: &random)]
        }
        let stages = (0..<Int.random(in: 1...5, using: &random)).map { _ in
            CostModel(
                perMicroBatch: coefficient(1e-3), perCached: coefficient(1e-7), perRow: coefficient(1e-4),
                perPair: coefficient(1e-8))
        }
        let rows = Int.random(in: 1...4000, using: &random)
        let maxRows = Int.random(in: 1...1024, using: &random)
        let minRows = Int.random(in: 1...128, using: &random)
        let sizes = ChunkPlan(rows: rows, cost: PipelineCost(stages: stages), minRows: minRows, maxRows: maxRows)
            .sizes(of: rows)
        #expect(sizes.reduce(0, +) == rows)
        #expect(sizes.allSatisfy { (1...maxRows).contains($0) })
        #expect(sizes.dropLast().allSatisfy { $0 >= min(minRows, maxRows) })
    }
}
