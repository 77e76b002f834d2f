// Lines out of byte streams, and prefixed lines into one.

import Foundation
import Launcher
import Testing

@Suite("Log lines")
struct LogTests {
    @Test(arguments: 1...7) func linesDoNotDependOnHowBytesArrive(size: Int) {
        let text = "one\ntwo\r\n\nfünf €\nlast"
        var splitter = LineSplitter()
        var lines: [String] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            lines += splitter.append(bytes[start..<min(start + size, bytes.count)])
        }
        if let last = splitter.finish() { lines.append(last) }
        #expect(lines == ["one", "two", "", "fünf €", "last"])
        #expect(splitter.finish() == nil)
    }

    @Test func anEndlessLineComesInPieces() {
        var splitter = LineSplitter()
        let lines = splitter.append(repeatElement(UInt8(ascii: "x"), count: LineSplitter.limit * 2 + 5))
        #expect(lines.map(\.utf8.count) == [LineSplitter.limit, LineSplitter.limit])
        #expect(splitter.finish() == "xxxxx")
    }

    @Test(arguments: [false, true]) func prefixesLineUp(colour: Bool) throws {
        let pipe = Pipe()
        let printer = LogPrinter(
            names: ["coordinator", "w-0"], descriptor: pipe.fileHandleForWriting.fileDescriptor, colour: colour)
        printer.print("coordinator", "a")
        printer.print("w-0", "b\nc")
        printer.flush()
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        if colour {
            #expect(text.hasPrefix("\u{1B}[36mcoordinator |\u{1B}[0m a\n\u{1B}[32mw-0         |"))
        } else {
            #expect(text == "coordinator | a\nw-0         | b\nw-0         | c\n")
        }
    }
}
