// The file that says where a launch serves: whose it is, and what becomes of it.

import Foundation
import Launcher
import Testing

@Suite("Ready file")
struct ReadyFileTests {
    private let folder: URL
    private var path: String { folder.appending(path: "ready").path }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-ready-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func content() -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
    private func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }
    private func end() { try? FileManager.default.removeItem(at: folder) }

    @Test func itAppearsWholeAndGoesWithItsLaunch() throws {
        defer { end() }
        let file = try ReadyFile(path: path)
        #expect(content() == nil)
        try file.tell("http://127.0.0.1:8080")
        #expect(content() == "http://127.0.0.1:8080\n")
        #expect(try names() == ["ready"])
        file.remove()
        #expect(try names().isEmpty)
    }

    @Test func aLaunchThatNeverServesLeavesNothing() throws {
        defer { end() }
        do { _ = try ReadyFile(path: path) }
        #expect(try names().isEmpty)
    }

    @Test(arguments: [false, true]) func aSecondLaunchIsRefusedAndRemovesNothing(serves: Bool) throws {
        defer { end() }
        let first = try ReadyFile(path: path)
        if serves { try first.tell("http://127.0.0.1:1") }
        let before = try names()
        let error = #expect(throws: ReadyFile.Problem.self) { try ReadyFile(path: path) }
        #expect(error?.description.contains("held by another launch") == true)
        #expect(try names() == before)
        if !serves { try first.tell("http://127.0.0.1:1") }
        #expect(content() == "http://127.0.0.1:1\n")
        first.remove()
        #expect(try names().isEmpty)
    }

    /// Nobody holds the lock of what a killed launch has left.
    @Test func whatAKilledLaunchHasLeftIsTakenOver() throws {
        defer { end() }
        try Data("http://127.0.0.1:9\n".utf8).write(to: URL(fileURLWithPath: path))
        try Data("starting, and a longer text".utf8).write(to: URL(fileURLWithPath: path + ".starting"))
        let file = try ReadyFile(path: path)
        #expect(content() == nil)
        try file.tell("http://127.0.0.1:1")
        #expect(content() == "http://127.0.0.1:1\n")
    }

    @Test func anothersFileInItsPlaceStays() throws {
        defer { end() }
        let file = try ReadyFile(path: path)
        try file.tell("http://127.0.0.1:1")
        try FileManager.default.removeItem(atPath: path)
        try Data("http://127.0.0.1:2\n".utf8).write(to: URL(fileURLWithPath: path))
        file.remove()
        #expect(content() == "http://127.0.0.1:2\n")
    }

    @Test func whatIsNoReadyFileIsNotTouched() throws {
        defer { end() }
        for text in ["model: m\n", "http://h\n" + String(repeating: "x", count: 10_000)] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: ReadyFile.Problem.self) { try ReadyFile(path: path) }
            #expect(error?.description.contains("is no ready file") == true)
            #expect(content() == text)
        }
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(throws: ReadyFile.Problem.self) { try ReadyFile(path: path) }
        try FileManager.default.removeItem(atPath: path)
        #expect(mkfifo(path, 0o600) == 0)
        #expect(throws: ReadyFile.Problem.self) { try ReadyFile(path: path) }
        #expect(try names() == ["ready"])
    }

    @Test(arguments: ["/nope/x", "/proc/x", "/dev/null/x"]) func whereNoFileCanBeIsFoundAtOnce(path: String) {
        let error = #expect(throws: ReadyFile.Problem.self) { try ReadyFile(path: path) }
        #expect(error?.description.contains(path) == true)
    }
}
