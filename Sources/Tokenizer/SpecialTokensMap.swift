// special_tokens_map.json: which tokens begin and end a text, where tokenizer_config.json does not say.

internal import Checkpoint
internal import Glibc

/// The file that transformers wrote before it put all into tokenizer_config.json. It may be missing.
struct SpecialTokensMap {
    private let file: JSONFile?

    /// Reads the file if it is there.
    init(directory: String) throws(TokenizerError) {
        let path = directory + "/special_tokens_map.json"
        file = access(path, F_OK) == 0 ? try JSONFile(path: path) : nil
    }

    /// What stands in the file; null where there is none.
    var root: JSON { file?.root ?? .null }

    /// The id of the token under `key`, `eos_token` for instance; nil where there is none. Throws when the vocabulary
    /// lacks it.
    func id(_ key: String, in vocabulary: VocabularyBuilder) throws(TokenizerError) -> Int32? {
        guard let file,
            let text = try file.optional(
                key, of: file.root, at: "", "a string, or an object with content", { $0.bytes ?? $0["content"]?.bytes })
        else { return nil }
        guard let id = vocabulary.ids.find(text) else {
            throw file.error(
                key, "names \(VocabularyBuilder.quoted(text)), which tokenizer.json lacks",
                fix: "take both files from the same model")
        }
        return id
    }
}
