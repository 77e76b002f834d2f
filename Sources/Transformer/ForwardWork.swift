// How much arithmetic a forward pass is.

public import Checkpoint

/// Operations (a multiplication and an addition count as two) that a pass of one request takes.
public enum ForwardWork {
    /// Operations of a prefill of which only the last token's logits are wanted, as ``Stage`` computes it: the last layer
    /// does keys and values for all tokens, the rest for one.
    ///
    /// - Parameter tokens: tokens in the prompt, all of them prefilled.
    public static func prefill(_ shape: ModelConfiguration, tokens: Int) -> Double {
        prefillSublayers(shape, tokens: tokens).reduce(0, +)
    }

    /// ``prefill(_:tokens:)`` by the halves of the layers: the attention of the first, its feed-forward, and so on; the
    /// output head with the last.
    public static func prefillSublayers(_ shape: ModelConfiguration, tokens: Int) -> [Double] {
        let all = Double(tokens)
        let attends = attention(shape, rows: all, visible: all * (all + 1) / 2, keyValueRows: all)
        let whole = [attends, feedForward(shape, rows: all)]
        let last = [
            attention(shape, rows: 1, visible: all, keyValueRows: all), feedForward(shape, rows: 1) + head(shape),
        ]
        return Array(repeatElement(whole, count: max(0, shape.layerCount - 1)).joined()) + last
    }

    /// Operations of one decode step that sees `context` cache rows, its own included.
    public static func decode(_ shape: ModelConfiguration, context: Int) -> Double {
        let attends = attention(shape, rows: 1, visible: Double(context), keyValueRows: 1)
        return Double(shape.layerCount) * (attends + feedForward(shape, rows: 1)) + head(shape)
    }

    private static func attention(
        _ shape: ModelConfiguration, rows: Double, visible: Double, keyValueRows: Double
    ) -> Double {
        let hidden = Double(shape.hiddenSize)
        let width = Double(shape.headCount * shape.headDim)
        let keyValues = 2 * Double(shape.kvHeadCount * shape.headDim)
        return 2 * (rows * 2 * hidden * width + keyValueRows * keyValues * hidden + 2 * visible * width)
    }

    private static func feedForward(_ shape: ModelConfiguration, rows: Double) -> Double {
        2 * rows * 3 * Double(shape.hiddenSize) * Double(shape.feedForwardSize)
    }

    private static func head(_ shape: ModelConfiguration) -> Double {
        2 * Double(shape.hiddenSize) * Double(shape.vocabularySize)
    }
}
