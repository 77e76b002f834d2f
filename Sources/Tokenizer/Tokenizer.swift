// The tokenizer of a model: text to token ids and back.

public import Checkpoint

/// Byte-pair encoding as a model's own files describe it: byte-level (GPT-2, Llama 3, Qwen 2) or SentencePiece-style
/// with byte fallback (Llama 2).
///
/// Reads `tokenizer.json` as Hugging Face's `tokenizers` writes it, and vocabularies in GGUF files. Immutable, so any
/// number of threads may use one.
public final class Tokenizer: Sendable {
    /// One more than the largest token id. A model's embedding may have more rows.
    public let vocabularySize: Int
    /// The token that begins a text, if the model has one.
    public let bosToken: Int32?
    /// The token that ends a text, if the tokenizer's files name one.
    public let eosToken: Int32?
    /// How conversations are written for this model; nil when its files say nothing of it, a failure when what they say
    /// cannot be read.
    public let chatTemplate: Result<ChatTemplate?, TokenizerError>
    /// A digest, in hexadecimal, of tokens, special marks and merges: two tokenizers with the same one give every text
    /// the same pieces and every piece the same id. A model and its speculator must agree on it.
    public let fingerprint: String

    let tokenText: TokenText
    /// Put before and after a text when special tokens are added.
    let prefix: [Int32]
    let suffix: [Int32]
    let encoder: TextEncoder

    /// Loads `tokenizer.json` from a model directory, with `tokenizer_config.json` and `chat_template.jinja` where
    /// they are. The error names the file, the member that is wrong and what is supported.
    public convenience init(directory: String) throws(TokenizerError) {
        self.init(try HuggingFaceTokenizer(directory: directory).definition())
    }

    /// Loads the tokenizer of a model that is a directory or a GGUF file, of a split one any part.
    public convenience init(modelPath path: String) throws(TokenizerError) {
        guard GGUFFile.isFile(path) else {
            try self.init(directory: path)
            return
        }
        let file: GGUFFile
        do throws(CheckpointError) {
            file = try GGUFParts(path: path).first
        } catch {
            throw TokenizerError(path: error.path, place: error.place, problem: error.problem, fix: error.fix)
        }
        try self.init(gguf: file)
    }

    /// Takes the vocabulary of a GGUF file: `tokenizer.ggml.model` "gpt2" or "llama".
    public convenience init(gguf: GGUFFile) throws(TokenizerError) {
        self.init(try GGUFTokenizer(gguf).definition())
    }

    private init(_ definition: TokenizerDefinition) {
        vocabularySize = definition.tokens.count
        bosToken = definition.bosToken
        eosToken = definition.eosToken
        prefix = definition.prefix
        suffix = definition.suffix
        fingerprint = definition.fingerprint
        chatTemplate =
            definition.chatTemplates.isEmpty
            ? .success(nil)
            : Result { () throws(TokenizerError) in
                try ChatTemplate(
                    definition.chatTemplates, specialTokens: definition.templateTokens, path: definition.path)
            }
        var added = definition.addedTokens
        let sources = definition.chatTemplates.map { Array($0.text.utf8) }
        for index in added.indices where !added[index].isSpecial {
            added[index].isTemplateMark = added[index].isWritten(in: sources)
        }
        tokenText = TokenText(
            definition.tokens, specialIds: Set(added.filter(\.isSpecial).map(\.id)),
            byteTokens: definition.byteTokens, leadingSpace: definition.leadingSpace)
        encoder = TextEncoder(
            normalizer: definition.normalizer, preTokenizer: definition.preTokenizer, encoder: definition.encoder,
            addedTokens: added)
    }

    /// The token ids of `text`.
    ///
    /// - Parameters:
    ///   - addSpecialTokens: put BOS (and what else the tokenizer's template says) around it. A text that begins with BOS
    ///     already, a rendered conversation for instance, gets nothing before it.
    ///   - parseSpecialTokens: take `<|eot_id|>` and the like in the text for the tokens they name. Without, they are
    ///     ordinary text and the result holds no special token but those added.
    public func encode(_ text: String, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true) -> [Int32] {
        let output = encoder.encode(Array(text.utf8), scope: parseSpecialTokens ? .all : .ordinary, isFirst: true)
        guard addSpecialTokens else { return output.ids }
        let around = specialTokens(around: output.ids)
        return around.before + output.ids + around.after
    }

    /// The special tokens that go before and after the ids of a text; none before one that begins with BOS already.
    public func specialTokens(around ids: [Int32]) -> (before: [Int32], after: [Int32]) {
        let hasBOS = bosToken.map { ids.first == $0 && prefix.contains($0) } ?? false
        return (hasBOS ? [] : prefix, suffix)
    }

    /// The tokens that end a text of a model: those of its configuration and the tokenizer's own.
    ///
    /// A model's files may name them in three places that do not agree. `generation_config.json` goes before
    /// `config.json`, for it says what generation is to do; the tokenizer's `eos_token` ends a text whatever they say.
    public func endTokens(of configuration: ModelConfiguration) -> [Int32] {
        guard let eosToken, !configuration.eosTokens.contains(eosToken) else { return configuration.eosTokens }
        return configuration.eosTokens + [eosToken]
    }

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD, ids that no token has become nothing.
    ///
    /// As in Hugging Face's library, of a run of tokens that stand for single bytes every one becomes U+FFFD unless the
    /// whole run is UTF-8.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = true) -> String {
        var reader = TokenReader(tokenText, skipsSpecial: skipSpecialTokens, isContinuation: false)
        var bytes: [UInt8] = []
        var run: [UInt8] = []
        for id in ids {
            switch reader.read(id) {
            case .nothing: continue
            case .byte(let byte): run += byte
            case .text(let text):
                bytes += StreamingDetokenizer.text(ofRun: &run).utf8
                bytes += text
            }
        }
        bytes += StreamingDetokenizer.text(ofRun: &run).utf8
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The most bytes that any token stands for: a text of n tokens has at most n times as many.
    public var longestToken: Int { tokenText.longest }

    /// The bytes a token stands for, which need not be whole characters; empty for an id that no token has.
    public func bytes(of id: Int32) -> [UInt8] {
        Array(tokenText[id])
    }

    /// Whether `id` is a special token, which decoding leaves out unless asked not to.
    public func isSpecial(_ id: Int32) -> Bool {
        id >= 0 && id < tokenText.count && tokenText.isSpecial[Int(id)]
    }
}
