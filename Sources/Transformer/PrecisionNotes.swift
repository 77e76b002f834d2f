// What a model's weights say about the number format it is to be computed in.

public import Checkpoint
public import Compute
public import Layers

extension Stage {
    /// What is worth a word before a model is computed in a number format, found without loading it: norms whose outlier
    /// channels make 8 bits lose more than they do on other models.
    ///
    /// - Parameter layers: within the model; nil: all.
    /// - Throws: for a norm that can't be read.
    public static func notes(
        on checkpoint: Checkpoint, layers: LayerSpan? = nil, precision: Precision
    ) throws(CheckpointError) -> [String] {
        guard precision == .int8 else { return [] }
        let layout = TensorLayout(checkpoint.configuration)
        var (largest, name, count) = (Float(0), "", 0)
        for index in (layers ?? checkpoint.configuration.allLayers).sublayers {
            let layer = layout.layer(index / 2)
            let isAttention = index % 2 == 0
            // The norms before products in 8 bits: with outliers, queries and keys have more.
            guard !isAttention || precision.finer == .int8 else { continue }
            let norm = isAttention ? layer.attentionNorm : layer.feedForwardNorm
            guard let ratio = Smoothing.outliers(try checkpoint.vector(norm)).max() else { continue }
            count += 1
            if ratio > largest { (largest, name) = (ratio, norm.name) }
        }
        guard count > 0 else { return [] }
        return [
            "int8 loses more of this model than of most: a channel of \(name) is \(Int(min(largest, 1e9))) times the median"
                + (count > 1 ? ", and \(count) norms have such channels" : "")
                + "; part of it is moved into the weights behind it; compare answers with --dtype bf16"
        ]
    }
}
