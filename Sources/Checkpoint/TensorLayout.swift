// The names and shapes of the tensors a model must have, as Hugging Face writes them.

package import Layers

/// The tensors a configuration asks for.
///
/// The families that are supported name what they share alike; what only some have is optional. Other formats' names
/// are translated to these when a file is opened.
package struct TensorLayout: Sendable {
    /// A tensor and the shape it must have.
    package struct Tensor: Sendable, Equatable {
        package var name: String
        package var shape: [Int]

        /// Rows, of which a vector is one.
        package var rows: Int { shape.dropLast().reduce(1, *) }
        /// Values of one row.
        package var columns: Int { shape.last ?? 1 }
    }

    /// The tensors of one layer. Linear weights are `[outputs, inputs]`.
    package struct Layer: Sendable {
        package var attentionNorm, query, key, value, attentionOutput: Tensor
        package var feedForwardNorm, gate, up, down: Tensor
        /// Added to the projections, `[outputs]`; all three or none.
        package var queryBias, keyBias, valueBias: Tensor?
        /// Weights of the RMS norm over each head's queries and keys before the rotation, `[headDim]`; both or none.
        package var queryNorm, keyNorm: Tensor?

        /// All of them, in the order of computation.
        package var tensors: [Tensor] { attention + feedForward }

        /// Those of its attention, in the order of computation.
        package var attention: [Tensor] {
            [attentionNorm, query, key, value]
                + [queryBias, keyBias, valueBias, queryNorm, keyNorm].compactMap(\.self) + [attentionOutput]
        }

        /// Those of its feed-forward, in the order of computation.
        package var feedForward: [Tensor] { [feedForwardNorm, gate, up, down] }
    }

    private let configuration: ModelConfiguration

    package init(_ configuration: ModelConfiguration) { self.configuration = configuration }

    /// `[vocabulary, hidden]`.
    package var embedding: Tensor {
        Tensor(name: "model.embed_tokens.weight", shape: [configuration.vocabularySize, configuration.hiddenSize])
    }

    /// `[hidden]`.
    package var finalNorm: Tensor { Tensor(name: "model.norm.weight", shape: [configuration.hiddenSize]) }

    /// What the output head is called where it is a tensor of its own.
    static let headName = "lm_head.weight"

    /// `[vocabulary, hidden]`: the embedding itself where they are tied.
    package var head: Tensor {
        configuration.tiedEmbeddings
            ? embedding
            : Tensor(name: Self.headName, shape: [configuration.vocabularySize, configuration.hiddenSize])
    }

    /// The tensors of layer `index`.
    package func layer(_ index: Int) -> Layer {
        func tensor(_ name: String, _ shape: Int...) -> Tensor {
            Tensor(name: "model.layers.\(index).\(name)", shape: shape)
        }
        let hidden = configuration.hiddenSize
        let forward = configuration.feedForwardSize
        let queries = configuration.headCount * configuration.headDim
        let keys = configuration.kvHeadCount * configuration.headDim
        let bias = configuration.hasAttentionBias
        let norm = configuration.hasQueryKeyNorm
        return Layer(
            attentionNorm: tensor("input_layernorm.weight", hidden),
            query: tensor("self_attn.q_proj.weight", queries, hidden),
            key: tensor("self_attn.k_proj.weight", keys, hidden),
            value: tensor("self_attn.v_proj.weight", keys, hidden),
            attentionOutput: tensor("self_attn.o_proj.weight", hidden, queries),
            feedForwardNorm: tensor("post_attention_layernorm.weight", hidden),
            gate: tensor("mlp.gate_proj.weight", forward, hidden),
            up: tensor("mlp.up_proj.weight", forward, hidden),
            down: tensor("mlp.down_proj.weight", hidden, forward),
            queryBias: bias ? tensor("self_attn.q_proj.bias", queries) : nil,
            keyBias: bias ? tensor("self_attn.k_proj.bias", keys) : nil,
            valueBias: bias ? tensor("self_attn.v_proj.bias", keys) : nil,
            queryNorm: norm ? tensor("self_attn.q_norm.weight", configuration.headDim) : nil,
            keyNorm: norm ? tensor("self_attn.k_norm.weight", configuration.headDim) : nil)
    }

    /// Every tensor of the model, in the order of computation.
    package var tensors: [Tensor] { tensors(layers: configuration.allLayers) }

    /// The tensors of one sub-layer, numbered as in ``LayerSpan``, in the order of computation.
    package func sublayer(_ index: Int) -> [Tensor] {
        index & 1 == 0 ? layer(index >> 1).attention : layer(index >> 1).feedForward
    }

    /// What a stage with these layers reads, in the order of computation: none for no layers.
    package func tensors(layers: LayerSpan) -> [Tensor] {
        guard !layers.isEmpty else { return [] }
        let isLast = configuration.ends(with: layers)
        let embeds = configuration.begins(with: layers) || isLast && configuration.tiedEmbeddings
        return (embeds ? [embedding] : []) + layers.sublayers.flatMap { sublayer($0) } + (isLast ? [finalNorm] : [])
            + (isLast && !configuration.tiedEmbeddings ? [head] : [])
    }
}
