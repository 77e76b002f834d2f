// The second half of a layer: its feed-forward, for all families.

internal import Checkpoint
internal import Compute

/// A SwiGLU feed-forward, behind an RMS norm and added to the residual stream.
struct FeedForwardSublayer: Sendable {
    private let norm: Matrix
    /// `[feedForward, hidden]`, twice.
    private let gated: GatedLinear
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
        func linear(_ tensor: TensorLayout.Tensor) throws(CheckpointError) -> Linear {
            try checkpoint.linear(
                [tensor], factors: smoothing.factors, precision: precision, cache: cache, pool: pool)
        }
        gated = GatedLinear(gate: try linear(tensors.gate), up: try linear(tensors.up))
        down = try checkpoint.linear([tensors.down], precision: precision, cache: cache, pool: pool)
    }

    /// Memory of the weights, in bytes; the norm is too small to count.
    var weightBytes: Int { gated.byteCount + down.byteCount }

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
            gated.apply(
                normed, rows: rows.count, to: workspace.activated, products: workspace.gateUp,
                converted: workspace.converted, pool: pool)
            down.apply(
                workspace.activated, rows: 0..<rows.count, to: hidden, from: rows.lowerBound, adding: true,
                converted: workspace.converted, pool: pool)
        }
    }
}
