// Files that are damaged, contradictory or made to harm: each gets an error that names the place, nothing crashes.

import Foundation
import Testing
import Tokenizer

struct HostileFileTests {
    /// The smallest useful tokenizer: three tokens and a merge.
    private static let sound = #"""
        {"added_tokens": [{"id": 3, "content": "<s>", "special": true}], "normalizer": null,
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
         "post_processor": {"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
          "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
         "decoder": {"type": "ByteLevel"},
         "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
        """#

    private func load(_ text: String, config: String? = nil) throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write(text, "tokenizer.json")
        if let config { try folder.write(config, "tokenizer_config.json") }
        return try Tokenizer(directory: folder.path)
    }

    /// The error after `old` is replaced by `new` in the sound file.
    private func fault(_ old: String, _ new: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String
    {
        #expect(Self.sound.contains(old), sourceLocation: sourceLocation)
        do {
            _ = try load(Self.sound.replacing(old, with: new))
            Issue.record("no error", sourceLocation: sourceLocation)
            return ""
        } catch let error as TokenizerError {
            #expect(error.path.hasSuffix("tokenizer.json"), sourceLocation: sourceLocation)
            return error.description
        }
    }

    @Test func theSoundFileLoads() throws {
        let tokenizer = try load(Self.sound)
        #expect(tokenizer.encode("abba") == [3, 2, 1, 0])
        #expect(tokenizer.bosToken == 3)
        #expect(tokenizer.vocabularySize == 4)
        // Bytes without a token are dropped, as Hugging Face drops them.
        #expect(tokenizer.encode("axb", addSpecialTokens: false) == [2])
    }

    @Test func contradictionsAreNamed() throws {
        #expect(try fault(#""b": 1"#, #""b": 0"#).contains(#"model.vocab "b": has id 0, which belongs to "a""#))
        #expect(try fault(#""b": 1"#, #""b": -1"#).contains("has id -1"))
        #expect(try fault(#""b": 1"#, #""b": 4611686018427387904"#).contains("expected 0..<4194304"))
        #expect(try fault(#""b": 1"#, #""b": 1.5"#).contains("expected an integer id"))
        #expect(try fault(#""b": 1"#, #""b": 1, "b": 5"#).contains("occurs twice, as 1 and as 5"))
        #expect(try fault(#""a b"]"#, #""a c"]"#).contains(#"merge 0: names "c", which is not in the vocabulary"#))
        #expect(try fault(#""a b"]"#, #"["b", "a"]]"#).contains(#"merge 0: names "ba""#))
        #expect(try fault(#""a b"]"#, #""ab"]"#).contains("expected two tokens with a space between"))
        #expect(try fault(#""a b"]"#, #""a b c"]"#).contains("expected two tokens with a space between"))
        #expect(try fault(#""a b"]"#, #"["a"]]"#).contains(#"expected "a b" or ["a", "b"]"#))
        #expect(try fault(#""id": 3, "content""#, #""id": 1, "content""#).contains("which belongs to"))
        #expect(try fault(#""id": 3, "content""#, #""id": 9000000, "content""#).contains("has id 9000000"))
        #expect(try fault(#""content": "<s>""#, #""content": "a""#).contains("the vocabulary has the same text as 0"))
        #expect(try fault(#""content": "<s>""#, #""content": """#).contains("is empty"))
        let long = String(repeating: "<", count: 5000)
        #expect(try fault(#""content": "<s>""#, #""content": "\#(long)""#).contains("is 5000 bytes long"))
        #expect(try fault(#""ids": [3]"#, #""ids": [4]"#).contains("is 4, which no token has"))
        #expect(try fault(#""ids": [3]"#, #""ids": ["3"]"#).contains("expected integer ids"))
        #expect(try fault(#", {"Sequence": {"id": "A", "type_id": 0}}"#, "").contains("the text itself does not occur"))
        #expect(try fault(#""special_tokens": {"<s>""#, #""special_tokens": {"<t>""#).contains("has no ids"))
    }

    /// A file of a few hundred bytes makes no gigabytes of a prompt of a few.
    @Test func textsThatWouldGrowWithoutEndAreRefused() throws {
        func normalizer(_ parts: [String]) throws -> String {
            try fault(
                #""normalizer": null"#,
                #""normalizer": {"type": "Sequence", "normalizers": [\#(parts.joined(separator: ", "))]}"#)
        }
        func replace(_ pattern: String, _ content: String) -> String {
            #"{"type": "Replace", "pattern": \#(pattern), "content": "\#(content)"}"#
        }
        let twice = replace(#"{"String": "a"}"#, "aa")
        #expect(
            try normalizer([String](repeating: twice, count: 7))
                .contains("normalizer: may make 128 bytes of one, at most 64 are accepted"))
        #expect(try normalizer([String](repeating: twice, count: 32)).contains("may make 4294967296 bytes"))
        let much = String(repeating: "x", count: 64)
        #expect(try normalizer([replace(#"{"String": "a"}"#, much + "x")]).contains("may make 65 bytes"))
        #expect(try normalizer([replace(#"{"Regex": "b*"}"#, String(much.prefix(32)))]).contains("may make 65 bytes"))
        #expect(try normalizer([#"{"type": "Prepend", "prepend": "\#(much)"}"#]).contains("may make 65 bytes"))
        let pattern = String(repeating: "a", count: 257)
        #expect(
            try normalizer([replace(#"{"String": "\#(pattern)"}"#, "")])
                .contains("normalizers[0].pattern: 257 bytes, 1 to 256 are accepted"))
        // What SentencePiece's files say is far below that.
        let usual = [#"{"type": "Prepend", "prepend": "▁"}"#, replace(#"{"String": " "}"#, "▁"), #"{"type": "NFC"}"#]
        _ = try load(
            Self.sound.replacing(
                #""normalizer": null"#,
                with: #""normalizer": {"type": "Sequence", "normalizers": [\#(usual.joined(separator: ", "))]}"#))
        let ids = [String](repeating: "3", count: 32).joined(separator: ",")
        let three = [String](repeating: #"{"SpecialToken": {"id": "<s>", "type_id": 0}}"#, count: 3)
        let grown = Self.sound.replacing(#""ids": [3]"#, with: #""ids": [\#(ids)]"#).replacing(
            #"[{"SpecialToken": {"id": "<s>", "type_id": 0}}"#, with: "[" + three.joined(separator: ","))
        let error = #expect(throws: TokenizerError.self) { try load(grown) }
        #expect(error?.description.contains("puts 96 tokens around every text, at most 64 are accepted") == true)
    }

    @Test func missingMembersAreNamed() throws {
        #expect(try fault(#""vocab""#, #""vocabulary""#).contains("model.vocab: is missing"))
        #expect(try fault(#""merges""#, #""merge""#).contains("model.merges: is missing"))
        #expect(try fault(#""model""#, #""models""#).contains("model: is missing"))
        #expect(try fault(#""decoder""#, #""decode""#).contains("decoder: null is not supported"))
        #expect(try fault(#""vocab": {"a": 0, "b": 1, "ab": 2}"#, #""vocab": {}"#).contains("0 entries"))
        #expect(
            try fault(#""special": true"#, #""special": 1"#).contains("added_tokens[0].special: expected true or false")
        )
    }

    @Test func theUnsupportedIsNamedWithWhatIsSupported() throws {
        for type in ["WordPiece", "Unigram", "WordLevel"] {
            let text = try fault(#""type": "BPE""#, #""type": "\#(type)""#)
            #expect(text.contains("model.type: \(type) is not supported (supported: BPE)"))
        }
        let split = try fault(
            #""pre_tokenizer": {"type": "ByteLevel""#, #""pre_tokenizer": {"type": "BertPreTokenizer""#)
        #expect(split.contains("pre_tokenizer: BertPreTokenizer is not supported (supported: ByteLevel, Split"))
        #expect(try fault(#""normalizer": null"#, #""normalizer": {"type": "Lowercase"}"#).contains("supported: NFC"))
        #expect(try fault(#""type": "TemplateProcessing""#, #""type": "BertProcessing""#).contains("BertProcessing"))
        #expect(
            try fault(#""decoder": {"type": "ByteLevel"}"#, #""decoder": {"type": "WordPiece"}"#).contains("WordPiece"))
        #expect(try fault(#""decoder": {"type": "ByteLevel"}"#, #""decoder": {"type": "Fuse"}"#).contains("ByteLevel"))
        #expect(try fault(#""merges""#, #""end_of_word_suffix": "</w>", "merges""#).contains("end_of_word_suffix"))
        #expect(try fault(#""merges""#, #""dropout": 0.1, "merges""#).contains("dropout"))
        let sequence = #"{"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": []}]}"#
        #expect(try fault(#""normalizer": null"#, #""normalizer": \#(sequence)"#).contains("a nested Sequence"))
        func pattern(_ text: String) throws -> String {
            let split = #"{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "\#(text)"}}"#
            return try fault(
                #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#,
                #"{"type": "Sequence", "pretokenizers": [\#(split)]}"#)
        }
        #expect(try pattern("(").contains("the pattern does not compile"))
        let many = String(repeating: "(", count: 5000) + "a" + String(repeating: ")", count: 5000)
        #expect(try pattern(many).contains("the pattern does not compile"))
        #expect(try pattern("(((a{1,9999}){1,9999}){1,9999}){1,100001}").contains("the pattern does not compile"))
        #expect(try pattern("[z-a]").contains("the pattern does not compile"))
        #expect(try pattern(String(repeating: "a", count: 20_000)).contains("at most 16384"))
    }

    @Test func brokenJSONIsNamed() throws {
        for text in [
            "", "[]", "{", "{\"a\": }", "{\"a\": 1,}", "nul", "{} {}", "{\"a\": \"\\ud800\"}", "{\"a\": \"\\x\"}",
        ] {
            #expect(throws: TokenizerError.self, "\(text)") { try load(text) }
        }
        let deep = String(repeating: "[", count: 100_000)
        let error = #expect(throws: TokenizerError.self) { try load("{\"model\": " + deep) }
        #expect(error?.problem.contains("nested deeper") == true)
        let folder = try TemporaryDirectory()
        try folder.write([0x7B, 0xFF, 0x7D], "tokenizer.json")
        #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
        #expect(throws: TokenizerError.self) { try load(Self.sound, config: "{\"bos_token\": 3}") }
        let missing = #expect(throws: TokenizerError.self) { try load(Self.sound, config: "{\"bos_token\": \"<x>\"}") }
        #expect(missing?.place == "bos_token")
    }

    @Test func missingFilesAreNamed() throws {
        let folder = try TemporaryDirectory()
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
        #expect(error?.path.hasSuffix("tokenizer.json") == true)
        try folder.write("x", "tokenizer.model")
        let other = #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
        #expect(other?.fix?.contains("save_pretrained") == true)
    }

    /// Every way of cutting the file short, and a thousand damaged copies, load or fail; none crashes.
    @Test func damagedFilesFailOrLoad() throws {
        let bytes = Array(Self.sound.utf8)
        let folder = try TemporaryDirectory()
        func attempt(_ bytes: [UInt8]) throws -> Bool {
            try folder.write(bytes, "tokenizer.json")
            do throws(TokenizerError) {
                _ = try Tokenizer(directory: folder.path).encode("abc <s> xyz")
                return true
            } catch {
                return false
            }
        }
        for count in bytes.indices { #expect(try !attempt(Array(bytes[..<count]))) }
        var chance = Chance(state: 2)
        var loaded = 0
        for _ in 0..<1000 {
            var copy = bytes
            for _ in 0..<Int.random(in: 1...4, using: &chance) {
                let at = Int.random(in: copy.indices, using: &chance)
                switch Int.random(in: 0..<3, using: &chance) {
                case 0: copy[at] = UInt8.random(in: .min ... .max, using: &chance)
                case 1: copy.remove(at: at)
                default: copy.insert(copy.randomElement(using: &chance) ?? 0x22, at: at)
                }
            }
            if try attempt(copy) { loaded += 1 }
        }
        #expect(loaded > 0)
    }

    /// A pattern that backtracks without end is given up, and the text still becomes tokens.
    @Test func runawayPatterns() throws {
        let split = #"{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(?:a|a)*x"}}"#
        let level = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}"#
        let tokenizer = try load(
            Self.sound.replacing(
                #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#,
                with: #"{"type": "Sequence", "pretokenizers": [\#(split), \#(level)]}"#))
        // x has no token, so it is dropped.
        let text = String(repeating: "a", count: 100) + "bb"
        #expect(tokenizer.decode(tokenizer.encode(text + "x")) == text)
    }
}
