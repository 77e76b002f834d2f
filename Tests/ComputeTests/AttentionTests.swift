// Attention in blocks against the textbook's.

import CKernels
import Compute
import Foundation
import Testing

@Suite struct AttentionTests {
    private func filled(rows: Int, columns: Int, seed: UInt64) -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        let values = numbers(matrix.count, seed: seed)
        matrix.withUnsafeMutableBufferPointer { for index in values.indices { $0[index] = 3 * values[index] } }
        return matrix
    }

    private func filledCache(rows: Int, columns: Int, isHalf: Bool, seed: UInt64) -> KVRows {
        let cache = KVRows(rows: rows, columns: columns, isHalf: isHalf)
        cache.store(filled(rows: rows, columns: columns, seed: seed), at: 0)
        return cache
    }

    private func row(_ matrix: Matrix, _ row: Int) -> [Float] {
        matrix.withUnsafeBufferPointer { Array($0[row * matrix.columns..<(row + 1) * matrix.columns]) }
    }

    /// softmax(q k / sqrt(d)) v over some rows, in Double.
    private func textbook(_ query: [Float], _ keys: KVRows, _ values: KVRows, rows: Range<Int>) -> [Float] {
        let scores = rows.map { j in
            zip(query, keys.values(rows: j..<j + 1)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                / Double(query.count).squareRoot()
        }
        let largest = scores.max() ?? 0
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(0, +)
        var out = [Double](repeating: 0, count: query.count)
        for (j, weight) in zip(rows, weights) {
            for (i, value) in values.values(rows: j..<j + 1).enumerated() { out[i] += weight / sum * Double(value) }
        }
        return out.map { Float($0) }
    }

    /// Heads, KV heads and head size; the number formats; whether rows see a window only.
    struct Shape: Sendable {
        var heads, kvHeads, headDim: Int
        var precision: Precision
        var isWindowed: Bool

        var isHalf: Bool { precision != .f32 }

        static let all: [Shape] = [(4, 2, 8), (6, 1, 24), (3, 3, 16), (8, 2, 64), (2, 1, 112), (5, 1, 2)].flatMap {
            shape in
            let formats: [(Precision, Bool)] = [
                (.f32, false), (.bf16, false), (.bf16, true), (.int8, false), (.int8, true),
            ]
            return formats.map {
                Shape(heads: shape.0, kvHeads: shape.1, headDim: shape.2, precision: $0.0, isWindowed: $0.1)
            }
        }
    }

    /// However a prompt is cut, and whoever shares a panel with it: keys that a row sees nothing of change no bit of it.
    @Test(arguments: Shape.all) func aRowIsTheSameInAnyCompany(shape: Shape) {
        let (heads, kvHeads, headDim) = (shape.heads, shape.kvHeads, shape.headDim)
        let count = 1100
        let pool = ThreadPool(threads: 2, name: "attention")
        let attention = Attention(
            heads: heads, kvHeads: kvHeads, headDim: headDim, precision: shape.precision)
        let queries = filled(rows: count, columns: heads * headDim, seed: 5)
        let keys = filledCache(rows: kvHeads * count, columns: headDim, isHalf: shape.isHalf, seed: 6)
        let values = filledCache(rows: kvHeads * count, columns: headDim, isHalf: shape.isHalf, seed: 7)
        func attend(_ calls: [Range<Int>]) -> [Float] {
            let output = Matrix(rows: count, columns: heads * headDim)
            for rows in calls {
                let segment = AttentionSegment(
                    keys: keys, values: values, capacity: count, firstCacheRow: rows.lowerBound, rows: rows,
                    firstVisible: shape.isWindowed ? rows.map { Int32(max(0, $0 - 150)) } : nil,
                    decodedFrom: rows.count)
                attention.attend(queries, segments: [segment], into: output, pool: pool)
            }
            return output.withUnsafeBufferPointer(Array.init)
        }
        let whole = attend([0..<count])
        for bounds in [[0, 37, 549, 550, 900, count], [0, 512, 1024, count], [0, 255, 257, 511, 1003, count]] {
            #expect((attend(zip(bounds, bounds.dropFirst()).map { $0..<$1 }) == whole) as Bool, "\(bounds)")
        }
    }

    @Test(arguments: Shape.all, [1, 3])
    func blocksGiveTheTextbookResult(shape: Shape, threads: Int) {
        let (heads, kvHeads, headDim) = (shape.heads, shape.kvHeads, shape.headDim)
        let pool = ThreadPool(threads: threads, name: "attention")
        let attention = Attention(
            heads: heads, kvHeads: kvHeads, headDim: headDim, precision: shape.precision)
        // Rows before, rows now: decode, prefill from nothing, prefill across block edges, nothing at all.
        let shares = [(700, 1), (0, 130), (500, 70), (10, 0), (0, 1), (1023, 2)]
        func firstVisible(_ row: Int) -> Int { shape.isWindowed ? max(0, row - 150) : 0 }
        var segments: [AttentionSegment] = []
        var rows = 0
        for (index, share) in shares.enumerated() {
            let capacity = share.0 + share.1 + index
            func cache(_ seed: Int) -> KVRows {
                filledCache(
                    rows: kvHeads * capacity, columns: headDim, isHalf: shape.isHalf, seed: UInt64(seed + index))
            }
            segments.append(
                AttentionSegment(
                    keys: cache(10), values: cache(20), capacity: capacity, firstCacheRow: share.0,
                    rows: rows..<rows + share.1,
                    firstVisible: shape.isWindowed
                        ? (0..<share.1).map { Int32(firstVisible(share.0 + $0)) } : nil))
            rows += share.1
        }
        let queries = filled(rows: rows, columns: heads * headDim, seed: 1)
        let output = Matrix(rows: rows, columns: heads * headDim)
        // Twice, because the second call works in memory the first has left behind.
        for _ in 0..<2 { attention.attend(queries, segments: segments, into: output, pool: pool) }

        let tolerance = shape.isHalf ? 1.5 * halfTolerance(winnow_level_in_use(), shape.precision) : 2e-5
        for segment in segments {
            for index in segment.rows {
                let (query, result) = (row(queries, index), row(output, index))
                let own = segment.firstCacheRow + index - segment.rows.lowerBound
                for head in 0..<heads {
                    let part = head * headDim..<(head + 1) * headDim
                    let first = head / (heads / kvHeads) * segment.capacity
                    let expected = textbook(
                        Array(query[part]), segment.keys, segment.values,
                        rows: first + firstVisible(own)..<first + own + 1)
                    #expect(worst(Array(result[part]), expected) < tolerance)
                }
            }
        }
    }

    /// What a bf16 cache costs beyond Float32: with bf16 products queries and weights are rounded to bf16, with AVX2 they and
    /// the cache to fixed point, in int8 to 8 bits.
    private func halfTolerance(_ level: winnow_level, _ precision: Precision) -> Float {
        switch level {
        case winnow_level_avx512_vnni where precision == .int8: 6e-2
        case winnow_level_avx512_bf16 where precision == .int8: 6e-2
        case winnow_level_avx512_bf16: 2e-2
        case winnow_level_avx2: 2e-3
        default: 1e-5
        }
    }

    @Test(arguments: Precision.allCases, [(1, 1), (20, 1), (1, 1e30), (1, 1e-15), (1, 0)] as [(Float, Float)])
    func everyLevelGivesTheReference(precision: Precision, scales: (keys: Float, values: Float)) {
        let isHalf = precision != .f32
        let (rows, heads, headDim, before) = (33, 2, 48, 411)
        let cache = (before + rows) * headDim
        let (queries, keys, values) = (
            numbers(rows * heads * headDim, seed: 1), numbers(cache, seed: 2).map { $0 * scales.keys },
            numbers(cache, seed: 3).map { $0 * scales.values }
        )
        func halves(_ values: [Float]) -> [UInt16] {
            var out = [UInt16](repeating: 0, count: values.count)
            winnow_narrow_bf16(winnow_level_reference, values, &out, values.count)
            return out
        }
        let (halfKeys, halfValues) = (halves(keys), halves(values))
        let limits = (0..<rows).map { Int32(before + $0 + 1) }
        let first = (0..<rows).map { Int32($0 * 3) }
        func run(_ level: winnow_level) -> (output: [Float], scores: [Float]) {
            var output = [Float](repeating: .nan, count: queries.count)
            var scores = [Float](repeating: .nan, count: 3 * 100)
            let scratch = UnsafeMutableRawPointer.allocate(
                byteCount: winnow_attention_scratch(level, rows, heads, headDim), alignment: 64)
            defer { scratch.deallocate() }
            func attend(_ keys: UnsafeRawPointer, _ values: UnsafeRawPointer) {
                output.withUnsafeMutableBufferPointer { output in
                    queries.withUnsafeBufferPointer { queries in
                        limits.withUnsafeBufferPointer { limits in
                            first.withUnsafeBufferPointer { first in
                                var task = winnow_attention_task(
                                    queries: queries.baseAddress, query_stride: heads * headDim, rows: rows,
                                    heads: heads, head_dim: headDim, keys: keys, values: values,
                                    half: isHalf ? 1 : 0, bytes: precision == .int8 ? 1 : 0, decoded: rows == 1 ? 1 : 0,
                                    first: first.baseAddress,
                                    limit: limits.baseAddress, visible: nil, block_keys: 64, mean_keys: nil,
                                    mean_values: nil, means: 0,
                                    scale: 0.3, output: output.baseAddress, output_stride: heads * headDim)
                                winnow_attend(level, &task, scratch)
                            }
                        }
                    }
                }
                winnow_scores(level, queries, 3, headDim, keys, isHalf ? 1 : 0, 100, 0.3, &scores)
            }
            if isHalf { attend(halfKeys, halfValues) } else { attend(keys, values) }
            return (output, scores)
        }
        let reference = run(winnow_level_reference)
        for level in fastLevels {
            let result = run(level)
            // Large keys make large scores, whose rounding the softmax amplifies.
            let tolerance = (isHalf ? halfTolerance(level, precision) : 1e-5) * (scales.keys > 1 ? 20 : 1)
            let unit = scales.values > 0 ? scales.values : 1
            #expect(worst(result.output.map { $0 / unit }, reference.output.map { $0 / unit }) < tolerance)
            #expect(worst(result.scores, reference.scores) < 1e-5)
        }
    }
}
