// The shape and constants of a model.

public import Layers

/// Everything about a model but its weights, read from a Hugging Face model directory or a GGUF file.
public struct ModelConfiguration: Sendable, Equatable {
    /// The family of models it is one of.
    public var family: ModelFamily
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
    /// The window that some layers' keys must be in to be seen, if there is one; see ``slidingWindow(layer:)``.
    public var slidingWindow: SlidingWindow?
    /// Whether the projections to queries, keys and values have biases.
    public var hasAttentionBias: Bool
    /// Whether each head's queries and keys pass an RMS norm, with ``normEpsilon``, before they are rotated.
    public var hasQueryKeyNorm: Bool
    /// Whether the output head is the embedding.
    public var tiedEmbeddings: Bool
    /// The token that begins a text, if the model names one.
    public var bosToken: Int32?
    /// Tokens that end a text: of `generation_config.json`, else of `config.json`, or of the GGUF file; may be empty.
    public var eosTokens: [Int32]
    /// Whether the weights are random numbers, made for measuring.
    public var isSynthetic: Bool

    /// A configuration given field by field; nothing is checked.
    public init(
        family: ModelFamily, vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int,
        headCount: Int, kvHeadCount: Int, headDim: Int, contextLength: Int, normEpsilon: Float, ropeTheta: Double,
        ropeScaling: RopeScaling?, slidingWindow: SlidingWindow? = nil, hasAttentionBias: Bool, hasQueryKeyNorm: Bool,
        tiedEmbeddings: Bool, bosToken: Int32?, eosTokens: [Int32], isSynthetic: Bool
    ) {
        self.family = family
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
        self.slidingWindow = slidingWindow
        self.hasAttentionBias = hasAttentionBias
        self.hasQueryKeyNorm = hasQueryKeyNorm
        self.tiedEmbeddings = tiedEmbeddings
        self.bosToken = bosToken
        self.eosTokens = eosTokens
        self.isSynthetic = isSynthetic
    }
}

extension ModelConfiguration {
    /// Every layer, whole.
    public var allLayers: LayerSpan { LayerSpan(0..<layerCount) }

    /// Whether whoever holds these layers embeds tokens.
    public func begins(with layers: LayerSpan) -> Bool { !layers.isEmpty && layers.bounds.lowerBound == 0 }

    /// Whether whoever holds these layers has the final norm and the output head.
    public func ends(with layers: LayerSpan) -> Bool {
        !layers.isEmpty && layers.bounds.upperBound == allLayers.bounds.upperBound
    }
}
