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
    /// The jinja text of the chat template.
    let chatTemplate: String?

    /// Largest chat template read, in bytes.
    private static let longestTemplate = 1 << 20

    /// Reads `tokenizer_config.json` and `chat_template.jinja`, which goes before the former's template.
    init(directory: String) throws(TokenizerError) {
        map = try SpecialTokensMap(directory: directory)
        let template = try Self.templateFile(directory + "/chat_template.jinja")
        let path = directory + "/tokenizer_config.json"
        guard access(path, F_OK) == 0 else {
            (file, bosText, eosText, addsBOS, addsEOS, chatTemplate) = (nil, nil, nil, nil, nil, template)
            return
        }
        let file = try JSONFile(path: path)
        self.file = file
        bosText = try file.optional("bos_token", of: file.root, at: "", Self.tokenForm, Self.tokenText)
        eosText = try file.optional("eos_token", of: file.root, at: "", Self.tokenForm, Self.tokenText)
        addsBOS = try file.optional("add_bos_token", of: file.root, at: "", "true or false", \.boolean)
        addsEOS = try file.optional("add_eos_token", of: file.root, at: "", "true or false", \.boolean)
        let own = try file.optional(
            "chat_template", of: file.root, at: "", "a string, or an array of {name, template}", Self.template)
        chatTemplate = template ?? own
    }

    private static let tokenForm = "a string, or an object with content"

    /// A token is given as a string or as an object.
    private static func tokenText(_ value: JSON) -> [UInt8]? {
        value.bytes ?? value["content"]?.bytes
    }

    /// One template, or the one called "default" of several, or the first.
    private static func template(_ value: JSON) -> String? {
        if let text = value.text { return text }
        guard let list = value.array, !list.isEmpty else { return nil }
        let chosen = list.first { $0["name"]?.text == "default" } ?? list[0]
        return chosen["template"]?.text
    }

    private static func templateFile(_ path: String) throws(TokenizerError) -> String? {
        guard access(path, F_OK) == 0 else { return nil }
        do throws(CheckpointError) {
            let mapped = try MappedFile(path: path)
            guard mapped.count <= longestTemplate else {
                throw CheckpointError(
                    path: path, place: "", problem: "\(mapped.count) bytes, at most \(longestTemplate) are accepted")
            }
            return mapped.withBytes { String(decoding: $0, as: UTF8.self) }
        } catch {
            throw TokenizerError(path: path, place: error.place, problem: error.problem, fix: error.fix)
        }
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
