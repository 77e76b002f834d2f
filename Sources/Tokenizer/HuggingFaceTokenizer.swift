// A tokenizer.json and its companions, read into a definition.

internal import Checkpoint
internal import Glibc

/// Reads what Hugging Face's `tokenizers` writes: a BPE model with its normalizer, pre-tokenizer and so on.
struct HuggingFaceTokenizer {
    private let file: JSONFile
    private let configuration: TokenizerConfiguration

    /// Reads `tokenizer.json` and, where they are, `tokenizer_config.json`, `special_tokens_map.json` and chat templates.
    init(directory: String) throws(TokenizerError) {
        let path = directory + "/tokenizer.json"
        if access(path, F_OK) != 0, access(directory + "/tokenizer.model", F_OK) == 0 {
            throw TokenizerError(
                path: directory, place: "tokenizer.model", problem: "a SentencePiece model without tokenizer.json",
                fix: "load it once with transformers' AutoTokenizer and save_pretrained, which writes tokenizer.json")
        }
        file = try JSONFile(path: path)
        configuration = try TokenizerConfiguration(directory: directory)
    }

    /// The whole tokenizer, checked.
    func definition() throws(TokenizerError) -> TokenizerDefinition {
        let normalizer = try file.normalizer()
        let split = try file.preTokenizer()
        try file.checkGrowth(
            of: normalizer + split.preTokenizer.rewrites, at: "normalizer", limit: TokenizerLimits.growth)
        let decoding = try file.decoder(isByteLevel: split.isByteLevel)
        var (vocabulary, merges) = try file.vocabularyAndMerges()
        let modelCount = vocabulary.texts.count
        let added = try file.addedTokens(&vocabulary)
        let special = Set(added.filter(\.isSpecial).map(\.id))
        let addedIds = Set(added.map(\.id))
        let tokens = vocabulary.texts.enumerated().map { id, text -> [UInt8]? in
            text.map { decoding.bytes(of: $0, isAdded: addedIds.contains(Int32(id))) }
        }
        var definition = TokenizerDefinition(
            path: file.path, tokens: tokens, addedTokens: added, normalizer: normalizer,
            preTokenizer: split.preTokenizer,
            encoder: try file.encoder(vocabulary, modelCount, merges, isByteLevel: split.isByteLevel, special: special),
            leadingSpace: decoding.leadingSpace, byteTokens: decoding.byteTokens(in: vocabulary), prefix: [],
            suffix: [],
            bosToken: try configuration.bosToken(in: vocabulary), eosToken: try configuration.eosToken(in: vocabulary),
            chatTemplates: configuration.chatTemplates, templateTokens: configuration.templateTokens,
            mergeBytes: merges.canonicalBytes)
        (definition.prefix, definition.suffix) = try file.postProcessor(vocabulary)
        if definition.bosToken == nil { definition.bosToken = definition.prefix.first }
        configuration.applyFlags(to: &definition)
        return definition
    }
}

extension JSONFile {
    /// The model's vocabulary and merges.
    fileprivate func vocabularyAndMerges() throws(TokenizerError) -> (VocabularyBuilder, MergeList) {
        let model = try require("model", of: root, at: "", "an object") { $0.object == nil ? nil : $0 }
        // Files from before 2021 do not name the type; only BPE has merges.
        let type = try optional("type", of: model, at: "model", "a string", \.text) ?? "BPE"
        guard type == "BPE" else { throw unsupported("model.type", type, supported: "BPE") }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            guard try optional(key, of: model, at: "model", "a string", \.text) ?? "" == "" else {
                throw unsupported("model.\(key)", "a prefix or suffix of words", supported: "null")
            }
        }
        if case .number(let rate)? = model["dropout"], rate > 0 {
            throw unsupported("model.dropout", "random dropout of merges", supported: "null")
        }
        let entries = try require("vocab", of: model, at: "model", "an object", \.object)
        guard !entries.isEmpty, entries.count <= TokenizerLimits.tokens else {
            throw error("model.vocab", "\(entries.count) entries, expected 1 to \(TokenizerLimits.tokens)")
        }
        var vocabulary = VocabularyBuilder(path: path, capacity: entries.count)
        for (text, value) in entries {
            guard let id = value.integer else {
                throw error("model.vocab \(VocabularyBuilder.quoted(text))", "expected an integer id")
            }
            try vocabulary.add(text, id: id, place: "model.vocab \(VocabularyBuilder.quoted(text))")
        }
        let list = try require("merges", of: model, at: "model", "an array", \.array)
        guard list.count <= TokenizerLimits.merges else {
            throw error("model.merges", "\(list.count) entries, at most \(TokenizerLimits.merges) are accepted")
        }
        var merges = MergeList(capacity: list.count)
        for (rank, value) in list.enumerated() {
            let (left, right) = try mergeParts(value, rank: rank, vocabulary)
            merges.append(try vocabulary.merge(left, right, rank: rank))
        }
        return (vocabulary, merges)
    }

    /// A merge as `"a b"` or as `["a", "b"]`.
    private func mergeParts(
        _ value: JSON, rank: Int, _ vocabulary: VocabularyBuilder
    ) throws(TokenizerError) -> (left: [UInt8], right: [UInt8]) {
        if let text = value.bytes { return try vocabulary.mergeParts(text, rank: rank) }
        guard let pair = value.array, pair.count == 2, let left = pair[0].bytes, let right = pair[1].bytes else {
            throw error("model.merges \(rank)", "expected \"a b\" or [\"a\", \"b\"]")
        }
        return (left, right)
    }

    /// The merging half; `modelCount` ids belong to the model, later ones only to added tokens.
    fileprivate func encoder(
        _ vocabulary: VocabularyBuilder, _ modelCount: Int, _ merges: MergeList, isByteLevel: Bool, special: Set<Int32>
    ) throws(TokenizerError) -> BytePairEncoder {
        let model = root["model"] ?? .null
        var table = ByteTable(capacity: modelCount)
        for id in 0..<modelCount {
            guard let text = vocabulary.texts[id], !special.contains(Int32(id)),
                let bytes = isByteLevel ? ByteLevelAlphabet.decode(text) : text
            else { continue }
            table.insert(bytes, Int32(id))
        }
        let unknown = try optional("unk_token", of: model, at: "model", "a string", \.bytes)
        let hasFallback = try flag("byte_fallback", of: model, at: "model", default: false)
        let units: BytePairEncoder.Units =
            isByteLevel
            ? .bytes((0..<256).map { table.find([UInt8($0)]) ?? -1 })
            : .characters(fallback: hasFallback ? vocabulary.byteTokens() : nil)
        var unknownId: Int32?
        if let unknown { unknownId = try vocabulary.id(of: unknown, place: "model.unk_token") }
        return BytePairEncoder(
            vocabulary: table, units: units, merges: merges.ranked(special: special),
            takesWholePieces: try flag("ignore_merges", of: model, at: "model", default: false), unknown: unknownId,
            fusesUnknown: try flag("fuse_unk", of: model, at: "model", default: false))
    }

    /// The added tokens, which join the vocabulary unless they are there already.
    fileprivate func addedTokens(_ vocabulary: inout VocabularyBuilder) throws(TokenizerError) -> [AddedToken] {
        let list = try optional("added_tokens", of: root, at: "", "an array", \.array) ?? []
        var seen: Set<Int32> = []
        var bytes = 0
        var tokens: [AddedToken] = []
        for (index, value) in list.enumerated() {
            let place = "added_tokens[\(index)]"
            let content = try require("content", of: value, at: place, "a string", \.bytes)
            let id = try require("id", of: value, at: place, "an integer", \.integer)
            guard !content.isEmpty else { throw error("\(place).content", "is empty") }
            bytes += content.count
            guard content.count <= TokenizerLimits.addedTokenBytes, bytes <= TokenizerLimits.allAddedTokenBytes else {
                throw error(
                    "\(place).content",
                    "is \(content.count) bytes long, at most \(TokenizerLimits.addedTokenBytes) are accepted, "
                        + "\(TokenizerLimits.allAddedTokenBytes) for all added tokens together")
            }
            if let known = vocabulary.ids.find(content) {
                guard Int(known) == id else {
                    throw error("\(place).id", "is \(id), but the vocabulary has the same text as \(known)")
                }
            } else {
                try vocabulary.add(content, id: id, place: place)
            }
            guard seen.insert(Int32(id)).inserted else { throw error(place, "occurs twice") }
            let isSpecial = try flag("special", of: value, at: place, default: false)
            tokens.append(
                AddedToken(
                    id: Int32(id), content: content, isSpecial: isSpecial,
                    stripsLeft: try flag("lstrip", of: value, at: place, default: false),
                    stripsRight: try flag("rstrip", of: value, at: place, default: false),
                    isSingleWord: try flag("single_word", of: value, at: place, default: false),
                    isNormalized: try flag("normalized", of: value, at: place, default: !isSpecial)))
        }
        return tokens
    }
}
