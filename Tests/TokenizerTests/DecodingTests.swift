// From ids to text, whole and as a stream.

import Testing
import Tokenizer

struct DecodingTests {
    private func stream(_ ids: [Int32], _ tokenizer: Tokenizer, skip: Bool = true, isContinuation: Bool = false)
        -> [String]
    {
        var detokenizer = StreamingDetokenizer(
            tokenizer: tokenizer, skipSpecialTokens: skip, isContinuation: isContinuation)
        return ids.map { detokenizer.append($0) } + [detokenizer.finish()]
    }

    @Test(arguments: trained)
    func streamEqualsWhole(name: String) throws {
        let tokenizer = try loadTokenizer(name)
        var chance = Chance(state: 1)
        for round in 0..<300 {
            // Ids of a text, ids at random (half characters, ids that no token has), and both.
            var ids = round % 3 == 0 ? [] : tokenizer.encode(randomText(&chance), addSpecialTokens: round % 2 == 0)
            if round % 3 != 1 {
                for _ in 0..<Int.random(in: 1...20, using: &chance) {
                    let id = Int32.random(in: -2...Int32(tokenizer.vocabularySize + 2), using: &chance)
                    ids.insert(id, at: Int.random(in: 0...ids.count, using: &chance))
                }
            }
            for skip in [true, false] {
                let parts = stream(ids, tokenizer, skip: skip)
                let whole = tokenizer.decode(ids, skipSpecialTokens: skip)
                // A run of single bytes is wrong from its beginning once it is, which a stream learns too late.
                if name == "llama2", whole.contains("\u{FFFD}") { continue }
                #expect(Array(parts.joined().utf8) == Array(whole.utf8), "\(ids)")
            }
        }
    }

    @Test(arguments: trained)
    func everyPrefixIsWholeCharacters(name: String) throws {
        let tokenizer = try loadTokenizer(name)
        let text = "é中🦙 👩‍👧 Aé"
        let ids = tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false)
        let expected = tokenizer.decode(ids)
        var sofar = ""
        for part in stream(ids, tokenizer) {
            sofar += part
            #expect(Array(expected.utf8).starts(with: Array(sofar.utf8)))
        }
    }

    @Test func textThatBreaksOff() throws {
        let tokenizer = try loadTokenizer("gpt2")
        let ids = tokenizer.encode("🦙", addSpecialTokens: false)
        #expect(ids.count == 4)
        #expect(stream(Array(ids.dropLast()), tokenizer) == ["", "", "", "\u{FFFD}"])
        #expect(tokenizer.decode(ids.dropLast()) == "\u{FFFD}")
        // A byte that cannot go on makes what came before it final.
        let a = tokenizer.encode("a", addSpecialTokens: false)
        #expect(stream([ids[0]] + a, tokenizer) == ["", "\u{FFFD}a", ""])
        // A lone continuation byte is wrong at once.
        #expect(stream([ids[3]], tokenizer) == ["\u{FFFD}", ""])
    }

    /// What `tokenizers` gives for runs of single-byte tokens: all of a run or nothing.
    @Test func runsOfSingleBytes() throws {
        let tokenizer = try loadTokenizer("llama2")
        let a = try #require(tokenizer.encode("a", addSpecialTokens: false).last)
        let character = tokenizer.decode([a])
        let spaced = " " + character  // as it is in the midst of a text
        func bytes(_ bytes: UInt8...) -> [Int32] { bytes.map { 3 + Int32($0) } }
        let wrong = "\u{FFFD}"
        let cases: [(ids: [Int32], whole: String, streamed: String)] = [
            (bytes(0xE2, 0x41), wrong + wrong, wrong + wrong), (bytes(0xE4, 0xB8, 0xAD), "中", "中"),
            (bytes(0x41, 0x42), "AB", "AB"), (bytes(0xE2, 0x82), wrong + wrong, wrong + wrong),
            (bytes(0xFF, 0x41) + [a], wrong + wrong + spaced, wrong + wrong + spaced),
            (bytes(0xE4) + [a] + bytes(0x41), wrong + spaced + "A", wrong + spaced + "A"),
            // A special token that is left out does not end a run, one that is shown does.
            (bytes(0xE4, 0xB8) + [1] + bytes(0xAD), "中", "中"),
            // The one difference: what was right when it came has been given out.
            (bytes(0xE4, 0xB8, 0xAD, 0xFF, 0x41), wrong + wrong + wrong + wrong + wrong, "中" + wrong + wrong),
        ]
        for (ids, whole, streamed) in cases {
            let ids = [a] + ids  // so that no leading space is dropped
            #expect(tokenizer.decode(ids) == character + whole, "\(ids)")
            #expect(stream(ids, tokenizer).joined() == character + streamed, "\(ids)")
        }
        let shown = [a] + bytes(0xE4, 0xB8) + [1] + bytes(0xAD)
        #expect(tokenizer.decode(shown, skipSpecialTokens: false) == character + wrong + wrong + "<s>" + wrong)
        #expect(stream(shown, tokenizer, skip: false).joined() == character + wrong + wrong + "<s>" + wrong)
    }

    @Test func leadingSpaceOfSentencePiece() throws {
        let tokenizer = try loadTokenizer("llama2")
        let ids = tokenizer.encode("Alice was", addSpecialTokens: false)
        #expect(tokenizer.decode(ids) == "Alice was")
        #expect(tokenizer.decode([1] + ids) == "Alice was")
        #expect(stream(ids, tokenizer).joined() == "Alice was")
        // What goes on from a prompt keeps its space.
        #expect(stream(ids, tokenizer, isContinuation: true).joined() == " Alice was")
        // Only one space is the tokenizer's.
        #expect(tokenizer.decode(tokenizer.encode("  a")) == "  a")
        // Byte-level tokenizers add none.
        let gpt2 = try loadTokenizer("gpt2")
        #expect(stream(gpt2.encode(" the"), gpt2).joined() == " the")
    }

    @Test func bytesOfTokens() throws {
        let llama2 = try loadTokenizer("llama2")
        #expect(llama2.bytes(of: 3 + 0x0A) == [0x0A])
        #expect(llama2.bytes(of: -1) == [])
        #expect(llama2.bytes(of: .max) == [])
        let gpt2 = try loadTokenizer("gpt2")
        for byte in UInt8.min ... .max {
            let ids = (0..<Int32(gpt2.vocabularySize)).filter { gpt2.bytes(of: $0) == [byte] }
            #expect(ids.count == 1)
        }
    }
}
