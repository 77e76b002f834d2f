// Vocabularies in GGUF files: llama.cpp's own test vectors, and small vocabularies made here.

import Checkpoint
import Foundation
import Testing
import Tokenizer

/// Vocabularies with test vectors beside them, as llama.cpp has them in its folder `models`.
private let vectors =
    ProcessInfo.processInfo.environment["WINNOW_GGML_VOCAB"].map { URL(fileURLWithPath: $0) }
    ?? shared.appendingPathComponent("data/tokenizers/ggml-vocab")
private let vocabularies: [String] = {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: vectors.path)) ?? []
    let others = ["bert-bge", "gemma-4"]  // no byte-pair encoding, or one that is not read
    return files.filter { $0.hasPrefix("ggml-vocab-") && $0.hasSuffix(".gguf.inp") }
        .map { String($0.dropFirst(11).dropLast(9)) }.filter { !others.contains($0) }.sorted()
}()
private let hasVectors = vocabularies.contains("llama-bpe")

struct GGUFVocabularyTests {
    @Test(
        .enabled(if: hasVectors, "needs the llama.cpp vocabularies: set WINNOW_SHARED to the shared data folder"),
        arguments: vocabularies)
    func llamaCppVectors(name: String) throws {
        let path = vectors.appendingPathComponent("ggml-vocab-\(name).gguf").path
        let tokenizer = try Tokenizer(gguf: GGUFFile(path: path))
        let texts = try String(contentsOfFile: path + ".inp", encoding: .utf8)
            .components(separatedBy: "\n__ggml_vocab_test__\n").dropLast()
        let lines = try String(contentsOfFile: path + ".out", encoding: .utf8).components(separatedBy: "\n").dropLast()
        #expect(texts.count >= 46)
        #expect(texts.count == lines.count)
        for (text, line) in zip(texts, lines) {
            let expected = line.split(separator: " ").compactMap { Int32($0) }
            #expect(tokenizer.encode(text, addSpecialTokens: false) == expected, "\(text.debugDescription)")
            #expect(Array(tokenizer.decode(expected).utf8) == Array(text.utf8))
        }
    }

    @Test(.enabled(if: hasVectors, "needs the llama.cpp vocabularies: set WINNOW_SHARED to the shared data folder"))
    func beginningOfText() throws {
        func ids(_ name: String) throws -> [Int32] {
            let path = vectors.appendingPathComponent("ggml-vocab-\(name).gguf").path
            return try Tokenizer(gguf: GGUFFile(path: path)).encode("<s><|eot_id|>")
        }
        #expect(try ids("llama-bpe").first == 128_000)
        #expect(try ids("llama-bpe").last == 128_009)
        // The text has a BOS of its own.
        #expect(try ids("llama-spm").prefix(2) != [1, 1] && ids("llama-spm").first == 1)
        #expect(try ids("gpt-2").contains(50_256) == false)
    }

    /// A SentencePiece vocabulary: unknown, BOS, EOS, the bytes, then `pieces` with scores that fall with the place.
    private func sentencePiece(_ pieces: [String], _ change: (inout GGUFWriter) -> Void = { _ in }) throws -> Tokenizer
    {
        var writer = GGUFWriter()
        let bytes = (0..<256).map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }
        let tokens = ["<unk>", "<s>", "</s>"] + bytes + pieces
        writer.add("tokenizer.ggml.model", "llama")
        writer.add("tokenizer.ggml.tokens", tokens)
        writer.add("tokenizer.ggml.scores", tokens.indices.map { Float($0 < 259 ? 0 : 259 - $0) })
        writer.add(
            "tokenizer.ggml.token_type", tokens.indices.map { $0 == 0 ? 2 : $0 < 3 ? 3 : $0 < 259 ? 6 : 1 } as [Int32])
        writer.add("tokenizer.ggml.bos_token_id", UInt32(1))
        change(&writer)
        let folder = try TemporaryDirectory()
        try folder.write(writer.bytes, "v.gguf")
        return try Tokenizer(gguf: GGUFFile(path: folder.path + "/v.gguf"))
    }

    @Test func bestScoreMergesFirst() throws {
        // "bc" scores better than "ab", so "abc" is a + bc although "ab" stands further left.
        let tokenizer = try sentencePiece(["\u{2581}", "a", "b", "c", "bc", "ab", "\u{2581}a"])
        let start: Int32 = 259
        func pieces(_ text: String) -> [Int32] { tokenizer.encode(text, addSpecialTokens: false).map { $0 - start } }
        #expect(pieces("abc") == [6, 4])
        #expect(pieces("ab") == [0, 5])
        #expect(pieces("cab") == [0, 3, 5])
        // Bytes that are no token: é is C3 A9.
        let bytes: [Int32] = [1, start, 0xC6, 0xAC]  // byte tokens begin at id 3
        #expect(tokenizer.encode("é") == bytes)
        #expect(tokenizer.decode(tokenizer.encode("é c")) == "é c")
    }

    @Test func controlTokensNeverComeFromText() throws {
        // "</s>" could be merged from these pieces.
        let tokenizer = try sentencePiece(["\u{2581}", "<", "/", "s", ">", "</", "s>", "<s", "</s"])
        let ids = tokenizer.encode("</s><s>", addSpecialTokens: false, parseSpecialTokens: false)
        #expect(!ids.contains { tokenizer.isSpecial($0) })
        #expect(tokenizer.decode(ids) == "</s><s>")
        #expect(tokenizer.encode("</s>", addSpecialTokens: false) == [2])
    }

    @Test func withoutSpacePrefix() throws {
        let tokenizer = try sentencePiece(["\u{2581}", "a"]) { $0.add("tokenizer.ggml.add_space_prefix", false) }
        #expect(tokenizer.encode("a a", addSpecialTokens: false) == [260, 259, 260])
        #expect(tokenizer.decode([259, 260]) == " a")
    }

    @Test func withoutNeedlessSpaces() throws {
        let tokenizer = try sentencePiece(["\u{2581}", "a", "\u{2581}a"]) {
            $0.add("tokenizer.ggml.remove_extra_whitespaces", true)
        }
        let (space, a, spaced): (Int32, Int32, Int32) = (259, 260, 261)
        func ids(_ text: String) -> [Int32] { tokenizer.encode(text, addSpecialTokens: false) }
        #expect(ids("a  a") == [spaced, spaced] && ids("   a a   ") == [spaced, spaced] && ids("    ") == [])
        #expect(ids("aa") == [spaced, a] && ids("a \n a").filter { $0 == space } == [space])
        #expect(try sentencePiece(["\u{2581}", "a", "\u{2581}a"]).encode("a  a", addSpecialTokens: false).count == 3)
    }

    @Test func chatTemplatesHaveNames() throws {
        let tokenizer = try sentencePiece(["a", "b"]) { writer in
            writer.add(
                "tokenizer.chat_template",
                "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}")
            writer.add("tokenizer.ggml.eos_token_id", UInt32(2))
            writer.add("tokenizer.chat_template.tool_use", "{{ tools | length }}")
        }
        let messages = [ChatMessage(role: "user", content: "ab")]
        #expect(try tokenizer.render(chat: Conversation(messages)) == "<s>ab</s>")
        #expect(try tokenizer.render(chat: Conversation(messages, tools: [.object([])])) == "1")
        #expect(try tokenizer.encode(chat: messages).tokens.first == tokenizer.bosToken)
        let without = try sentencePiece(["a", "b"])
        #expect(try without.chatTemplate.get() == nil)
    }

    @Test func faultsAreNamed() throws {
        func problem(_ change: (inout GGUFWriter) -> Void) throws -> TokenizerError? {
            #expect(throws: TokenizerError.self) { _ = try sentencePiece(["a"], change) }
            do { _ = try sentencePiece(["a"], change) } catch let error as TokenizerError { return error }
            return nil
        }
        #expect(
            try problem { $0.replace("tokenizer.ggml.model", "bert") }?.description.contains("supported: gpt2, llama")
                == true)
        #expect(try problem { $0.remove("tokenizer.ggml.scores") }?.place == "tokenizer.ggml.scores")
        #expect(
            try problem { $0.replace("tokenizer.ggml.bos_token_id", UInt32(1 << 30)) }?.place
                == "tokenizer.ggml.bos_token_id")
        #expect(
            try problem { $0.replace("tokenizer.ggml.token_type", [1, 2] as [Int32]) }?.place
                == "tokenizer.ggml.token_type")
        #expect(try problem { $0.replace("tokenizer.ggml.tokens", ["a", "a"]) }?.problem.contains("twice") == true)
        #expect(try problem { $0.replace("tokenizer.ggml.model", "gpt2") }?.place == "tokenizer.ggml.merges")
        #expect(
            try problem {
                $0.replace("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.merges", [String]())
                $0.add("tokenizer.ggml.pre", "elvish")
            }?.fix?.contains("llama-bpe") == true)
        #expect(
            try problem {
                $0.replace("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.merges", ["a b"])
            }?.place == "merge 0")
    }
}
