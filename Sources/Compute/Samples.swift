// Single products and attentions on made-up numbers, for measuring.

/// A linear layer and rows to apply it to.
package final class ProductSample: Sendable {
    private let layer: Linear
    private let input, output: Matrix
    private let converted = ConvertedRows()
    private let pool: ThreadPool

    /// Makes `[outputs, inputs]` weights and `rows` rows.
    package init(_ precision: Precision, rows: Int, outputs: Int, inputs: Int, pool: ThreadPool) {
        self.pool = pool
        layer = Linear(outputs: outputs, inputs: inputs, precision: precision, pool: pool) { range, buffer in
            for index in buffer.indices { buffer[index] = sampleValue(range.lowerBound * inputs + index) }
        }
        input = Matrix(sampleRows: rows, columns: inputs)
        output = Matrix(rows: rows, columns: outputs)
    }

    /// Operations of one run; a multiplication and an addition count as two.
    package var operations: Double { 2 * Double(output.rows) * Double(output.columns) * Double(input.columns) }

    /// Multiplies once.
    package func run() {
        layer.apply(input, rows: 0..<input.rows, to: output, from: 0, converted: converted, pool: pool)
    }
}

/// A filled cache of one layer and the query rows at its end.
package final class AttentionSample: Sendable {
    private let attention: Attention
    private let queries, output: Matrix
    private let segment: AttentionSegment

    /// Makes `context` cache rows, the last `rows` of which ask.
    package init(heads: Int, kvHeads: Int, headDim: Int, rows: Int, context: Int, precision: Precision) {
        attention = Attention(heads: heads, kvHeads: kvHeads, headDim: headDim, precision: precision)
        queries = Matrix(sampleRows: rows, columns: heads * headDim)
        output = Matrix(rows: rows, columns: heads * headDim)
        func cache() -> KVRows {
            let cache = KVRows(rows: kvHeads * context, columns: headDim, isHalf: precision != .f32)
            cache.store(Matrix(sampleRows: cache.rows, columns: headDim), at: 0)
            return cache
        }
        segment = AttentionSegment(
            keys: cache(), values: cache(), capacity: context, firstCacheRow: context - rows, rows: 0..<rows)
    }

    /// Operations of one run, of visible keys only; a multiplication and an addition count as two.
    package var operations: Double {
        let (rows, before) = (Double(queries.rows), Double(segment.firstCacheRow))
        return 4 * Double(queries.columns) * (rows * before + rows * (rows + 1) / 2)
    }

    /// Attends once.
    package func run(pool: ThreadPool) { attention.attend(queries, segments: [segment], into: output, pool: pool) }
}

/// A number in -1...1 that varies with the index.
private func sampleValue(_ index: Int) -> Float { Float((index &* 7919) % 2001 - 1000) / 1000 }

extension Matrix {
    /// A matrix of varying numbers.
    fileprivate convenience init(sampleRows rows: Int, columns: Int) {
        self.init(rows: rows, columns: columns)
        withUnsafeMutableBufferPointer { for index in $0.indices { $0[index] = sampleValue(index) } }
    }
}
