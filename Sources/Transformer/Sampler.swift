// Draws a token from the logits of one row: a pure function of logits, parameters and step.

public import Compute
internal import Glibc

/// Draws tokens from logits.
public enum Sampler {
    /// Draws one token from `logits` (`[vocabulary]`, not empty).
    ///
    /// `(parameters.seed, step)` alone decide the draw, so that a replay gives the same token. `parameters` should have
    /// passed ``SamplingParameters/validate()``. Log-probabilities are those of the model, before temperature and filters.
    ///
    /// - Throws: `.notFinite` if a logit is infinite or no number: what would be drawn then is not the model's.
    public static func sample(
        _ logits: UnsafeBufferPointer<Float>, parameters: SamplingParameters, step: Int
    ) throws(StageError) -> SampledToken {
        precondition(!logits.isEmpty, "there is no token to draw from an empty row of logits")
        let row = try LogitRow(logits)
        let token: Int32 =
            parameters.temperature == 0
            ? row.best
            : draw(row, parameters: parameters, uniform: uniform(seed: parameters.seed, step: step))
        return report(token, in: row, top: parameters.topLogProbabilities ?? 0)
    }

    /// What `logits` (`[vocabulary]`) say of a token that is known already, as if it had been drawn.
    ///
    /// - Parameters:
    ///   - token: an id inside the vocabulary.
    ///   - top: how many of the most likely tokens to report.
    /// - Throws: `.notFinite`, as ``sample(_:parameters:step:)``.
    public static func score(
        _ logits: UnsafeBufferPointer<Float>, token: Int32, top: Int
    ) throws(StageError) -> SampledToken {
        precondition(logits.indices.contains(Int(token)), "token \(token) is outside the row of \(logits.count) logits")
        return report(token, in: try LogitRow(logits), top: top)
    }

    /// What row `row` of `logits`, `[rows, vocabulary]`, says of a token; as ``score(_:token:top:)``.
    public static func score(_ logits: Matrix, row: Int, token: Int32, top: Int) throws(StageError) -> SampledToken {
        try read(logits, row: row) { own throws(StageError) in try score(own, token: token, top: top) }
    }

    private static func report(_ token: Int32, in row: LogitRow, top count: Int) -> SampledToken {
        var top: [TokenLogProbability] = []
        if count > 0 {
            var candidates = BestCandidates(limit: min(count, row.count))
            for id in 0..<row.count { candidates.offer(Candidate(id: Int32(id), weight: row[id])) }
            top = candidates.descending().map {
                TokenLogProbability(token: $0.id, logProbability: row.logProbability($0.id))
            }
        }
        return SampledToken(token: token, logProbability: row.logProbability(token), top: top)
    }

    /// Draws one token from row `row` of `logits`, `[rows, vocabulary]`; as ``sample(_:parameters:step:)``.
    public static func sample(
        _ logits: Matrix, row: Int, parameters: SamplingParameters, step: Int
    ) throws(StageError) -> SampledToken {
        try read(logits, row: row) { own throws(StageError) in try sample(own, parameters: parameters, step: step) }
    }

    private static func read(
        _ logits: Matrix, row: Int, _ body: (UnsafeBufferPointer<Float>) throws(StageError) -> SampledToken
    ) throws(StageError) -> SampledToken {
        precondition((0..<logits.rows).contains(row))
        let token: Result<SampledToken, StageError> = logits.withUnsafeBufferPointer { all in
            let own = UnsafeBufferPointer(rebasing: all[row * logits.columns..<(row + 1) * logits.columns])
            do throws(StageError) {
                return .success(try body(own))
            } catch {
                return .failure(error)
            }
        }
        return try token.get()
    }

    private static func draw(_ row: LogitRow, parameters: SamplingParameters, uniform: Double) -> Int32 {
        // Weights relative to the most likely token, so that the largest is 1 and minP compares directly.
        func weight(_ id: Int) -> Float { expf((row[id] - row.maximum) / parameters.temperature) }

        var candidates: [Candidate] = []
        if parameters.topK > 0, parameters.topK < row.count {
            var best = BestCandidates(limit: parameters.topK)
            for id in 0..<row.count { best.offer(Candidate(id: Int32(id), weight: row[id])) }
            candidates = best.descending().map { Candidate(id: $0.id, weight: weight(Int($0.id))) }
        } else {
            candidates = (0..<row.count).map { Candidate(id: Int32($0), weight: weight($0)) }
        }
        if parameters.topP < 1 {
            candidates = nucleus(of: candidates, probability: Double(parameters.topP))
        }
        if parameters.minP > 0 {
            candidates.removeAll { $0.weight < parameters.minP }
        }

        let total = candidates.reduce(0) { $0 + Double($1.weight) }
        var left = uniform * total
        for candidate in candidates {
            left -= Double(candidate.weight)
            if left < 0 { return candidate.id }
        }
        // Rounding can leave a crumb beyond the last candidate.
        return candidates.last { $0.weight > 0 }?.id ?? row.best
    }

    /// The fewest most likely candidates whose share reaches `probability`, most likely first.
    private static func nucleus(of candidates: [Candidate], probability: Double) -> [Candidate] {
        let total = candidates.reduce(0) { $0 + Double($1.weight) }
        // All candidates below this weight together cannot hold the share outside the nucleus; leaving them out
        // spares sorting a whole vocabulary.
        let floor = (1 - probability) * total / Double(candidates.count)
        let sorted = candidates.filter { Double($0.weight) >= floor }.sorted { $1 < $0 }
        var sum = 0.0
        var end = 0
        while end < sorted.count, end == 0 || sum < probability * total {
            sum += Double(sorted[end].weight)
            end += 1
        }
        return Array(sorted[..<end])
    }

    /// A number in 0..<1 from the seed and the step (two rounds of the SplitMix64 finaliser).
    private static func uniform(seed: UInt64, step: Int) -> Double {
        func mix(_ value: UInt64) -> UInt64 {
            var z = value &+ 0x9E37_79B9_7F4A_7C15
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        let bits = mix(mix(seed) ^ UInt64(truncatingIfNeeded: step))
        return Double(bits >> 11) * 0x1p-53
    }
}

/// One row of finite logits.
private struct LogitRow {
    private let logits: UnsafeBufferPointer<Float>
    let maximum: Float
    /// The lowest id among the largest logits.
    let best: Int32
    /// Logarithm of the sum of exponentials.
    private let logSum: Float

    init(_ logits: UnsafeBufferPointer<Float>) throws(StageError) {
        self.logits = logits
        guard let bad = logits.firstIndex(where: { !$0.isFinite }) else {
            var best = 0
            for id in 1..<max(1, logits.count) where logits[id] > logits[best] { best = id }
            let maximum = logits[best]
            var sum = 0.0
            for logit in logits { sum += Double(expf(logit - maximum)) }
            self.maximum = maximum
            self.best = Int32(best)
            self.logSum = Float(log(sum))
            return
        }
        throw StageError(
            code: .notFinite, operation: "sample",
            problem: "the logit of token \(bad) is \(logits[bad]): the model's numbers overflow in this precision")
    }

    var count: Int { logits.count }

    subscript(id: Int) -> Float { logits[id] }

    /// Finite too, though the difference of two logits need not be.
    func logProbability(_ token: Int32) -> Float {
        max((self[Int(token)] - maximum) - logSum, -.greatestFiniteMagnitude)
    }
}

/// A token and how much speaks for it; the greater one has more weight, or the lower id among equals.
private struct Candidate: Comparable {
    var id: Int32
    var weight: Float

    static func < (a: Candidate, b: Candidate) -> Bool {
        a.weight == b.weight ? a.id > b.id : a.weight < b.weight
    }
}

/// The greatest candidates seen, in a bounded binary heap whose root is the least of them.
private struct BestCandidates {
    private let limit: Int
    private var heap: [Candidate] = []

    init(limit: Int) {
        self.limit = limit
        heap.reserveCapacity(limit)
    }

    mutating func offer(_ candidate: Candidate) {
        if heap.count < limit {
            heap.append(candidate)
            var child = heap.count - 1
            while child > 0, heap[child] < heap[(child - 1) / 2] {
                heap.swapAt(child, (child - 1) / 2)
                child = (child - 1) / 2
            }
        } else if heap[0] < candidate {
            heap[0] = candidate
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                    least = child
                }
                if least == parent { return }
                heap.swapAt(parent, least)
                parent = least
            }
        }
    }

    func descending() -> [Candidate] { heap.sorted { $1 < $0 } }
}
