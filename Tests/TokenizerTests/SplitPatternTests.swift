// Patterns of tokenizer.json as they cut text: matches of nothing, groups of digits, letters of late versions of Unicode.

import Testing
import Tokenizer

struct SplitPatternTests {
    /// The pieces that a `Split` by `pattern` leaves: every byte is a token, and no two of different pieces merge, so the
    /// pieces are told apart by the merges of their neighbours.
    private func pieces(_ text: String, _ patterns: String...) throws -> [String] {
        let splits = patterns.map {
            #"{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "\#($0.replacing("\\", with: "\\\\"))"}}"#
        }
        let folder = try TemporaryDirectory()
        // A text of one piece is one token: the vocabulary has every stretch of the text.
        let scalars = Array(text.unicodeScalars)
        var stretches: Set<String> = []
        for start in scalars.indices {
            for end in start..<scalars.count {
                stretches.insert(scalars[start...end].map(String.init).joined())
            }
        }
        let alphabet = byteAlphabet()
        let written = stretches.map { $0.utf8.map { alphabet[Int($0)] }.joined() }
        let vocabulary = Set(written + alphabet).sorted().enumerated()
            .map { "\(quoted($1)): \($0)" }.joined(separator: ", ")
        try folder.write(
            """
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [\(splits.joined(separator: ", ")),
               {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
             "decoder": {"type": "ByteLevel"},
             "model": {"type": "BPE", "ignore_merges": true, "vocab": {\(vocabulary)}, "merges": []}}
            """, "tokenizer.json")
        let tokenizer = try Tokenizer(directory: folder.path)
        return tokenizer.encode(text).map { tokenizer.decode([$0]) }
    }

    private func quoted(_ text: String) -> String { text.debugDescription.replacing("\\'", with: "'") }

    /// As `tokenizers` cuts: where nothing is matched, too.
    @Test func aMatchOfNothingCuts() throws {
        #expect(try pieces("abcaBc", "(?=[A-Z])") == ["abca", "Bc"])
        #expect(try pieces("Abc", "(?=[A-Z])") == ["Abc"])
        #expect(try pieces("a1b", #"\d|(?=b)"#) == ["a", "1", "b"])
        #expect(try pieces("ab", "x*") == ["a", "b"])
    }

    @Test func digitsInThreesFromTheRight() throws {
        let triples = #"(?=(\d{3})+(?!\d))"#
        #expect(try pieces("1234567 12", #"\p{N}+"#, triples) == ["1", "234", "567", " ", "12"])
        #expect(try pieces("123456", triples) == ["123", "456"])
        #expect(try pieces("a1234b12c", triples) == ["a1", "234b12c"])
        #expect(try pieces("٣٤٥٦", triples) == ["٣", "٤٥٦"])
        // The same by a search from place to place, as another spelling of it is matched.
        for text in ["1234567 12", "123456", "a1234b12c", "٣٤٥٦", "12", "x", "1 234 5678"] {
            #expect(try pieces(text, triples) == pieces(text, #"(?=(?:\d{3})+(?!\d))"#), "\(text)")
        }
    }

    /// Letters, marks and digits that Oniguruma's own tables do not have yet (Unicode 15 to 17).
    @Test func lateLettersAreLetters() throws {
        for letter in ["\u{31350}", "\u{1E4D0}", "\u{10D4A}", "\u{A7CB}", "\u{323B0}", "\u{10940}"] {
            #expect(try pieces("a\(letter)b 1", #"\p{L}+"#) == ["a\(letter)b", " 1"], "\(letter.debugDescription)")
        }
        #expect(try pieces("1\u{1CCF0}2x", #"\p{N}+"#) == ["1\u{1CCF0}2", "x"])
        #expect(try pieces("a\u{A7CB}b", #"[\p{Lu}\p{Lt}]"#) == ["a", "\u{A7CB}", "b"])
        #expect(try pieces("x\u{31350}!", #"[^\s\p{L}\p{N}]+"#) == ["x\u{31350}", "!"])
        #expect(try pieces("né ñ Ω1½", #"\p{L}+|\p{N}+"#) == ["né", " ", "ñ", " ", "Ω", "1½"])
    }
}
