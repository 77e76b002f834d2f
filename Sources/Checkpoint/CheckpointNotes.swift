// What a directory's tensors say that its configuration does not.

internal import Glibc

extension Checkpoint {
    /// Decides which head is used where config.json ties it to the embedding and the files have one all the same.
    ///
    /// A copy of the embedding is left out. Another head is used, as transformers 5 does, for somebody trained it; the
    /// configuration then says that the head is not tied.
    static func headNotes(_ tensors: [String: StoredTensor], _ shape: inout ModelConfiguration) -> [String] {
        let layout = TensorLayout(shape)
        guard shape.tiedEmbeddings, let head = tensors[TensorLayout.headName] else { return [] }
        if let embedding = tensors[layout.embedding.name], head.holdsTheSame(as: embedding) { return [] }
        shape.tiedEmbeddings = false
        return [
            "config.json says \"tie_word_embeddings\": true, and the files have a \(TensorLayout.headName) that is not "
                + "the embedding: that head is used"
        ]
    }

    /// Names tensors that the model's family has no use for; those that every reader leaves out are not worth a word.
    static func unusedNotes(_ tensors: [String: StoredTensor], _ shape: ModelConfiguration) -> [String] {
        var known = Set(TensorLayout(shape).tensors.map(\.name))
        known.formUnion(known.map(CompressedTensors.scaleName))
        known.insert(TensorLayout.headName)
        let unused = tensors.keys.filter { !known.contains($0) && !$0.hasSuffix(".rotary_emb.inv_freq") }.sorted()
        guard let first = unused.first else { return [] }
        let most = 8
        let names =
            unused.prefix(most).map { String($0.unicodeScalars.prefix(120)) }.joined(separator: ", ")
            + (unused.count > most ? " and so on" : "")
        return unused.count == 1
            ? ["the tensor \(String(first.unicodeScalars.prefix(120))) is not used by \(shape.family.rawValue) models"]
            : ["\(unused.count) tensors are not used by \(shape.family.rawValue) models: \(names)"]
    }
}

extension StoredTensor {
    /// Whether the other tensor has the same shape, type and bytes.
    fileprivate func holdsTheSame(as other: StoredTensor) -> Bool {
        guard shape == other.shape, typeName == other.typeName, bytes.count == other.bytes.count else { return false }
        return file.withBytes { mine in
            other.file.withBytes { theirs in
                guard let one = mine.baseAddress, let two = theirs.baseAddress else { return bytes.isEmpty }
                return memcmp(one + bytes.lowerBound, two + other.bytes.lowerBound, bytes.count) == 0
            }
        }
    }
}
