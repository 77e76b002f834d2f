// The importance of given queries and keys, against PyTorch and against the definition.

import Compute
import Speculation
import Testing

@Suite struct ImportanceTests {
    private struct File: Decodable { var cases: [Case] }

    /// Queries `[layers, steps, heads, headDim]` and keys `[layers, kvHeads, count, headDim]`, as integers times `scale`.
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        var count, chunk, pool, steps, stepsBeforeEOS, layers, heads, kvHeads, headDim: Int
        var keepRate: Double
        var scale: Float
        var keptChunks: [Int]
        var importance: [Float]
        var queries, keys: [Int]

        var testDescription: String { "\(count) tokens, \(chunk) a chunk, keep rate \(keepRate), \(steps) steps" }
    }

    private static let cases = (try? Fixtures.decode(File.self, from: "reference-selection.json").cases) ?? []

    @Test func thereAreEnoughCases() {
        #expect(Self.cases.count >= 24)
        #expect(Self.cases.contains { $0.count % $0.chunk != 0 })
        #expect(Self.cases.contains { $0.stepsBeforeEOS < $0.steps })
    }

    @Test(arguments: cases) func equalsPyTorch(_ example: Case) throws {
        let group = example.heads / example.kvHeads
        let queries = example.queries.map { Float($0) * example.scale }
        let keys = example.keys.map { Float($0) * example.scale }
        let accumulator = ImportanceAccumulator(
            promptCount: example.count, pool: example.pool, group: group, headDim: example.headDim)
        queries.withUnsafeBufferPointer { queries in
            keys.withUnsafeBufferPointer { keys in
                let (rows, columns) = (group * example.headDim, example.count * example.headDim)
                for step in 0..<example.stepsBeforeEOS {
                    for layer in 0..<example.layers {
                        for kvHead in 0..<example.kvHeads {
                            let query = ((layer * example.steps + step) * example.kvHeads + kvHead) * rows
                            let key = (layer * example.kvHeads + kvHead) * columns
                            accumulator.add(
                                queries: UnsafeBufferPointer(rebasing: queries[query..<query + rows]),
                                keys: KVSlice(
                                    UnsafeBufferPointer(rebasing: keys[key..<key + columns]), columns: example.headDim))
                        }
                    }
                    accumulator.endStep()
                }
            }
        }
        let importance = accumulator.importance
        try #require(importance.count == example.importance.count)
        for (ours, theirs) in zip(importance, example.importance) { #expect(abs(ours - theirs) < 2e-6) }

        let parameters = SpeculationParameters(
            keepRate: example.keepRate, chunk: example.chunk, stride: 1, pool: example.pool, selection: .reference)
        let kept = Selector.select(importance: importance, parameters: parameters)
        #expect(Set(kept.kept.map { Int($0) / example.chunk }).sorted() == example.keptChunks)
        let whole = example.keptChunks.map { $0 * example.chunk..<min(example.count, ($0 + 1) * example.chunk) }
        #expect(kept == Selection(promptCount: example.count, spans: whole))
    }

    @Test(arguments: [1, 3, 13, 31, 201], [1, 2, 6, 7, 13, 50, 1000])
    func poolingEqualsItsDefinition(pool: Int, count: Int) {
        var random = Seeded(state: UInt64(pool * 10007 + count))
        // Softmax weights span many orders of magnitude: a running sum must not lose the small ones.
        let weights = (0..<count).map { _ in
            Float.random(in: 0...1, using: &random) * (Bool.random(using: &random) ? 1e-7 : 1)
        }
        let before = (0..<count).map { _ in Float.random(in: 0...0.02, using: &random) }
        var maximum = before
        weights.withUnsafeBufferPointer { weights in
            maximum.withUnsafeMutableBufferPointer {
                ImportanceMath.poolAndMaximise(weights, divisor: 37, pool: pool, into: $0)
            }
        }
        for token in 0..<count {
            let taps = max(0, token - pool / 2)...min(count - 1, token + pool / 2)
            let sum = taps.reduce(0.0) { $0 + Double(weights[$1]) }
            let expected = max(before[token], Float(sum / 37 / Double(pool)))
            #expect(abs(maximum[token] - expected) <= expected * 1e-6)
        }
    }

    @Test func aMaximumThatIsNotANumberStays() {
        var maximum: [Float] = [0, 0, 0]
        for weights: [Float] in [[.nan, 1, 1], [1, 1, 1]] {
            weights.withUnsafeBufferPointer { weights in
                maximum.withUnsafeMutableBufferPointer {
                    ImportanceMath.poolAndMaximise(weights, divisor: 1, pool: 1, into: $0)
                }
            }
        }
        #expect(maximum[0].isNaN)
    }

    @Test func theMeanIsOverEndedSteps() {
        let accumulator = ImportanceAccumulator(promptCount: 2, pool: 1, group: 1, headDim: 1)
        #expect(accumulator.importance == [0, 0])
        let keys: [Float] = [0, 0, 9]  // the third is not the prompt's
        for _ in 0..<3 {
            [Float(1)].withUnsafeBufferPointer { query in
                keys.withUnsafeBufferPointer { accumulator.add(queries: query, keys: KVSlice($0, columns: 1)) }
            }
            accumulator.endStep()
        }
        #expect(accumulator.importance == [0.5, 0.5])
    }
}
