// `tokenizer.ggml.pre`: every name that is accepted, and how each family of them cuts text.

import Checkpoint
import Foundation
import Testing
import Tokenizer

struct GGUFPreTokenizerTests {
    /// A vocabulary in which every stretch of `text` is a token and any two neighbours merge, so that the tokens are the
    /// pieces.
    private func tokenizer(_ text: String, pre: String?) throws -> Tokenizer {
        let alphabet = byteAlphabet()
        let written = text.utf8.map { alphabet[Int($0)] }
        var tokens = alphabet
        var known = Set(alphabet)
        var merges: [String] = []
        for count in stride(from: 2, through: written.count, by: 1) {
            for start in 0...(written.count - count) {
                let whole = written[start..<start + count].joined()
                guard known.insert(whole).inserted else { continue }
                tokens.append(whole)
                for cut in 1..<count {
                    merges.append(
                        written[start..<start + cut].joined() + " " + written[start + cut..<start + count].joined())
                }
            }
        }
        var writer = GGUFWriter()
        writer.add("tokenizer.ggml.model", "gpt2")
        writer.add("tokenizer.ggml.tokens", tokens)
        writer.add("tokenizer.ggml.token_type", tokens.map { _ in 1 } as [Int32])
        writer.add("tokenizer.ggml.merges", merges)
        writer.add("tokenizer.ggml.bos_token_id", UInt32(7))
        if let pre { writer.add("tokenizer.ggml.pre", pre) }
        let folder = try TemporaryDirectory()
        try folder.write(writer.bytes, "v.gguf")
        return try Tokenizer(gguf: GGUFFile(path: folder.path + "/v.gguf"))
    }

    private func pieces(_ text: String, _ pre: String?) throws -> [String] {
        let tokenizer = try tokenizer(text, pre: pre)
        return tokenizer.encode(text, addSpecialTokens: false).map { tokenizer.decode([$0]) }
    }

    @Test func everyNameIsAPatternThatCompiles() throws {
        let error = #expect(throws: TokenizerError.self) { try tokenizer("a", pre: "elvish") }
        let names = try #require(error?.fix?.split(separator: ": ").last).split(separator: ", ").map(String.init)
        #expect(names.count > 60 && error?.place == "tokenizer.ggml.pre")
        let common = [
            "llama-bpe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "starcoder", "refact", "command-r",
            "mpt",
            "bloom", "gpt-4o", "tekken", "smollm", "qwen2", "qwen35", "dbrx", "olmo", "jais", "glm4", "chatglm-bpe",
            "viking", "poro-chat", "minerva-7b", "exaone", "codeshell", "stablelm2", "superbpe", "seed-coder",
            "kimi-k2", "hunyuan", "llama4", "grok-2", "default",
        ]
        #expect(Set(common).subtracting(names) == [])
        let readme = try String(contentsOf: packageRoot.appendingPathComponent("README.md"), encoding: .utf8)
        for name in names { #expect(readme.contains("`\(name)`"), "README.md lists \(name)") }
        let text = "I'LL pay 12345 €, 中文 naïve\n\n  x"
        for name in names { #expect(try pieces(text, name).joined() == text, "\(name)") }
    }

    /// The cuts that tell the patterns apart.
    @Test(arguments: [
        ("gpt-2", "a12345 bc", ["a", "12345", " bc"]), ("llama-bpe", "a12345 bc", ["a", "123", "45", " bc"]),
        ("qwen2", "a12 bc", ["a", "1", "2", " bc"]), ("starcoder", "a12 bc", ["a", "1", "2", " bc"]),
        ("default", "a12345 b", ["a", "123", "45", " b"]), ("falcon", "a1234`b", ["a", "123", "4", "`", "b"]),
        ("gpt-2", "I'LL", ["I", "'", "LL"]), ("llama-bpe", "I'LL", ["I", "'LL"]), ("gpt-4o", "I'LL", ["I'LL"]),
        ("tekken", "I'LL", ["I", "'LL"]), ("tekken", "camelCase12", ["camel", "Case", "1", "2"]),
        ("gpt-4o", "camelCase123 ÀÉtat", ["camel", "Case", "123", " ÀÉtat"]), ("qwen2", "camelCase", ["camelCase"]),
        ("kimi-k2", "ab中文cd", ["ab", "中文", "cd"]), ("gpt-4o", "ab中文cd", ["ab中文cd"]),
        ("qwen2", "e\u{301}a", ["e", "\u{301}a"]), ("qwen35", "e\u{301}a", ["e\u{301}a"]),
        ("superbpe", "1234567 of", ["1", "234", "567", " of"]), ("bloom", "so, it", ["so", ",", " it"]),
        ("viking", "so 12", ["so", " ", "1", "2"]), ("deepseek-coder", "a1 中b\n", ["a", "1", " ", "中", "b", "\n"]),
        ("deepseek-llm", "a12 中b ", ["a", "12", " ", "中", "b", " "]),
        ("deepseek-v3", "a1234中b", ["a", "123", "4", "中", "b"]),
        ("deepseek-v3", "(ab", ["(ab"]), ("llama-bpe", "(ab", ["(ab"]), ("seed-coder", "#\n", ["#", "\n"]),
        ("qwen2", "#\n", ["#\n"]), ("command-r", "a\n\nb", ["a", "\n", "\n", "b"]),
        ("gpt-4o", "a/\n/b", ["a", "/\n/", "b"]),
        ("chameleon", "IMGIMGABZx", ["IMGIMGABZ", "x"]), ("bailingmoe", "a\n\n b", ["a", "\n\n", " b"]),
    ])
    func textIsCutAsTheModelsWere(name: String, text: String, expected: [String]) throws {
        #expect(try pieces(text, name).map { Array($0.utf8) } == expected.map { Array($0.utf8) }, "\(name)")
    }

    @Test func someAddBOSByThemselves() throws {
        for (name, adds) in [
            ("llama-bpe", true), ("tekken", true), ("qwen2", false), ("gpt-4o", false), ("smollm", false),
        ] {
            let first = try tokenizer("ab", pre: name).encode("ab").first
            #expect((first == 7) == adds, "\(name)")
        }
    }
}
