// The names and shapes of the tensors of a Llama checkpoint, as Hugging Face writes it.

/// The tensors a configuration asks for.
package struct LlamaLayout: Sendable {
    /// A tensor and the shape it must have.
    package struct Tensor: Sendable, Equatable {
        package var name: String
        package var shape: [Int]
    }

    /// The tensors of one layer. Linear weights are `[outputs, inputs]`.
    package struct Layer: Sendable {
        package var attentionNorm, query, key, value, attentionOutput: Tensor
        package var feedForwardNorm, gate, up, down: Tensor

        /// All of them, in the order of computation.
        package var tensors: [Tensor] {
            [attentionNorm, query, key, value, attentionOutput, feedForwardNorm, gate, up, down]
        }
    }

    private let configuration: ModelConfiguration

    package init(_ configuration: ModelConfiguration) { self.configuration = configuration }

    /// `[vocabulary, hidden]`.
    package var embedding: Tensor {
        Tensor(name: "model.embed_tokens.weight", shape: [configuration.vocabularySize, configuration.hiddenSize])
    }

    /// `[hidden]`.
    package var finalNorm: Tensor { Tensor(name: "model.norm.weight", shape: [configuration.hiddenSize]) }

    /// `[vocabulary, hidden]`: the embedding itself where they are tied.
    package var head: Tensor {
        configuration.tiedEmbeddings
            ? embedding
            : Tensor(name: "lm_head.weight", shape: [configuration.vocabularySize, configuration.hiddenSize])
    }

    /// The tensors of layer `index`.
    package func layer(_ index: Int) -> Layer {
        func tensor(_ name: String, _ shape: Int...) -> Tensor {
            Tensor(name: "model.layers.\(index).\(name).weight", shape: shape)
        }
        let hidden = configuration.hiddenSize
        let forward = configuration.feedForwardSize
        let queries = configuration.headCount * configuration.headDim
        let keys = configuration.kvHeadCount * configuration.headDim
        return Layer(
            attentionNorm: tensor("input_layernorm", hidden),
            query: tensor("self_attn.q_proj", queries, hidden),
            key: tensor("self_attn.k_proj", keys, hidden),
            value: tensor("self_attn.v_proj", keys, hidden),
            attentionOutput: tensor("self_attn.o_proj", hidden, queries),
            feedForwardNorm: tensor("post_attention_layernorm", hidden),
            gate: tensor("mlp.gate_proj", forward, hidden),
            up: tensor("mlp.up_proj", forward, hidden),
            down: tensor("mlp.down_proj", hidden, forward))
    }

    /// Every tensor of the model, in the order of computation.
    package var tensors: [Tensor] {
        [embedding] + (0..<configuration.layerCount).flatMap { layer($0).tensors } + [finalNorm]
            + (configuration.tiedEmbeddings ? [] : [head])
    }
}
