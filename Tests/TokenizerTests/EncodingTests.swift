// Properties of encoding that hold for any text.

import Foundation
import Testing
import Tokenizer

struct EncodingTests {
    /// Those that lose nothing: no normalizer, every byte has a token.
    private static let lossless = ["llama3", "gpt2", "llama2"]

    @Test(arguments: lossless)
    func textComesBack(name: String) throws {
        let tokenizer = try loadTokenizer(name)
        var chance = Chance(state: 7)
        for _ in 0..<300 {
            let text = randomText(&chance)
            // Added tokens cut a SentencePiece text, and each part gets a space of its own: so none is parsed here.
            let ids = tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false)
            // A visible space is SentencePiece's own mark for a space.
            let expected = name == "llama2" ? text.replacing("\u{2581}", with: " ") : text
            #expect(Array(tokenizer.decode(ids).utf8) == Array(expected.utf8), "\(text.debugDescription)")
            if name != "llama2" {
                let parsed = tokenizer.encode(text, addSpecialTokens: false)
                #expect(Array(tokenizer.decode(parsed, skipSpecialTokens: false).utf8) == Array(text.utf8))
            }
        }
    }

    @Test(arguments: trained)
    func textNeverBecomesSpecialTokens(name: String) throws {
        let tokenizer = try loadTokenizer(name)
        let unknown: Int32 = 0  // <unk> of the SentencePiece ones
        var chance = Chance(state: 3)
        for _ in 0..<200 {
            let text = randomText(&chance)
            let ids = tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false)
            #expect(!ids.contains { tokenizer.isSpecial($0) && $0 != unknown }, "\(text.debugDescription)")
        }
    }

    /// Each of these would take minutes if the time grew with the square of the length.
    @Test(
        arguments: ["llama3", "gpt2", "llama2", "metaspace", "digits"],
        ["a", " ", "\n", "ab", "é", "🦙", "<|eot_id|>", "<|", "0", "'", "\u{2581}", "the "])
    func longTextsTakeLinearTime(name: String, unit: String) throws {
        let tokenizer = try loadTokenizer(name)
        let text = String(repeating: unit, count: 200_000 / unit.utf8.count)
        let time = ContinuousClock().measure { #expect(tokenizer.encode(text).count > 2) }
        #expect(time < .seconds(10))
    }

    /// Unbroken runs of one kind of character, as pasted dumps have them: linear time, and the text comes back.
    @Test(
        arguments: lossless,
        ["Z", "a", " ", "\n", "7", "\u{6F22}", "#", "e\u{301}", "\u{1F9D1}\u{200D}\u{1F4BB}", "\0", "\u{FFFD}"])
    func longRunsComeBack(name: String, unit: String) throws {
        let tokenizer = try loadTokenizer(name)
        func time(_ bytes: Int) -> Duration {
            let text = String(repeating: unit, count: bytes / unit.utf8.count)
            var ids: [Int32] = []
            let time = ContinuousClock().measure { ids = tokenizer.encode(text, addSpecialTokens: false) }
            #expect(Array(tokenizer.decode(ids).utf8) == Array(text.utf8))
            return time
        }
        // Eight times the text; twice the share for the machine's other work.
        let short = time(32_768)
        #expect(time(262_144) < short * 16 + .seconds(2))
    }

    @Test func threadsShareATokenizer() async throws {
        let tokenizer = try loadTokenizer("llama3")
        var chance = Chance(state: 11)
        let texts = (0..<50).map { _ in randomText(&chance, length: 200) }
        let expected = texts.map { tokenizer.encode($0) }
        await withTaskGroup(of: [[Int32]].self) { group in
            for _ in 0..<8 { group.addTask { texts.map { tokenizer.encode($0) } } }
            for await found in group { #expect(found == expected) }
        }
    }
}
