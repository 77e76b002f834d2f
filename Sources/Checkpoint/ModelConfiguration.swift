// The shape and constants of a model.

/// Everything about a model but its weights, read from a Hugging Face model directory.
public struct ModelConfiguration: Sendable, Equatable {
    /// The model family: `"llama"`.
    public var architecture: String
    /// Rows of the embedding and of the output head.
    public var vocabularySize: Int
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width of the feed-forward layer.
    public var feedForwardSize: Int
    /// Number of transformer layers.
    public var layerCount: Int
    /// Query heads.
    public var headCount: Int
    /// Key and value heads, a divisor of ``headCount``.
    public var kvHeadCount: Int
    /// Values per head, an even number.
    public var headDim: Int
    /// Position ids are below this.
    public var contextLength: Int
    /// Added to the mean square in RMS norms.
    public var normEpsilon: Float
    /// Base of the rotary frequencies.
    public var ropeTheta: Double
    /// How the rotary frequencies are stretched; nil leaves them as they are.
    public var ropeScaling: RopeScaling?
    /// Whether the output head is the embedding.
    public var tiedEmbeddings: Bool
    /// The token that begins a text, if the model names one.
    public var bosToken: Int32?
    /// Tokens that end a text: those of `generation_config.json`, else those of `config.json`; may be empty.
    public var eosTokens: [Int32]
    /// Whether the weights are random numbers, made for measuring.
    public var isSynthetic: Bool

    /// A configuration given field by field; nothing is checked.
    public init(
        architecture: String, vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int,
        headCount: Int, kvHeadCount: Int, headDim: Int, contextLength: Int, normEpsilon: Float, ropeTheta: Double,
        ropeScaling: RopeScaling?, tiedEmbeddings: Bool, bosToken: Int32?, eosTokens: [Int32], isSynthetic: Bool
    ) {
        self.architecture = architecture
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.feedForwardSize = feedForwardSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.kvHeadCount = kvHeadCount
        self.headDim = headDim
        self.contextLength = contextLength
        self.normEpsilon = normEpsilon
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.tiedEmbeddings = tiedEmbeddings
        self.bosToken = bosToken
        self.eosTokens = eosTokens
        self.isSynthetic = isSynthetic
    }
}
