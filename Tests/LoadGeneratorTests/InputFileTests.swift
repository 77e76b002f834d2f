// Files of the user's that are too long, have no length, or are none.

import Foundation
import LoadGenerator
import Testing

@Suite("Files that are read")
struct InputFileTests {
    /// A file of a test, and where it lies.
    private func with(_ body: (FileHandle, String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID())").path
        try #require(FileManager.default.createFile(atPath: path, contents: nil))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try #require(FileHandle(forWritingAtPath: path))
        defer { try? file.close() }
        try body(file, path)
    }

    private func problem(_ body: () throws -> Void) throws -> String {
        let error = try #require(throws: LoadGeneratorError.self, performing: body)
        #expect(error.kind == .prompts)
        return error.problem
    }

    @Test("A file that is too long is refused by its length, before it is read")
    func tooLong() throws {
        try with { (file, path) in
            // All hole: it takes no room, and reading it would take gigabytes.
            try file.truncate(atOffset: 5 << 30)
            let readers: [() throws -> Void] = [
                { _ = try Trace(file: path, format: .jsonl) }, { _ = try PromptSet(file: path) },
                { _ = try MeasurementFile(file: path) },
            ]
            for reader in readers {
                #expect(try problem(reader).hasPrefix("5368709120 bytes is over the limit of"))
            }
        }
    }

    @Test("What has no length is read up to the bound")
    func unknownLength() throws {
        #expect(
            try problem { _ = try InputFile.read("/dev/zero", limit: 100_000, fix: "cut it") }
                == "is over the limit of 100000 bytes: cut it")
        let pipe = Pipe()
        let text = Data("{}".utf8)
        try pipe.fileHandleForWriting.write(contentsOf: text)
        try pipe.fileHandleForWriting.close()
        let path = "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)"
        #expect(try InputFile.read(path, limit: 2, fix: "") == text)
    }

    @Test("The bound itself fits")
    func bound() throws {
        try with { (file, path) in
            let text = Data("12345".utf8)
            try file.write(contentsOf: text)
            #expect(try InputFile.read(path, limit: 5, fix: "") == text)
            #expect(try problem { _ = try InputFile.read(path, limit: 4, fix: "x") }.hasPrefix("5 bytes is over"))
        }
    }

    @Test("What is no file is named", arguments: ["/nonexistent/file", "/tmp"])
    func none(path: String) throws {
        #expect(try problem { _ = try InputFile.read(path, limit: 5, fix: "") }.hasPrefix("cannot be read"))
    }
}
