// tokenizer_config.json: which tokens begin and end a text, and the chat template.

internal import Checkpoint
internal import Glibc

/// What transformers keeps beside tokenizer.json. All of it may be missing.
struct TokenizerConfiguration {
    private let file: JSONFile?
    private let bosText: [UInt8]?
    private let eosText: [UInt8]?
    private let addsBOS: Bool?
    private let addsEOS: Bool?
    private let map: SpecialTokensMap
    /// Chat templates by name.
    let chatTemplates: [(name: String, text: String)]
    /// The special tokens that templates are given, by their names there.
    let templateTokens: [(name: String, text: [UInt8])]

    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and the files of chat templates, which go before the
    /// former's template.
    init(directory: String) throws(TokenizerError) {
        map = try SpecialTokensMap(directory: directory)
        let templates = try TemplateFiles.read(in: directory)
        let path = directory + "/tokenizer_config.json"
        guard access(path, F_OK) == 0 else {
            (file, bosText, eosText, addsBOS, addsEOS) = (nil, nil, nil, nil, nil)
            chatTemplates = templates
            templateTokens = Self.templateTokens([map.root])
            return
        }
        let file = try JSONFile(path: path)
        self.file = file
        bosText = try file.optional("bos_token", of: file.root, at: "", Self.tokenForm, Self.tokenText)
        eosText = try file.optional("eos_token", of: file.root, at: "", Self.tokenForm, Self.tokenText)
        addsBOS = try file.optional("add_bos_token", of: file.root, at: "", "true or false", \.boolean)
        addsEOS = try file.optional("add_eos_token", of: file.root, at: "", "true or false", \.boolean)
        let own = try file.optional(
            "chat_template", of: file.root, at: "", "a string, or an array of {name, template}", Self.templates)
        chatTemplates = templates.isEmpty ? own ?? [] : templates
        templateTokens = Self.templateTokens([file.root, map.root])
    }

    /// transformers' names of special tokens.
    private static let tokenNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Each special token as the first of the files has it that names it, and those a model has names of its own for.
    private static func templateTokens(_ files: [JSON]) -> [(name: String, text: [UInt8])] {
        var tokens: [(name: String, text: [UInt8])] = []
        func add(_ name: String, _ value: JSON?) {
            guard let text = value.flatMap(tokenText), !tokens.contains(where: { $0.name == name }) else { return }
            tokens.append((name, text))
        }
        for name in tokenNames {
            // A null is an answer too: the model has no such token.
            let says = files.first { file in
                file.object?.contains { $0.key.elementsEqual(name.utf8) } ?? false
            }
            add(name, says?[name])
        }
        for file in files {
            for member in ["extra_special_tokens", "model_specific_special_tokens"] {
                for (name, value) in (file[member]?.object ?? []).prefix(64) {
                    add(String(decoding: name, as: UTF8.self), value)
                }
            }
        }
        return tokens
    }

    private static let tokenForm = "a string, or an object with content"

    /// A token is given as a string or as an object.
    private static func tokenText(_ value: JSON) -> [UInt8]? {
        value.bytes ?? value["content"]?.bytes
    }

    /// One template, or several with names.
    private static func templates(_ value: JSON) -> [(name: String, text: String)]? {
        if let text = value.text { return text.allSatisfy(\.isWhitespace) ? [] : [("default", text)] }
        guard let list = value.array, list.count <= 32 else { return nil }
        var templates: [(name: String, text: String)] = []
        for entry in list {
            guard let name = entry["name"]?.text, let text = entry["template"]?.text else { return nil }
            templates.append((name, text))
        }
        return templates
    }

    /// The id of the BOS token; throws when the vocabulary lacks it.
    func bosToken(in vocabulary: VocabularyBuilder) throws(TokenizerError) -> Int32? {
        try id(of: bosText, "bos_token", in: vocabulary)
    }

    /// The id of the EOS token; throws when the vocabulary lacks it.
    func eosToken(in vocabulary: VocabularyBuilder) throws(TokenizerError) -> Int32? {
        try id(of: eosText, "eos_token", in: vocabulary)
    }

    private func id(
        of text: [UInt8]?, _ key: String, in vocabulary: VocabularyBuilder
    ) throws(TokenizerError) -> Int32? {
        guard let text, let file else { return try map.id(key, in: vocabulary) }
        guard let id = vocabulary.ids.find(text) else {
            throw file.error(
                key, "names \(VocabularyBuilder.quoted(text)), which tokenizer.json lacks",
                fix: "take both files from the same model")
        }
        return id
    }

    /// `add_bos_token` and `add_eos_token`, where given, go before the post-processor, as in transformers.
    func applyFlags(to definition: inout TokenizerDefinition) {
        if let bos = definition.bosToken, let addsBOS, (definition.prefix.first == bos) != addsBOS {
            if addsBOS { definition.prefix.insert(bos, at: 0) } else { definition.prefix.removeFirst() }
        }
        if let eos = definition.eosToken, let addsEOS, (definition.suffix.last == eos) != addsEOS {
            if addsEOS { definition.suffix.append(eos) } else { definition.suffix.removeLast() }
        }
    }
}
