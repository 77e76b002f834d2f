// What goes into a model's fingerprint.

internal import Synchronization

extension Checkpoint {
    /// The model's fingerprint: equal for models of the same shape and weights, different for others. The same weights in
    /// another type or format are others. A part of a model has the whole model's.
    ///
    /// BLAKE2b-256 over, in this order: the fields of the configuration that enter the arithmetic, one `name=value`
    /// line each; then for every tensor, by name, one line: its name, element type and shape, and the BLAKE2b-256 of a
    /// sample of its bytes. Of a tensor of up to 4096 bytes the sample is all of them, of a larger one 8 windows of 256
    /// bytes, evenly spaced from its first byte to its last. So it is quick for files of any size; it tells models and
    /// versions apart, but does not notice every changed byte.
    ///
    /// - Throws: for a part with a tensor that is not the one of the model it was split from.
    public func fingerprint() throws(CheckpointError) -> Fingerprint {
        if let known = knownFingerprint.withLock({ $0 }) { return known }
        var digests = tensors.mapValues { TensorDigest($0) }
        if let part {
            if let name = digests.keys.sorted().first(where: { digests[$0] != part.tensors[$0] }) {
                throw CheckpointError(
                    path: path, place: name,
                    problem: "the tensor is not that of the model which \(ModelPart.fileName) says this is a part of",
                    fix: "files of different models are mixed, or were changed: split the model again")
            }
            digests = part.tensors
        }
        var lines = configuration.fingerprintFields.map { "\($0)=\($1)\n" }
        lines += digests.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }
        let digest = Array(lines.joined().utf8).withUnsafeBytes { Digest.blake2b($0) }
        guard let fingerprint = Fingerprint(bytes: digest) else {
            throw CheckpointError(path: path, place: "fingerprint", problem: "the digest has a wrong length")
        }
        knownFingerprint.withLock { $0 = fingerprint }
        return fingerprint
    }
}

extension ModelConfiguration {
    /// The fields that enter the arithmetic. Which tokens begin and end a text does not.
    fileprivate var fingerprintFields: [(String, String)] {
        let scaling =
            switch ropeScaling {
            case nil: "none"
            case .linear(let factor): "linear \(factor)"
            case .factors(let factors): "factors \(factors)"
            case .llama3(let factor, let low, let high, let context): "llama3 \(factor) \(low) \(high) \(context)"
            }
        let window = slidingWindow.map { "\($0.size) in \($0.layers.sorted())" } ?? "none"
        return [
            ("family", family.rawValue), ("vocabulary", "\(vocabularySize)"), ("hidden", "\(hiddenSize)"),
            ("feed_forward", "\(feedForwardSize)"), ("layers", "\(layerCount)"), ("heads", "\(headCount)"),
            ("kv_heads", "\(kvHeadCount)"), ("head_dim", "\(headDim)"), ("context", "\(contextLength)"),
            ("epsilon", "\(normEpsilon)"), ("theta", "\(ropeTheta)"), ("scaling", scaling),
            ("window", window), ("attention_bias", "\(hasAttentionBias)"), ("query_key_norm", "\(hasQueryKeyNorm)"),
            ("tied", "\(tiedEmbeddings)"),
        ]
    }
}
