// The memory a forward pass works in.

internal import Checkpoint
internal import Compute

/// Kept from call to call. Rows pass the norms and the feed-forward in blocks, so that only queries and attention results
/// grow with the rows.
final class Workspace: Sendable {
    /// Rows that pass the norms and the feed-forward together: their activations stay in the last cache.
    private static let blockRows = 384

    /// The rows it has room for.
    let rows: Int
    let normed: Matrix
    let keyValues: Matrix
    let queries: Matrix
    let attended: Matrix
    let gateUp: Matrix
    let activated: Matrix
    let converted = ConvertedRows()

    /// - Throws: if the memory cannot be had.
    init(configuration: ModelConfiguration, rows: Int) throws(MemoryError) {
        let block = min(rows, Self.blockRows)
        let width = configuration.headCount * configuration.headDim
        self.rows = rows
        normed = try Matrix(rows: block, columns: configuration.hiddenSize, for: "activations")
        keyValues = try Matrix(
            rows: block, columns: 2 * configuration.kvHeadCount * configuration.headDim, for: "activations")
        queries = try Matrix(rows: rows, columns: width, for: "activations")
        attended = try Matrix(rows: rows, columns: width, for: "activations")
        gateUp = try Matrix(rows: block, columns: 2 * configuration.feedForwardSize, for: "activations")
        activated = try Matrix(rows: block, columns: configuration.feedForwardSize, for: "activations")
        try converted.reserve(
            rows: block, columns: max(configuration.hiddenSize, width, configuration.feedForwardSize))
    }

    /// `0..<rows` in blocks of nearly equal size.
    func blocks(of rows: Int) -> [Range<Int>] {
        let count = (rows + Self.blockRows - 1) / Self.blockRows
        return (0..<count).map { rows * $0 / count..<rows * ($0 + 1) / count }
    }
}
