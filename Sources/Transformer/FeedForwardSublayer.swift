// The second half of a layer: its feed-forward, for all families.

internal import Checkpoint
internal import Compute

/// A SwiGLU feed-forward, behind an RMS norm and added to the residual stream.
struct FeedForwardSublayer: Sendable {
    private let norm: Matrix
    /// Gates, then ups: `[2 feedForward, hidden]`.
    private let gateUp: Linear
    private let down: Linear
    private let epsilon: Float

    /// Loads the weights of layer `index`.
    init(
        checkpoint: Checkpoint, index: Int, precision: Precision, cache: WeightsCache?, pool: ThreadPool
    ) throws(CheckpointError) {
        let tensors = TensorLayout(checkpoint.configuration).layer(index)
        let smoothing = try Smoothing(of: checkpoint.vector(tensors.feedForwardNorm), before: precision)
        epsilon = checkpoint.configuration.normEpsilon
        norm = smoothing.norm
        gateUp = try checkpoint.linear(
            [tensors.gate, tensors.up], factors: smoothing.factors, precision: precision, cache: cache, pool: pool)
        down = try checkpoint.linear([tensors.down], precision: precision, cache: cache, pool: pool)
    }

    /// Memory of the weights, in bytes; the norm is too small to count.
    var weightBytes: Int { gateUp.byteCount + down.byteCount }

    /// Adds its contribution to the rows of `hidden` (`[rows, hidden]`); with `outputs` to these rows alone, ascending.
    func forward(_ hidden: Matrix, outputs: [Int]?, workspace: Workspace, pool: ThreadPool) {
        guard let outputs else { return add(to: hidden, workspace: workspace, pool: pool) }
        guard !outputs.isEmpty else { return }
        let wanted = hidden.gathered(rows: outputs)
        add(to: wanted, workspace: workspace, pool: pool)
        hidden.scatter(wanted, rows: outputs)
    }

    private func add(to hidden: Matrix, workspace: Workspace, pool: ThreadPool) {
        let normed = workspace.normed
        for rows in workspace.blocks(of: hidden.rows) {
            Kernels.rmsNorm(hidden, rows: rows, weight: norm, epsilon: epsilon, into: normed, pool: pool)
            gateUp.apply(
                normed, rows: 0..<rows.count, to: workspace.gateUp, from: 0, converted: workspace.converted, pool: pool)
            Kernels.siluMultiply(workspace.gateUp, rows: rows.count, into: workspace.activated, pool: pool)
            down.apply(
                workspace.activated, rows: 0..<rows.count, to: hidden, from: rows.lowerBound, adding: true,
                converted: workspace.converted, pool: pool)
        }
    }
}
