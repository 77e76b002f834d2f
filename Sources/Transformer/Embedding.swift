// Tokens to rows.

internal import Checkpoint
internal import Compute

/// The embedding table, `[vocabulary, hidden]`: Float32, bf16, or the output head itself where they are tied.
struct Embedding: Sendable {
    private enum Table: Sendable {
        case rows(KVRows)
        case head(Linear)
    }
    private let table: Table
    private let width: Int

    /// Loads the table; bf16 unless all is Float32.
    init(checkpoint: Checkpoint, precision: Precision, pool: ThreadPool) throws(CheckpointError) {
        let tensor = TensorLayout(checkpoint.configuration).embedding
        let rows: KVRows
        do throws(MemoryError) {
            rows = try KVRows(
                rows: tensor.rows, columns: tensor.columns, isHalf: precision != .f32, for: "the embedding")
        } catch {
            throw CheckpointError(path: checkpoint.path, place: tensor.name, error)
        }
        let rowsPerTask = 16
        try pool.tryParallelFor((tensor.rows + rowsPerTask - 1) / rowsPerTask) { task throws(CheckpointError) in
            let range = task * rowsPerTask..<min(tensor.rows, (task + 1) * rowsPerTask)
            let buffer = Matrix(rows: range.count, columns: tensor.columns)
            try checkpoint.load(tensor, rows: range, into: buffer)
            rows.store(buffer, at: range.lowerBound)
        }
        table = .rows(rows)
        width = tensor.columns
    }

    /// Looks tokens up in a head that shares its weights.
    init(head: Linear) {
        table = .head(head)
        width = head.inputs
    }

    /// Memory of its own, in bytes.
    var byteCount: Int {
        guard case .rows(let rows) = table else { return 0 }
        return rows.rows * rows.columns * (rows.isHalf ? 2 : 4)
    }

    /// The tokens' rows, `[tokens.count, hidden]`; every token is in the vocabulary.
    ///
    /// - Throws: if the memory cannot be had.
    func callAsFunction(_ tokens: [Int32]) throws(MemoryError) -> Matrix {
        let hidden = try Matrix(rows: tokens.count, columns: width, for: "activations")
        hidden.withUnsafeMutableBufferPointer { target in
            for (row, token) in tokens.enumerated() {
                let slot = UnsafeMutableBufferPointer(rebasing: target[row * width..<(row + 1) * width])
                switch table {
                case .rows(let rows): rows.load(row: Int(token), into: slot)
                case .head(let head): head.read(output: Int(token), into: slot)
                }
            }
        }
        return hidden
    }
}
