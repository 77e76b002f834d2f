// How long a stage computes, learned from what it did.

/// A request's rows in a micro-batch.
package struct CostSegment: Equatable, Sendable {
    /// L: rows of the request that the KV cache holds before these.
    package var cached: Int
    /// x: rows to compute, at least 1.
    package var rows: Int

    package init(cached: Int, rows: Int) {
        self.cached = cached
        self.rows = rows
    }
}

/// The seconds a stage takes for a micro-batch: `c + Σ (g L + b x + a (2 L x + x²))` over its segments.
///
/// A row's products cost the same wherever it stands in the prompt; its attention costs by the rows before it, which over
/// a segment is `L x + x²/2`.
package struct CostModel: Equatable, Sendable {
    /// c: each micro-batch, whatever its rows: reading weights, waking threads.
    package var perMicroBatch: Double
    /// g: each cached row, once a segment: reading its keys and values.
    package var perCached: Double
    /// b: each row.
    package var perRow: Double
    /// a: each pair of rows that attend to each other, doubled.
    package var perPair: Double

    package init(perMicroBatch: Double = 0, perCached: Double = 0, perRow: Double = 0, perPair: Double = 0) {
        self.perMicroBatch = perMicroBatch
        self.perCached = perCached
        self.perRow = perRow
        self.perPair = perPair
    }

    package func seconds(_ segments: [CostSegment]) -> Double {
        segments.reduce(perMicroBatch) { $0 + share(of: $1) }
    }

    /// Of a micro-batch of one segment.
    package func seconds(cached: Int, rows: Int) -> Double {
        perMicroBatch + share(of: CostSegment(cached: cached, rows: rows))
    }

    private func share(of segment: CostSegment) -> Double {
        let cached = Double(segment.cached)
        let rows = Double(segment.rows)
        return perCached * cached + perRow * rows + perPair * (2 * cached * rows + rows * rows)
    }
}

/// Fits a ``CostModel`` to a stage's micro-batches as they come: least squares of relative errors, older ones forgotten,
/// no coefficient below 0.
///
/// What recent micro-batches say nothing of (a prompt's cost while only decode rows come) stays as it was.
package struct CostFit: Equatable, Sendable {
    /// Fewer micro-batches than this are no model.
    package static let minSamples = 8
    /// Of a sample's weight, what is left after the next one: about the last 200 count.
    private static let memory = 0.995
    /// The pull toward the coefficients before, of a feature's largest share ever in one sample.
    private static let inertia = 1e-3
    /// Brings the features near each other: micro-batch, thousand cached rows, row, thousand pairs.
    private static let scale = SIMD4<Double>(1, 1e-3, 1, 1e-3)

    /// Normal equations, weighted.
    private var products = [SIMD4<Double>](repeating: .zero, count: 4)
    private var sums = SIMD4<Double>.zero
    private var largest = SIMD4<Double>.zero
    private var coefficients = SIMD4<Double>.zero
    /// The usual relative error; what is far beyond counts for less.
    private var deviation = 0.25
    private var samples = 0

    package init() {}

    /// `nil` until enough was measured.
    package var model: CostModel? {
        guard samples >= Self.minSamples else { return nil }
        let real = coefficients * Self.scale
        return CostModel(perMicroBatch: real[0], perCached: real[1], perRow: real[2], perPair: real[3])
    }

    /// Adds a micro-batch that took so long. One without rows or time, or of over a day, says nothing and is ignored.
    package mutating func record(_ segments: [CostSegment], microseconds: UInt64) {
        guard !segments.isEmpty, (1...86_400_000_000).contains(microseconds) else { return }
        let seconds = Double(microseconds) / 1e6
        var features = SIMD4<Double>(1, 0, 0, 0)
        for segment in segments {
            let cached = Double(segment.cached)
            let rows = Double(segment.rows)
            features += SIMD4(0, cached, rows, 2 * cached * rows + rows * rows)
        }
        features *= Self.scale
        let predicted = (features * coefficients).sum()
        // Errors are relative to the prediction, unless that is far too low.
        let unit = max(predicted, seconds / 4)
        // One thread's pause makes one sample many times too long: its pull is bounded, and stays so unless others agree.
        var weight = 1.0
        if samples >= Self.minSamples {
            let error = abs(seconds - predicted) / unit
            weight = min(1, 3 * deviation / max(error, 1e-9))
            deviation = max(0.02, deviation + 0.05 * (error - deviation))
        }
        samples = min(samples + 1, Self.minSamples)
        let scaled = features / unit
        largest = pointwiseMax(largest, scaled)
        for row in 0..<4 { products[row] = products[row] * Self.memory + scaled * (scaled[row] * weight) }
        sums = sums * Self.memory + scaled * (seconds / unit * weight)
        solve()
    }

    /// The coefficients that fit best and are not negative: exact, over every choice of those that are 0.
    private mutating func solve() {
        let pull = largest * largest * Self.inertia + SIMD4(repeating: 1e-18)
        var matrix = products
        for row in 0..<4 { matrix[row][row] += pull[row] }
        let right = sums + pull * coefficients
        var best: (error: Double, coefficients: SIMD4<Double>)?
        for free in (1..<16).reversed() {
            let found = Self.solution(of: matrix, right, free: free)
            guard found.min() >= 0, found.sum().isFinite else { continue }
            var error = -2 * (found * right).sum()
            for row in 0..<4 { error += found[row] * (matrix[row] * found).sum() }
            if best.map({ error < $0.error }) ?? true { best = (error, found) }
            // The best of all is not negative: no other choice can fit better.
            if free == 15 { break }
        }
        if let best { coefficients = best.coefficients }
    }

    /// Solves for the coefficients whose bits are set in `free`; the others are 0. The matrix is positive definite.
    private static func solution(
        of matrix: [SIMD4<Double>], _ right: SIMD4<Double>, free: Int
    ) -> SIMD4<Double> {
        var mask = SIMD4<Double>.zero
        for index in 0..<4 where free & 1 << index != 0 { mask[index] = 1 }
        var rows = matrix
        var result = right * mask
        for index in 0..<4 {
            rows[index] = rows[index] * mask * mask[index]
            if mask[index] == 0 { rows[index][index] = 1 }
        }
        for pivot in 0..<4 {
            for row in pivot + 1..<4 {
                let factor = rows[row][pivot] / rows[pivot][pivot]
                rows[row] -= rows[pivot] * factor
                result[row] -= result[pivot] * factor
            }
        }
        for row in (0..<4).reversed() {
            for column in row + 1..<4 { result[row] -= rows[row][column] * result[column] }
            result[row] /= rows[row][row]
        }
        return result
    }
}

/// The cost of a pipeline's stages, first to last; not empty.
package struct PipelineCost: Equatable, Sendable {
    package var stages: [CostModel]

    package init(stages: [CostModel]) { self.stages = stages }

    /// `nil` unless every stage has a model.
    package init?(_ fits: [CostFit]) {
        let stages = fits.compactMap(\.model)
        guard !stages.isEmpty, stages.count == fits.count else { return nil }
        self.stages = stages
    }

    /// Seconds of a micro-batch on the stage that takes longest: how often one can follow the other.
    package func slowestSeconds(_ segments: [CostSegment]) -> Double {
        stages.reduce(0) { max($0, $1.seconds(segments)) }
    }

    /// Seconds of one segment on the stage that takes longest.
    package func slowestSeconds(cached: Int, rows: Int) -> Double {
        stages.reduce(0) { max($0, $1.seconds(cached: cached, rows: rows)) }
    }

    /// Seconds from a prompt's first row into the empty pipeline to its last row out of it, cut into these chunks.
    package func promptSeconds(chunks: some Sequence<Int>) -> Double {
        var done = stages.map { _ in 0.0 }
        var cached = 0
        for rows in chunks {
            var arrival = 0.0
            for (stage, model) in stages.enumerated() {
                done[stage] = max(done[stage], arrival) + model.seconds(cached: cached, rows: rows)
                arrival = done[stage]
            }
            cached += rows
        }
        return done.last ?? 0
    }

    /// Seconds of a prompt of so many rows through all stages, cut as the scheduler cuts a lone one.
    package func promptSeconds(rows: Int, maxRows: Int) -> Double {
        let chunks = ChunkPlan(rows: rows, cost: self, minRows: ChunkPlan.minRows, maxRows: maxRows)
        return promptSeconds(chunks: chunks.sizes(of: rows))
    }
}
