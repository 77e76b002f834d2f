// What a process logs stays on one line, whatever it is given.

import InMemoryLogging
import Logging
import OutsideText
import Testing

@Suite("One line per event")
struct LogLineTests {
    @Test func whatComesFromOutsideIsEscapedAndCut() throws {
        let lines = InMemoryLogHandler()
        var logger = Logger(label: "test") { _ in OneLineLogHandler(lines) }
        logger[metadataKey: "worker"] = "a\nb"
        let long = String(repeating: "x", count: 5000)
        logger.info(
            "hello\nforged",
            metadata: [
                "model": "m\r\n2026-01-01 error", "list": ["\u{1B}[2J", "plain"], "nested": ["k": "\u{202E}"],
                "long": "\(long)",
            ])
        let entry = try #require(lines.entries.first)
        #expect(entry.message.description == #"hello\nforged"#)
        #expect(entry.metadata["worker"] == #"a\nb"#)
        #expect(entry.metadata["model"] == #"m\r\n2026-01-01 error"#)
        #expect(entry.metadata["list"] == [#"\u{1B}[2J"#, "plain"])
        #expect(entry.metadata["nested"] == ["k": #"\u{202E}"#])
        #expect(entry.metadata["long"]?.description.count == 1003)
    }
}
