// Attention in blocks against the textbook's.

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

    private func row(_ matrix: Matrix, _ row: Int) -> [Float] {
        matrix.withUnsafeBufferPointer { Array($0[row * matrix.columns..<(row + 1) * matrix.columns]) }
    }

    /// softmax(q k / sqrt(d)) v over the first `visible` rows, in Double.
    private func textbook(_ query: [Float], _ keys: Matrix, _ values: Matrix, first: Int, visible: Int) -> [Float] {
        let scores = (0..<visible).map { j in
            zip(query, row(keys, first + j)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                / Double(query.count).squareRoot()
        }
        let largest = scores.max() ?? 0
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(0, +)
        var out = [Double](repeating: 0, count: query.count)
        for (j, weight) in weights.enumerated() {
            for (i, value) in row(values, first + j).enumerated() { out[i] += weight / sum * Double(value) }
        }
        return out.map { Float($0) }
    }

    @Test(arguments: [(4, 2, 8), (6, 1, 24), (3, 3, 16), (8, 2, 64)], [1, 3])
    func blocksGiveTheTextbookResult(shape: (Int, Int, Int), threads: Int) {
        let (heads, kvHeads, headDim) = shape
        let pool = ThreadPool(threads: threads, name: "attention")
        let attention = Attention(heads: heads, kvHeads: kvHeads, headDim: headDim)
        // Rows before, rows now: decode, prefill from nothing, prefill across block edges, nothing at all.
        let shares = [(700, 1), (0, 130), (500, 70), (10, 0), (0, 1), (1023, 2)]
        var segments: [AttentionSegment] = []
        var rows = 0
        for (index, share) in shares.enumerated() {
            let capacity = share.0 + share.1 + index
            segments.append(
                AttentionSegment(
                    keys: filled(rows: kvHeads * capacity, columns: headDim, seed: UInt64(10 + index)),
                    values: filled(rows: kvHeads * capacity, columns: headDim, seed: UInt64(20 + index)),
                    capacity: capacity, firstCacheRow: share.0, rows: rows..<rows + share.1))
            rows += share.1
        }
        let queries = filled(rows: rows, columns: heads * headDim, seed: 1)
        let output = Matrix(rows: rows, columns: heads * headDim)
        // Twice, because the second call works in memory the first has left behind.
        for _ in 0..<2 { attention.attend(queries, segments: segments, into: output, pool: pool) }

        for segment in segments {
            for index in segment.rows {
                let (query, result) = (row(queries, index), row(output, index))
                let visible = segment.firstCacheRow + index - segment.rows.lowerBound + 1
                for head in 0..<heads {
                    let part = head * headDim..<(head + 1) * headDim
                    let expected = textbook(
                        Array(query[part]), segment.keys, segment.values,
                        first: head / (heads / kvHeads) * segment.capacity, visible: visible)
                    #expect(worst(Array(result[part]), expected) < 2e-5)
                }
            }
        }
    }
}
