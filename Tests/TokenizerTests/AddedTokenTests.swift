// Added tokens that strip white space, beside those that are white space: as Hugging Face's library finds them.

import Testing
import Tokenizer

struct AddedTokenTests {
    private func tokenizer() throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write(
            #"""
            {"added_tokens": [
              {"id": 4, "content": "<lr>", "lstrip": true, "rstrip": true, "normalized": false, "special": false},
              {"id": 5, "content": "\n\n", "normalized": false, "special": false},
              {"id": 6, "content": "\t", "rstrip": true, "normalized": false, "special": false},
              {"id": 7, "content": "\f", "lstrip": true, "normalized": false, "special": false}],
             "decoder": {"type": "Fuse"},
             "model": {"type": "BPE", "vocab": {"x": 0, "\n": 1, "y": 2, " ": 3}, "merges": []}}
            """#, "tokenizer.json")
        return try Tokenizer(directory: folder.path)
    }

    /// What `tokenizers` 0.23 gives: the token inside the white space is found, and what it does not cover is text again.
    @Test func whiteSpaceThatATokenTakesMayHoldAnother() throws {
        let tokenizer = try tokenizer()
        let cases: [(String, [Int32])] = [
            ("<lr>\n\nx", [4, 5, 0]), ("<lr>\n x", [4, 0]), ("<lr>\n\n x", [4, 5, 3, 0]),
            ("x \n<lr>\n\n\n\n x", [0, 4, 5, 5, 3, 0]), ("<lr>\t\t x", [4, 6, 6, 0]), ("\t\t\tx", [6, 6, 6, 0]),
        ]
        for (text, ids) in cases { #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)") }
        // Here the library itself fails: both claim the same white space.
        #expect(tokenizer.encode("<lr> \u{C} x") == [4, 7, 3, 0])
        #expect(tokenizer.encode("x\u{C} y") == [0, 7, 3, 2])
    }

    @Test(arguments: ["\t", " \t", "<lr> ", "\n\n", "\u{C} ", "<lr>\n\n\u{C}"])
    func longRunsOfThemTakeLinearTime(unit: String) throws {
        let tokenizer = try tokenizer()
        let text = String(repeating: unit, count: 400_000 / unit.utf8.count)
        let time = ContinuousClock().measure { #expect(tokenizer.encode(text).count > 10) }
        #expect(time < .seconds(10))
    }
}
