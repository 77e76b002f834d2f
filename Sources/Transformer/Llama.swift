// The Llama family: one transformer layer, its weights and its arithmetic.

internal import Checkpoint
internal import Compute

/// One layer of a Llama model: attention with rotary positions and grouped KV heads, then a SwiGLU feed-forward, each
/// behind an RMS norm and added to the residual stream.
struct LlamaLayer: Sendable {
    private let attentionNorm: Matrix
    /// Queries, keys and values of all heads in one product: `[(heads + 2 kvHeads) headDim, hidden]`.
    private let project: Linear
    private let attentionOutput: Linear
    private let feedForwardNorm: Matrix
    /// Gates, then ups: `[2 feedForward, hidden]`.
    private let gateUp: Linear
    private let down: Linear
    private let epsilon: Float

    /// Loads the layer's weights.
    init(checkpoint: Checkpoint, index: Int) throws(CheckpointError) {
        let tensors = TensorLayout(checkpoint.configuration).layer(index)
        attentionNorm = try checkpoint.matrix(tensors.attentionNorm)
        project = Linear(weights: try checkpoint.matrix(tensors.query, tensors.key, tensors.value))
        attentionOutput = Linear(weights: try checkpoint.matrix(tensors.attentionOutput))
        feedForwardNorm = try checkpoint.matrix(tensors.feedForwardNorm)
        gateUp = Linear(weights: try checkpoint.matrix(tensors.gate, tensors.up))
        down = Linear(weights: try checkpoint.matrix(tensors.down))
        epsilon = checkpoint.configuration.normEpsilon
    }

    /// Adds the layer's contribution to every row of `hidden` (`[rows, hidden]`) and appends to the segments' caches.
    ///
    /// - Parameters:
    ///   - angles: the rotary angles of the rows.
    ///   - workspace: memory for at least as many rows.
    ///   - observe: sees the rotated queries, `[rows, heads, headDim]`, once keys and values are in the caches.
    func forward(
        _ hidden: Matrix, segments: [AttentionSegment], angles: RotaryAngles, attention: Attention,
        workspace: Workspace, pool: ThreadPool, observe: (UnsafeBufferPointer<Float>) -> Void
    ) {
        let blocks = workspace.blocks(of: hidden.rows)
        for rows in blocks {
            Kernels.rmsNorm(
                hidden, rows: rows, weight: attentionNorm, epsilon: epsilon, into: workspace.normed, pool: pool)
            project.apply(workspace.normed, rows: 0..<rows.count, to: workspace.projected, from: 0, pool: pool)
            attention.split(
                workspace.projected, rows: rows, angles: angles, segments: segments, queries: workspace.queries,
                pool: pool)
        }
        workspace.queries.withUnsafeBufferPointer { queries in
            observe(UnsafeBufferPointer(rebasing: queries[..<(hidden.rows * workspace.queries.columns)]))
        }
        attention.attend(workspace.queries, segments: segments, into: workspace.attended, pool: pool)
        attentionOutput.apply(
            workspace.attended, rows: 0..<hidden.rows, to: hidden, from: 0, adding: true, pool: pool)
        for rows in blocks {
            Kernels.rmsNorm(
                hidden, rows: rows, weight: feedForwardNorm, epsilon: epsilon, into: workspace.normed, pool: pool)
            gateUp.apply(workspace.normed, rows: 0..<rows.count, to: workspace.gateUp, from: 0, pool: pool)
            Kernels.siluMultiply(workspace.gateUp, rows: rows.count, into: workspace.activated, pool: pool)
            down.apply(
                workspace.activated, rows: 0..<rows.count, to: hidden, from: rows.lowerBound, adding: true, pool: pool)
        }
    }
}

extension Checkpoint {
    /// Tensors of equal width below each other in one Float32 matrix; a vector counts as a row.
    func matrix(_ tensors: TensorLayout.Tensor...) throws(CheckpointError) -> Matrix {
        func rows(_ tensor: TensorLayout.Tensor) -> Int { tensor.shape.dropLast().reduce(1, *) }
        let matrix = Matrix(
            rows: tensors.reduce(0) { $0 + rows($1) }, columns: tensors.first?.shape.last ?? 0)
        var row = 0
        for tensor in tensors {
            try load(tensor, into: matrix, from: row)
            row += rows(tensor)
        }
        return matrix
    }
}

/// The memory a forward pass works in, kept from call to call.
///
/// Rows pass the norms and the feed-forward in blocks, so that only queries and attention results grow with the rows.
final class Workspace: Sendable {
    /// Rows that pass the norms and the feed-forward together.
    private static let blockRows = 512

    /// The rows it has room for.
    let rows: Int
    let normed: Matrix
    let projected: Matrix
    let queries: Matrix
    let attended: Matrix
    let gateUp: Matrix
    let activated: Matrix

    init(configuration: ModelConfiguration, rows: Int) {
        let block = min(rows, Self.blockRows)
        let width = configuration.headCount * configuration.headDim
        self.rows = rows
        normed = Matrix(rows: block, columns: configuration.hiddenSize)
        projected = Matrix(rows: block, columns: width + 2 * configuration.kvHeadCount * configuration.headDim)
        queries = Matrix(rows: rows, columns: width)
        attended = Matrix(rows: rows, columns: width)
        gateUp = Matrix(rows: block, columns: 2 * configuration.feedForwardSize)
        activated = Matrix(rows: block, columns: configuration.feedForwardSize)
    }

    /// `0..<rows` in blocks.
    func blocks(of rows: Int) -> [Range<Int>] {
        stride(from: 0, to: rows, by: Self.blockRows).map { $0..<min(rows, $0 + Self.blockRows) }
    }
}
