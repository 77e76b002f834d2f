// The first half of a layer: its attention, for all families.

internal import Checkpoint
internal import Compute

/// Attention with rotary positions and grouped KV heads, behind an RMS norm and added to the residual stream. Biases, head
/// norms and windows are there where the family has them.
struct AttentionSublayer: Sendable {
    private let norm: Matrix
    /// `[heads * headDim, hidden]`.
    private let query: Linear
    /// `[kvHeads * headDim, hidden]`, as ``value``.
    private let key: Linear
    private let value: Linear
    private let headNorm: HeadNorm?
    private let output: Linear
    private let epsilon: Float

    /// Loads the weights of layer `index`.
    init(
        checkpoint: Checkpoint, index: Int, precision: Precision, cache: WeightsCache?, pool: ThreadPool
    ) throws(CheckpointError) {
        let tensors = TensorLayout(checkpoint.configuration).layer(index)
        let smoothing = try Smoothing(of: checkpoint.vector(tensors.attentionNorm), before: precision)
        let queryKey = smoothing.factors == nil ? precision : precision.finer
        func projection(
            _ weights: TensorLayout.Tensor, bias: TensorLayout.Tensor?, precision: Precision
        ) throws(CheckpointError) -> Linear {
            try checkpoint.linear(
                [weights], bias: bias.map { [$0] } ?? [], factors: smoothing.factors, precision: precision,
                cache: cache, pool: pool)
        }
        epsilon = checkpoint.configuration.normEpsilon
        norm = smoothing.norm
        query = try projection(tensors.query, bias: tensors.queryBias, precision: queryKey)
        key = try projection(tensors.key, bias: tensors.keyBias, precision: queryKey)
        value = try projection(tensors.value, bias: tensors.valueBias, precision: precision.finer)
        if let queryNorm = tensors.queryNorm, let keyNorm = tensors.keyNorm {
            headNorm = HeadNorm(
                query: try checkpoint.vector(queryNorm), key: try checkpoint.vector(keyNorm), epsilon: epsilon)
        } else {
            headNorm = nil
        }
        output = try checkpoint.linear([tensors.attentionOutput], precision: precision, cache: cache, pool: pool)
    }

    /// Memory of the weights, in bytes; norms and biases are too small to count.
    var weightBytes: Int { query.byteCount + key.byteCount + value.byteCount + output.byteCount }

    /// Adds its contribution to the rows of `hidden` (`[rows, hidden]`) and appends to the segments' caches.
    ///
    /// - Parameters:
    ///   - outputs: the only rows of `hidden` that anybody wants, ascending; the others are left as they are, and only
    ///     their keys and values are computed. Nil: all rows.
    ///   - angles: the rotary angles of the rows.
    ///   - workspace: memory for at least as many rows.
    ///   - observe: sees the rotated queries of the rows that are wanted, `[_, heads * headDim]`, once keys and values are
    ///     in the caches.
    func forward(
        _ hidden: Matrix, outputs: [Int]?, segments: [AttentionSegment], angles: RotaryAngles, attention: Attention,
        workspace: Workspace, pool: ThreadPool, observe: (Matrix) -> Void
    ) {
        let normed = workspace.normed
        for rows in workspace.blocks(of: hidden.rows) {
            Kernels.rmsNorm(hidden, rows: rows, weight: norm, epsilon: epsilon, into: normed, pool: pool)
            key.apply(
                normed, rows: 0..<rows.count, to: workspace.keyValues, from: 0, converted: workspace.converted,
                pool: pool)
            value.apply(
                normed, rows: 0..<rows.count, to: workspace.keyValues, from: 0, column: key.outputs,
                converted: workspace.converted, pool: pool)
            attention.store(
                workspace.keyValues, rows: rows, norm: headNorm, angles: angles, segments: segments, pool: pool)
            guard outputs == nil else { continue }
            query.apply(
                normed, rows: 0..<rows.count, to: workspace.queries, from: rows.lowerBound,
                converted: workspace.converted, pool: pool)
            attention.rotateQueries(
                workspace.queries, rows: rows, norm: headNorm, angles: angles, angleRow: { $0 }, pool: pool)
        }
        guard let outputs else {
            observe(workspace.queries)
            attention.attend(workspace.queries, segments: segments, into: workspace.attended, pool: pool)
            add(to: hidden, workspace: workspace, pool: pool)
            return
        }
        guard !outputs.isEmpty else {
            observe(workspace.queries)
            return
        }
        // The wanted rows alone, as if they were all.
        let wanted = hidden.gathered(rows: outputs)
        for rows in workspace.blocks(of: wanted.rows) {
            Kernels.rmsNorm(wanted, rows: rows, weight: norm, epsilon: epsilon, into: normed, pool: pool)
            query.apply(
                normed, rows: 0..<rows.count, to: workspace.queries, from: rows.lowerBound,
                converted: workspace.converted, pool: pool)
        }
        attention.rotateQueries(
            workspace.queries, rows: 0..<wanted.rows, norm: headNorm, angles: angles, angleRow: { outputs[$0] },
            pool: pool)
        observe(workspace.queries)
        attention.attend(
            workspace.queries, segments: segments.picking(rows: outputs), into: workspace.attended, pool: pool)
        add(to: wanted, workspace: workspace, pool: pool)
        hidden.scatter(wanted, rows: outputs)
    }

    /// Adds what attention left in the workspace for the rows of `hidden`.
    private func add(to hidden: Matrix, workspace: Workspace, pool: ThreadPool) {
        for rows in workspace.blocks(of: hidden.rows) {
            output.apply(
                workspace.attended, rows: rows, to: hidden, from: rows.lowerBound, adding: true,
                converted: workspace.converted, pool: pool)
        }
    }
}

extension [AttentionSegment] {
    /// The given rows of a call, ascending, as segments of their own; they become rows 0, 1, 2, ...
    fileprivate func picking(rows: [Int]) -> [AttentionSegment] {
        var picked: [AttentionSegment] = []
        var segments = self[...]
        for (place, row) in rows.enumerated() {
            while let segment = segments.first, segment.rows.upperBound <= row { segments.removeFirst() }
            guard let segment = segments.first else { break }
            let offset = row - segment.rows.lowerBound
            picked.append(
                AttentionSegment(
                    keys: segment.keys, values: segment.values, capacity: segment.capacity,
                    firstCacheRow: segment.firstCacheRow + offset, rows: place..<place + 1,
                    firstVisible: segment.firstVisible.map { [$0[offset]] },
                    decodedFrom: offset >= segment.decodedFrom ? 0 : 1))
        }
        return picked
    }
}
