// How much arithmetic a forward pass is.

public import Checkpoint

/// Operations (a multiplication and an addition count as two) and bytes that a pass of one request takes.
public enum ForwardWork {
    /// Operations of a prefill of which only the last token's logits are wanted, as ``Stage`` computes it: the last layer
    /// does keys and values for all tokens, the rest for one.
    ///
    /// - Parameter tokens: tokens in the prompt, all of them prefilled.
    public static func prefill(_ shape: ModelConfiguration, tokens: Int) -> Double {
        let layers = Double(shape.layerCount)
        let all = Double(tokens)
        let whole = layer(shape, rows: all, visible: all * (all + 1) / 2, keyValueRows: all)
        let last = layer(shape, rows: 1, visible: all, keyValueRows: all)
        return (layers - 1) * whole + last + head(shape)
    }

    /// Operations of one decode step that sees `context` cache rows, its own included.
    public static func decode(_ shape: ModelConfiguration, context: Int) -> Double {
        Double(shape.layerCount) * layer(shape, rows: 1, visible: Double(context), keyValueRows: 1) + head(shape)
    }

    /// What the last stage computes in a prefill besides its layers, in layers: the head, less what the last layer is
    /// spared. Over -1, and below 0 for most models.
    ///
    /// - Parameter tokens: tokens in the prompt, all of them prefilled.
    public static func headLayers(_ shape: ModelConfiguration, tokens: Int) -> Double {
        let all = Double(max(1, tokens))
        let whole = layer(shape, rows: all, visible: all * (all + 1) / 2, keyValueRows: all)
        let last = layer(shape, rows: 1, visible: all, keyValueRows: all)
        return (last + head(shape)) / whole - 1
    }

    private static func layer(
        _ shape: ModelConfiguration, rows: Double, visible: Double, keyValueRows: Double
    ) -> Double {
        let hidden = Double(shape.hiddenSize)
        let width = Double(shape.headCount * shape.headDim)
        let keyValues = 2 * Double(shape.kvHeadCount * shape.headDim)
        let perRow = 2 * hidden * width + 3 * hidden * Double(shape.feedForwardSize)
        return 2 * (rows * perRow + keyValueRows * keyValues * hidden + 2 * visible * width)
    }

    private static func head(_ shape: ModelConfiguration) -> Double {
        2 * Double(shape.hiddenSize) * Double(shape.vocabularySize)
    }
}
