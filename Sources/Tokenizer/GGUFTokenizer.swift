// The vocabulary in a GGUF file, read into a definition.

internal import Checkpoint

/// Reads the `tokenizer.ggml.*` metadata that llama.cpp's converters write.
struct GGUFTokenizer {
    /// llama.cpp's `tokenizer.ggml.token_type`.
    private enum Kind: Int {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    private let file: GGUFFile

    init(_ file: GGUFFile) {
        self.file = file
    }

    /// The whole tokenizer, checked.
    func definition() throws(TokenizerError) -> TokenizerDefinition {
        let model = try require("tokenizer.ggml.model", "a string", \.string)
        switch model {
        case "gpt2": return try byteLevel()
        case "llama": return try sentencePiece()
        default:
            throw error("tokenizer.ggml.model", "\"\(model)\" is not supported", fix: "supported: gpt2, llama")
        }
    }

    private func error(_ place: String, _ problem: String, fix: String? = nil) -> TokenizerError {
        TokenizerError(path: file.path, place: place, problem: problem, fix: fix)
    }

    private func optional<T>(
        _ key: String, _ expected: String, _ convert: (GGUFValue) -> T?
    ) throws(TokenizerError) -> T? {
        do throws(CheckpointError) {
            return try file.value(key, expected, convert)
        } catch {
            throw TokenizerError(path: error.path, place: error.place, problem: error.problem, fix: error.fix)
        }
    }

    private func require<T>(
        _ key: String, _ expected: String, _ convert: (GGUFValue) -> T?
    ) throws(TokenizerError) -> T {
        guard let value = try optional(key, expected, convert) else {
            throw error(key, "is missing, expected \(expected)", fix: "give a GGUF file that holds a vocabulary")
        }
        return value
    }

    /// Tokens and what they are.
    private func vocabulary() throws(TokenizerError) -> (VocabularyBuilder, [Kind]) {
        let key = "tokenizer.ggml.tokens"
        let texts = try require(key, "an array of strings", \.strings)
        guard !texts.isEmpty, texts.count <= TokenizerLimits.tokens else {
            throw error(key, "\(texts.count) entries, expected 1 to \(TokenizerLimits.tokens)")
        }
        var vocabulary = VocabularyBuilder(path: file.path, capacity: texts.count)
        for (id, text) in texts.enumerated() {
            try vocabulary.add(Array(text.utf8), id: id, place: "\(key)[\(id)]")
        }
        let typeKey = "tokenizer.ggml.token_type"
        guard let codes = try optional(typeKey, "an array of integers", \.integers) else {
            return (vocabulary, [Kind](repeating: .normal, count: texts.count))
        }
        guard codes.count == texts.count else {
            throw error(typeKey, "\(codes.count) entries for \(texts.count) tokens")
        }
        var kinds: [Kind] = []
        for (id, code) in codes.enumerated() {
            guard let kind = Kind(rawValue: code) else {
                throw error("\(typeKey)[\(id)]", "expected 1 to 6, found \(code)")
            }
            kinds.append(kind)
        }
        return (vocabulary, kinds)
    }

    /// Control and user-defined tokens, which are matched as they stand.
    private func addedTokens(
        _ vocabulary: VocabularyBuilder, _ kinds: [Kind]
    ) throws(TokenizerError) -> [AddedToken] {
        let added = zip(vocabulary.texts, kinds).enumerated().compactMap { id, entry -> AddedToken? in
            guard let text = entry.0, !text.isEmpty else { return nil }
            switch entry.1 {
            case .control, .unknown: return AddedToken(id: Int32(id), content: text, isSpecial: true)
            case .userDefined: return AddedToken(id: Int32(id), content: text, isSpecial: false)
            case .normal, .unused, .byte: return nil
            }
        }
        let bytes = added.reduce(0) { $0 + $1.content.count }
        guard bytes <= TokenizerLimits.allAddedTokenBytes else {
            throw error(
                "tokenizer.ggml.token_type",
                "control and user-defined tokens of \(bytes) bytes, at most \(TokenizerLimits.allAddedTokenBytes) "
                    + "are accepted")
        }
        return added
    }

    private func token(_ name: String, in vocabulary: VocabularyBuilder) throws(TokenizerError) -> Int32? {
        let key = "tokenizer.ggml.\(name)_token_id"
        guard let id = try optional(key, "an integer", \.integer) else { return nil }
        return try vocabulary.existing(id, place: key)
    }

    /// Fills in what both kinds of vocabulary have in common.
    private func finish(
        _ definition: TokenizerDefinition, _ vocabulary: VocabularyBuilder, addsBOS: Bool
    ) throws(TokenizerError) -> TokenizerDefinition {
        var definition = definition
        definition.bosToken = try token("bos", in: vocabulary)
        definition.eosToken = try token("eos", in: vocabulary)
        definition.chatTemplates = try chatTemplates()
        for (name, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            guard let id = try token(key, in: vocabulary), let text = vocabulary.texts[Int(id)] else { continue }
            definition.templateTokens.append((name + "_token", text))
        }
        let wantsBOS = try optional("tokenizer.ggml.add_bos_token", "a boolean", \.boolean) ?? addsBOS
        let wantsEOS = try optional("tokenizer.ggml.add_eos_token", "a boolean", \.boolean) ?? false
        if wantsBOS, let bos = definition.bosToken { definition.prefix = [bos] }
        if wantsEOS, let eos = definition.eosToken { definition.suffix = [eos] }
        return definition
    }

    /// `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for each name in `tokenizer.chat_templates`.
    private func chatTemplates() throws(TokenizerError) -> [(name: String, text: String)] {
        let key = "tokenizer.chat_template"
        var templates: [(name: String, text: String)] = []
        if let text = try optional(key, "a string", \.string) { templates.append(("default", text)) }
        for name in file.metadata.keys.filter({ $0.hasPrefix(key + ".") }).sorted().prefix(32) {
            guard let text = try optional(name, "a string", \.string) else { continue }
            templates.append((String(name.dropFirst(key.count + 1)), text))
        }
        return templates.filter { !$0.text.allSatisfy(\.isWhitespace) }
    }

    // MARK: Byte-level

    private func style() throws(TokenizerError) -> GGUFPreTokenizer {
        let key = "tokenizer.ggml.pre"
        let name = try optional(key, "a string", \.string)
        guard let style = GGUFPreTokenizer(name) else {
            throw error(
                key, "\(VocabularyBuilder.quoted(Array((name ?? "").utf8))) is not supported",
                fix: "supported: \(GGUFPreTokenizer.names.joined(separator: ", "))")
        }
        return style
    }

    private func byteLevel() throws(TokenizerError) -> TokenizerDefinition {
        let (vocabulary, kinds) = try vocabulary()
        let style = try style()
        let list = try require("tokenizer.ggml.merges", "an array of strings", \.strings)
        guard list.count <= TokenizerLimits.merges else {
            throw error(
                "tokenizer.ggml.merges", "\(list.count) entries, at most \(TokenizerLimits.merges) are accepted")
        }
        var merges = MergeList(capacity: list.count)
        for (rank, text) in list.enumerated() {
            let (left, right) = try vocabulary.mergeParts(Array(text.utf8), rank: rank)
            merges.append(try vocabulary.merge(left, right, rank: rank))
        }
        var table = ByteTable(capacity: kinds.count)
        var tokens: [[UInt8]?] = []
        for (id, text) in vocabulary.texts.enumerated() {
            guard let text, kinds[id] == .normal || kinds[id] == .unused, let bytes = ByteLevelAlphabet.decode(text)
            else {
                tokens.append(text)
                continue
            }
            table.insert(bytes, Int32(id))
            tokens.append(bytes)
        }
        var patterns: [SplitPattern] = []
        for pattern in style.patterns {
            do throws(SplitPatternError) {
                patterns.append(try SplitPattern(pattern))
            } catch {
                throw self.error("tokenizer.ggml.pre", "its pattern does not compile: \(error.message)")
            }
        }
        let added = try addedTokens(vocabulary, kinds)
        let encoder = BytePairEncoder(
            vocabulary: table, units: .bytes((0..<256).map { table.find([UInt8($0)]) ?? -1 }),
            merges: merges.ranked(special: Set(added.filter(\.isSpecial).map(\.id))),
            takesWholePieces: style.takesWholePieces, unknown: nil, fusesUnknown: false)
        return try finish(
            TokenizerDefinition(
                path: file.path, tokens: tokens, addedTokens: added, normalizer: [],
                preTokenizer: PreTokenizer(patterns: patterns), encoder: encoder, leadingSpace: .keep, prefix: [],
                suffix: [], mergeBytes: merges.canonicalBytes), vocabulary, addsBOS: style.addsBOS)
    }

    // MARK: SentencePiece

    private static let space = Array("\u{2581}".utf8)

    /// Drops the spaces at both ends of a text, and of several in a row all but one.
    private func withoutNeedlessSpaces() throws(TokenizerError) -> [Rewrite] {
        do throws(SplitPatternError) {
            return [
                .replaceMatches(pattern: try SplitPattern(#"\A +| +\z"#), content: []),
                .replaceMatches(pattern: try SplitPattern(" {2,}"), content: [0x20]),
            ]
        } catch {
            throw self.error(
                "tokenizer.ggml.remove_extra_whitespaces", "its pattern does not compile: \(error.message)")
        }
    }

    private func sentencePiece() throws(TokenizerError) -> TokenizerDefinition {
        let (vocabulary, kinds) = try vocabulary()
        let key = "tokenizer.ggml.scores"
        let scores = try require(key, "an array of numbers", \.floats)
        guard scores.count == kinds.count else { throw error(key, "\(scores.count) entries for \(kinds.count) tokens") }
        guard let bytes = vocabulary.byteTokens(), !bytes.contains(-1) else {
            throw error(
                "tokenizer.ggml.tokens", "lacks some of the byte tokens <0x00> to <0xFF>",
                fix: "convert the model again")
        }
        var table = ByteTable(capacity: kinds.count)
        var tokens: [[UInt8]?] = []
        var byteTokens: Set<Int32> = []
        var mergeBytes: [UInt8] = []
        for (id, text) in vocabulary.texts.enumerated() {
            guard scores[id].isFinite else { throw error("\(key)[\(id)]", "is \(scores[id])") }
            mergeBytes.append(littleEndian: scores[id].bitPattern)
            guard let text else { continue }
            switch kinds[id] {
            case .normal, .unused, .userDefined:
                table.insert(text, Int32(id))
                tokens.append(Rewrite.replacing(Self.space, with: [0x20], in: text))
            case .byte:
                let byte = VocabularyBuilder.byte(of: text)
                if byte != nil { byteTokens.insert(Int32(id)) }
                tokens.append(byte.map { [$0] } ?? text)
            case .control, .unknown: tokens.append(text)
            }
        }
        let addsSpace = try optional("tokenizer.ggml.add_space_prefix", "a boolean", \.boolean) ?? true
        let escape = Rewrite.replace(pattern: [0x20], content: Self.space)
        let drops = try optional("tokenizer.ggml.remove_extra_whitespaces", "a boolean", \.boolean) ?? false
        let trim = drops ? try withoutNeedlessSpaces() : []
        let encoder = BytePairEncoder(
            vocabulary: table, units: .characters(fallback: bytes),
            merges: .scored(ScoredMerges(vocabulary: table, ranks: ScoredMerges.ranks(of: scores))),
            takesWholePieces: false, unknown: nil, fusesUnknown: false)
        return try finish(
            TokenizerDefinition(
                path: file.path, tokens: tokens, addedTokens: try addedTokens(vocabulary, kinds), normalizer: [],
                preTokenizer: PreTokenizer(rewrites: trim + (addsSpace ? [.prepend(Self.space), escape] : [escape])),
                encoder: encoder, leadingSpace: addsSpace ? .drop(1) : .keep, byteTokens: byteTokens, prefix: [],
                suffix: [], mergeBytes: mergeBytes), vocabulary, addsBOS: true)
    }
}
