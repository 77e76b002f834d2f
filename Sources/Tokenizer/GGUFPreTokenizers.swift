// What `tokenizer.ggml.pre` stands for: GGUF files name the pattern that splits text, and don't hold it.

/// How a byte-level vocabulary of a GGUF file splits text. The names are llama.cpp's, the patterns those of the models'
/// own tokenizer.json.
struct GGUFPreTokenizer {
    /// Each is applied inside the pieces that the one before left.
    var patterns: [String]
    /// A piece that is in the vocabulary is that token, whatever the merges say.
    var takesWholePieces = false
    /// Whether BOS is put before a text where the file does not say.
    var addsBOS = false

    /// The one called `name`; a file without a name has "default".
    init?(_ name: String?) {
        guard let found = Self.known[name ?? "default"] else { return nil }
        self = found
    }

    private init(_ patterns: String..., takesWholePieces: Bool = false, addsBOS: Bool = false) {
        self.patterns = patterns
        self.takesWholePieces = takesWholePieces
        self.addsBOS = addsBOS
    }

    /// All names, for messages.
    static let names = known.keys.sorted()

    private static let known: [String: GGUFPreTokenizer] = {
        var known: [String: GGUFPreTokenizer] = [:]
        for (names, style) in styles { for name in names { known[name] = style } }
        return known
    }()

    private static let styles: [([String], GGUFPreTokenizer)] = [
        (["default"], .init(#"[\p{P}\$\+<=>\^~\|]+"#, SplitPattern.gpt2, #"\p{N}+"#, #"[0-9][0-9][0-9]"#)),
        (
            ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
            .init(SplitPattern.llama3, takesWholePieces: true, addsBOS: true)
        ),
        (["dbrx", "smaug-bpe", "chatglm-bpe"], .init(SplitPattern.llama3)),
        (["glm4", "glm5"], .init(SplitPattern.llama3, takesWholePieces: true)),
        (
            ["minicpm5"],
            .init(#"\p{N}{1,3}"#, SplitPattern.llama3.replacing("{1,3}", with: "+"), takesWholePieces: true)
        ),
        (
            ["jais-2"],
            .init(
                SplitPattern.contractions
                    + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)"#
                    + #"|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)"#
                    + #"|\s{1,2}(?!\S)|\s{1}"#)
        ),
        (
            [
                "gpt-2", "mpt", "olmo", "jais", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de",
                "a.x-4.0", "mellum", "modern-bert", "exaone4", "trillion", "granite-docling",
            ], .init(SplitPattern.gpt2)
        ),
        (
            ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
            .init(#"\p{N}"#, SplitPattern.gpt2)
        ),
        (
            [
                "qwen2", "deepseek-r1-qwen", "kormo", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2",
                "f2llmv2",
            ], .init(SplitPattern.qwen2)
        ),
        (["qwen35"], .init(qwen35)),
        (["laguna"], .init(#"[^\n]+|[\n]+"#, SplitPattern.qwen2)),
        (["falcon"], .init(#"[\p{P}\$\+<=>\^~\|`]+"#, SplitPattern.gpt2, #"[0-9][0-9][0-9]"#)),
        (["bloom", "poro-chat", "gpt3-finnish"], .init(bloom)),
        (["viking"], .init(bloom, #"\p{N}"#)),
        (
            ["tekken"],
            .init(cased(contractions: "", digits: 1, tail: #"[\r\n/]*"#), takesWholePieces: true, addsBOS: true)
        ),
        (
            ["gpt-4o", "llama4", "minimax-m2", "kanana2", "talkie"],
            .init(cased(contractions: SplitPattern.contractions + "?", digits: 3, tail: #"[\r\n/]*"#))
        ),
        (["kimi-k2"], .init(kimi)),
        (["superbpe"], .init(#"\p{N}+"#, SplitPattern.digitTriples)),
        (
            ["bailingmoe", "bailingmoe2", "llada-moe"],
            .init(
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
            )
        ),
        (
            ["seed-coder"],
            .init(
                SplitPattern.contractions
                    + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"#)
        ),
        (
            ["exaone-moe"],
            .init(
                SplitPattern.contractions
                    + #"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]"#
                    + #"|\s+(?!\S)|\s+"#)
        ),
        (
            ["deepseek-coder"],
            .init(
                #"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#,
                #"\p{N}"#)
        ),
        (
            ["deepseek-llm"],
            .init(
                #"[\r\n]"#, deepseekLetters,
                #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"#, #"\s+$"#,
                #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#,
                #"\p{N}+"#)
        ),
        (
            ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
            .init(#"\p{N}{1,3}"#, #"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"#, deepseek3)
        ),
        (
            ["youtu"],
            .init(
                #"[\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[！…“”‘’—：；，\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+"#
                    + #"|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"#,
                cased(contractions: SplitPattern.contractions + "?", digits: 1, tail: #"[\r\n/]*"#),
                takesWholePieces: true)
        ),
        (
            ["chameleon"],
            .init(
                #"<sentinel:[0-9]+>"#, #"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"#, #"([\t\n]|    |  )"#, #"\p{N}"#,
                #"[\p{P}!-/:-@\[-`{-~]"#, SplitPattern.gpt2, addsBOS: true)
        ),
    ]

    /// Qwen 3.5: marks belong to the word.
    private static let qwen35 =
        SplitPattern.contractions
        + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private static let bloom = #" ?[^(\s|.,!?…。，、।۔،)]+"#

    /// Words are cut before a capital, contractions go with the word: GPT-4o's pattern and its kin.
    private static func cased(contractions: String, digits: Int, tail: String) -> String {
        let (upper, lower) = (#"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#)
        return #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + contractions + #"|[^\r\n\p{L}\p{N}]?"# + upper + "+"
            + lower + "*" + contractions + #"|\p{N}"# + (digits > 1 ? "{1,\(digits)}" : "") + #"| ?[^\s\p{L}\p{N}]+"#
            + tail
            + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// GPT-4o's, with Chinese characters by themselves.
    private static let kimi: String = {
        let (upper, lower) = (
            #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
        )
        return #"\p{Han}+|[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + SplitPattern.contractions
            + #"?|[^\r\n\p{L}\p{N}]?"# + upper + "+" + lower + "*" + SplitPattern.contractions
            + #"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }()

    private static let deepseek3 =
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"##
        + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// The alphabets that have capitals.
    private static let deepseekLetters: String =
        #"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"#
        + #"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}"#
        + #"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"#
        + #"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"#
        + #"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}"#
        + #"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}"#
        + #"\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"#
        + #"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}"#
        + #"\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}"#
        + #"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}"#
        + #"\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}"#
        + #"\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}"#
        + #"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}"#
        + #"\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+"#
}
