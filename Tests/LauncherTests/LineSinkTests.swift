// Output whose reader is gone, full or asleep.

import Foundation
import Launcher
import Testing

@Suite("Output that can't be written", .timeLimit(.minutes(1)))
struct LineSinkTests {
    init() { Descriptor.secureStandardStreams() }

    @Test func aClosedPipeIsAnAnswer() throws {
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        let descriptor = pipe.fileHandleForWriting.fileDescriptor
        let problem = #expect(throws: Descriptor.Problem.self) { try Descriptor.write("a\n".utf8, to: descriptor) }
        #expect(problem?.isClosedPipe == true)
        let sink = LineSink(descriptor: descriptor)
        for _ in 0..<3 { sink.write("line\n") }
        sink.write(String(repeating: "x", count: 100_000) + "\n")
        sink.flush()
    }

    @Test func aFullDiskIsAnAnswer() throws {
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        let problem = #expect(throws: Descriptor.Problem.self) {
            try Descriptor.write("a\n".utf8, to: full.fileDescriptor)
        }
        #expect(problem?.isClosedPipe == false)
        #expect("\(try #require(problem))" == "No space left on device")
        let sink = LineSink(descriptor: full.fileDescriptor)
        sink.write("line\n")
        sink.flush()
    }

    @Test func aReaderThatSleepsHoldsNobodyUp() throws {
        let pipe = Pipe()
        let sink = LineSink(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let line = String(repeating: "x", count: 999) + "\n"
        // Far more than the pipe and the backlog hold; nobody reads.
        for _ in 0..<4000 { sink.write(line) }
        // It wakes up: the lines come in order, and those that were dropped are counted.
        let reader = Thread {
            sink.flush(seconds: 30)
            sink.write("last\n")
            sink.flush()
            try? pipe.fileHandleForWriting.close()
        }
        reader.start()
        let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let whole = lines.count { $0.count == 999 }
        let told = lines.compactMap { $0.wholeMatch(of: /\((\d+) log lines dropped: .*\)/)?.1 }.compactMap { Int($0) }
        #expect(whole > 1000)
        #expect(whole + told.reduce(0, +) == 4000)
        #expect(lines.last == "last")
    }
}
