// How a lone prompt is cut so that it alone keeps every stage busy.

/// Chunks of one prompt that each take a stage about the same time.
///
/// Through S equal stages, chunks of times tᵢ take `Σ tᵢ + (S - 1) max tᵢ`: few chunks leave stages idle at both ends, many
/// pay what each micro-batch costs. Later chunks attend to more rows, so chunks of equal time get shorter.
package struct ChunkPlan: Equatable, Sendable {
    /// Fewer rows than this make inefficient products.
    package static let minRows = 64
    private static let step = 32

    private let cost: PipelineCost
    /// What a chunk may take on the slowest stage.
    private let seconds: Double
    private let minRows: Int
    private let maxRows: Int

    /// The plan for a prompt of `rows` that gets through the pipeline soonest.
    package init(rows: Int, cost: PipelineCost, minRows: Int, maxRows: Int) {
        self.cost = cost
        self.maxRows = max(1, maxRows)
        self.minRows = min(max(1, minRows), self.maxRows)
        guard cost.stages.count > 1 else {
            seconds = .infinity
            return
        }
        // As long as the first chunk takes with any of some dozens of sizes, or longer, so that only late chunks get shorter.
        let stride = max(Self.step, (self.maxRows / 64 + Self.step - 1) / Self.step * Self.step)
        let least = self.minRows
        let most = self.maxRows
        var limits = Swift.stride(from: least, to: most, by: stride).map { cost.slowestSeconds(cached: 0, rows: $0) }
        limits += [1, 1.25, 1.5, 2, 3, .infinity].map { $0 * cost.slowestSeconds(cached: 0, rows: most) }
        var best = (total: Double.infinity, seconds: Double.infinity)
        for limit in limits where !limit.isNaN {
            let total = Self(cost: cost, seconds: limit, minRows: least, maxRows: most)
                .totalSeconds(of: rows)
            // Where it makes no difference, the fewer chunks.
            if total <= best.total { best = (total, limit) }
        }
        seconds = best.seconds
    }

    private init(cost: PipelineCost, seconds: Double, minRows: Int, maxRows: Int) {
        self.cost = cost
        self.seconds = seconds
        self.minRows = minRows
        self.maxRows = maxRows
    }

    private func totalSeconds(of rows: Int) -> Double {
        var sum = 0.0
        var longest = 0.0
        var cached = 0
        while cached < rows {
            let chunk = min(self.rows(cached: cached), rows - cached)
            let seconds = cost.slowestSeconds(cached: cached, rows: chunk)
            sum += seconds
            longest = max(longest, seconds)
            cached += chunk
        }
        return sum + Double(cost.stages.count - 1) * longest
    }

    /// Rows of the chunk that follows `cached` rows of the prompt.
    package func rows(cached: Int) -> Int {
        guard seconds.isFinite else { return maxRows }
        // On every stage b x + a (2 L x + x²) is at most what is left of the time.
        var rows = Double(maxRows)
        for model in cost.stages {
            let left = seconds - model.perMicroBatch - model.perCached * Double(cached)
            let linear = model.perRow + 2 * model.perPair * Double(cached)
            guard left > 0 else {
                rows = 0
                break
            }
            // The root of the quadratic in a form that stands without its square term.
            let root = linear + (linear * linear + 4 * model.perPair * left).squareRoot()
            if root > 0 { rows = min(rows, 2 * left / root) }
        }
        let rounded = Int((rows / Double(Self.step)).rounded()) * Self.step
        return min(maxRows, max(minRows, rounded))
    }

    /// The chunks of a prompt of `rows`.
    package func sizes(of rows: Int) -> [Int] {
        var sizes: [Int] = []
        var cached = 0
        while cached < rows {
            let chunk = min(self.rows(cached: cached), rows - cached)
            sizes.append(chunk)
            cached += chunk
        }
        return sizes
    }
}
