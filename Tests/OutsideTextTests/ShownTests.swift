import OutsideText
import Testing

@Suite("Text from outside")
struct ShownTests {
    @Test(
        "What acts is escaped, the rest stays",
        arguments: [
            ("plain text, naïve 日本 💥", "plain text, naïve 日本 💥"),
            ("a\nb\r\nc\td", #"a\nb\r\nc\td"#),
            ("\u{1B}[2J\u{7F}\u{85}\u{0}", #"\u{1B}[2J\u{7F}\u{0085}\0"#),
            ("\u{2028}\u{2029}\u{202E}\u{200B}\u{FEFF}", #"\u{2028}\u{2029}\u{202E}\u{200B}\u{FEFF}"#),
            ("", ""),
        ])
    func escapes(text: String, line: String) {
        #expect(text.shown == line)
    }

    @Test("It is cut by scalars, however many one character has")
    func cut() {
        #expect(String(repeating: "x", count: 80).shown == String(repeating: "x", count: 80))
        #expect(String(repeating: "x", count: 81).shown == String(repeating: "x", count: 80) + "...")
        // One character of a million combining marks.
        let mark = "e" + String(repeating: "\u{301}", count: 1_000_000)
        #expect(mark.count == 1)
        #expect(mark.shown.unicodeScalars.count == 83)
        #expect("abc".shown(upTo: 2) == "ab...")
        #expect("abc".shown(upTo: -1) == "...")
        #expect("a\nb"[...].shown(upTo: 3) == #"a\nb"#)
    }

    @Test("No scalar breaks the line")
    func lines() {
        for value in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let shown = String(scalar).shown
            if shown.contains(where: \.isNewline) || shown.isEmpty { Issue.record("U+\(String(value, radix: 16))") }
        }
    }
}
