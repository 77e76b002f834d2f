// The tokenizer of synthetic models: one token per byte, two marks, and tokens that no text gives.

/// The files of a byte-level BPE tokenizer without merges, in the format of Hugging Face's tokenizers library.
enum SyntheticTokenizer {
    /// Begins a text.
    static let beginToken: Int32 = 256
    /// Ends a text.
    static let endToken: Int32 = 257
    /// 256 bytes and the two marks.
    static let smallestVocabulary = 258

    private static let begin = "<|begin_of_text|>"
    private static let end = "<|end_of_text|>"

    /// The tokens by id: id = byte value, then the marks, then `<|unused_258|>` and so on.
    static func tokens(vocabularySize: Int) -> [String] {
        byteCharacters.map(String.init) + [begin, end]
            + (smallestVocabulary..<max(vocabularySize, smallestVocabulary)).map { "<|unused_\($0)|>" }
    }

    /// The contents of tokenizer.json.
    static func tokenizer(vocabularySize: Int) -> JSONValue {
        var vocabulary: [String: JSONValue] = [:]
        for (id, token) in tokens(vocabularySize: vocabularySize).enumerated() { vocabulary[token] = .integer(id) }
        func byteLevel(_ extra: [String: JSONValue] = [:]) -> JSONValue {
            .object(
                ["type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true)]
                    .merging(extra) { $1 })
        }
        func piece(_ kind: String, _ id: String, _ type: Int) -> JSONValue {
            .object([kind: .object(["id": .string(id), "type_id": .integer(type)])])
        }
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null, "normalizer": .null,
            "added_tokens": .array([added(begin, beginToken), added(end, endToken)]),
            "pre_tokenizer": byteLevel(["use_regex": .bool(true)]),
            "decoder": byteLevel(["use_regex": .bool(true)]),
            "post_processor": .object([
                "type": .string("TemplateProcessing"),
                "single": .array([piece("SpecialToken", begin, 0), piece("Sequence", "A", 0)]),
                "pair": .array([
                    piece("SpecialToken", begin, 0), piece("Sequence", "A", 0), piece("SpecialToken", begin, 1),
                    piece("Sequence", "B", 1),
                ]),
                "special_tokens": .object([
                    begin: .object([
                        "id": .string(begin), "ids": .array([.integer(Int(beginToken))]),
                        "tokens": .array([.string(begin)]),
                    ])
                ]),
            ]),
            "model": .object([
                "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": .bool(false), "byte_fallback": .bool(false),
                "ignore_merges": .bool(false), "vocab": .object(vocabulary), "merges": .array([]),
            ]),
        ])
    }

    /// The contents of tokenizer_config.json.
    static func configuration(contextLength: Int) -> JSONValue {
        .object([
            "tokenizer_class": .string("PreTrainedTokenizerFast"), "bos_token": .string(begin),
            "eos_token": .string(end), "model_max_length": .integer(contextLength),
            "clean_up_tokenization_spaces": .bool(false),
        ])
    }

    private static func added(_ content: String, _ id: Int32) -> JSONValue {
        .object([
            "id": .integer(Int(id)), "content": .string(content), "single_word": .bool(false), "lstrip": .bool(false),
            "rstrip": .bool(false), "normalized": .bool(false), "special": .bool(true),
        ])
    }

    /// The character that stands for each byte in byte-level vocabularies (GPT-2): printable Latin-1 characters stand for
    /// themselves, the other bytes get characters from U+0100 on, in order.
    private static let byteCharacters: [Character] = {
        var next: UInt32 = 0x100
        return (0..<256).map { (byte: UInt32) in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
                return Character(Unicode.Scalar(UInt8(byte)))
            default:
                defer { next += 1 }
                return Unicode.Scalar(next).map(Character.init) ?? " "
            }
        }
    }()
}
