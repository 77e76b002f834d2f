// What goes into a model's fingerprint.

extension Checkpoint {
    /// The model's fingerprint: equal for models of the same shape and weights, different for others. The same weights in
    /// another type or format are others.
    ///
    /// BLAKE2b-256 over, in this order: the fields of the configuration that enter the arithmetic, one `name=value`
    /// line each; then for every tensor, by name: its name, element type and shape as one line, and a sample of its
    /// bytes. Of a tensor of up to 4096 bytes the sample is all of them, of a larger one 8 windows of 256 bytes, evenly
    /// spaced from its first byte to its last. So it is quick for files of any size; it tells models and versions apart,
    /// but does not notice every changed byte.
    public func fingerprint() throws(CheckpointError) -> Fingerprint {
        var sample: [UInt8] = []
        func add(_ line: String) { sample += Array((line + "\n").utf8) }

        for (name, value) in configuration.fingerprintFields { add("\(name)=\(value)") }
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            let shape = tensor.shape.map(String.init).joined(separator: "x")
            add("\(name) \(tensor.typeName) \(shape)")
            tensor.file.withBytes { file in
                let bytes = UnsafeRawBufferPointer(rebasing: file[tensor.bytes])
                if bytes.count <= 4096 {
                    sample += bytes
                } else {
                    for window in 0..<8 {
                        let first = (bytes.count - 256) / 7 * window
                        let start = window == 7 ? bytes.count - 256 : first
                        sample += bytes[start..<start + 256]
                    }
                }
            }
        }

        let digest = sample.withUnsafeBytes { Digest.blake2b($0) }
        guard let fingerprint = Fingerprint(bytes: digest) else {
            throw CheckpointError(path: path, place: "fingerprint", problem: "the digest has a wrong length")
        }
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
