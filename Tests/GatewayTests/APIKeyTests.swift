// Lists of API keys, and what keys may use: without a socket.

import Foundation
import Gateway
import SecretFiles
import Testing

@Suite("API keys")
struct APIKeyTests {
    private func list(_ text: String) throws -> APIKeyList { try APIKeyList(text, path: "keys") }

    @Test("A list reads what it wrote, and holds no key")
    func roundTrip() throws {
        var list = APIKeyList()
        let limits = APIKeyList.Limits(
            requestsPerMinute: 60, concurrentRequests: 4, tokensPerMinute: 1_000_000, expiry: 1_800_000_000,
            isOperator: true)
        let keys = [try list.add("alice", .init()), try list.add("alice", .init()), try list.add("b@x.org", limits)]
        #expect(Set(keys).count == 3)
        for key in keys {
            #expect(key.utf8.count == 80 && key.hasPrefix("wk_"))
            #expect(!list.text.contains(key) && !list.text.contains(key.suffix(64)))
        }
        let again = try self.list(list.text)
        #expect(again == list)
        #expect(again.entries[2].limits == limits)
        #expect(list.text.contains("expires=2027-01-15T08:00:00Z operator"))
    }

    @Test("Keys are revoked by name or by id")
    func revoke() throws {
        var list = APIKeyList()
        for name in ["a", "a", "b", "c"] { _ = try list.add(name, .init()) }
        #expect(list.revoke("a") == 2)
        #expect(list.revoke(list.entries[0].id) == 1)
        #expect(list.revoke("a") == 0)
        #expect(list.entries.map(\.name) == ["c"])
    }

    @Test(
        "A line that is none is named",
        arguments: [
            ("alice", "must be NAME ID SALT CODE"), ("al!ce ID SALT CODE", "a name is"),
            ("alice 12 SALT CODE", "an id is"),
            ("alice ID SALT zz", "salt and code"), ("alice ID SALT CODE x=1", "'x=1' is none of"),
            ("alice ID SALT CODE requests_per_minute=0", "none of"), ("alice ID SALT CODE expires=soon", "none of"),
            ("alice ID SALT CODE tokens_per_minute=1000000001", "none of"),
            ("a ID SALT CODE\nb ID SALT CODE", "line 3"),
        ])
    func badLine(line: String, says: String) throws {
        let hex = String(repeating: "0a", count: 32)
        let text =
            "# keys\n"
            + line.replacing("ID", with: "0123456789ab").replacing("SALT", with: hex)
            .replacing("CODE", with: hex)
        let error = try #require(throws: SecretFileError.self) { try list(text) }
        #expect(error.place == "keys, line \(says == "line 3" ? 3 : 2)")
        if says != "line 3" { #expect(error.problem.contains(says), "\(error)") }
    }

    @Test("A list that others may read is refused, and written so that they can't")
    func modes() throws {
        try Scratch.withFolder { folder in
            let path = folder + "/keys"
            var list = APIKeyList()
            _ = try list.add("alice", .init())
            try list.write(to: path)
            #expect(try APIKeyList(path: path) == list)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            for mode in [0o640, 0o604, 0o660] {
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
                let error = try #require(throws: SecretFileError.self) { try APIKeyList(path: path) }
                #expect(error.problem.contains("chmod 600"))
            }
            for (path, problem) in [
                (folder, "is no file"), (folder + "/none", "can't be read"), ("/dev/zero", "is no file"),
            ] {
                let error = try #require(throws: SecretFileError.self) { try APIKeyList(path: path) }
                #expect(error.problem.contains(problem), "\(error)")
            }
        }
    }

    @Test("A file is read again when it changes; a broken one changes nothing")
    func follow() throws {
        try Scratch.withFolder { folder in
            let path = folder + "/keys"
            var list = APIKeyList()
            _ = try list.add("alice", .init())
            try list.write(to: path)
            let file = try APIKeyFile(path: path)
            let security = GatewaySecurity(keys: file, tls: nil)
            _ = try list.add("bob", .init())
            try list.write(to: path)
            security.reload(isAsked: false, .silent)
            #expect(file.list == list)
            try Data("nonsense\n".utf8).write(to: URL(fileURLWithPath: path))
            security.reload(isAsked: false, .silent)
            security.reload(isAsked: true, .silent)
            #expect(file.list == list)
            try FileManager.default.removeItem(atPath: path)
            security.reload(isAsked: false, .silent)
            #expect(file.list == list)
        }
    }

    @Test("Limits hold over a minute, and fill again at an even pace")
    func limits() throws {
        var list = APIKeyList()
        _ = try list.add("a", .init(requestsPerMinute: 2, concurrentRequests: 2))
        _ = try list.add("b", .init(tokensPerMinute: 100))
        let (a, b) = (list.entries[0], list.entries[1])
        var use = KeyUse()
        let start = ContinuousClock.now
        #expect(use.begin(a, start) == nil)
        #expect(use.begin(a, start) == nil)
        #expect(use.begin(a, start) == .concurrency(limit: 2))
        use.end(a.id)
        #expect(use.begin(a, start) == .requests(limit: 2, wait: .seconds(30)))
        #expect(use.begin(a, start + .seconds(31)) == nil)
        // One request may use more than there is; the next wait until it is paid.
        #expect(use.begin(b, start) == nil)
        use.spend(159, of: b.id, start)
        #expect(use.begin(b, start) == .tokens(limit: 100, wait: .seconds(36)))
        #expect(use.begin(b, start + .seconds(37)) == nil)
        #expect(use.totals.map(\.requests) == [3, 2])
        #expect(use.totals.map(\.running) == [2, 2])
        #expect(use.totals.map(\.tokens) == [0, 159])
        // Who is revoked is forgotten once nothing of it runs.
        use.keep([a.id])
        #expect(use.totals.count == 2)
        use.end(b.id)
        use.end(b.id)
        use.keep([a.id])
        #expect(use.totals.map(\.name) == ["a"])
    }
}

/// A folder of a test's own.
enum Scratch {
    static func with<Result>(_ body: (String) async throws -> Result) async throws -> Result {
        let path = try make()
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        let path = try make()
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    private static func make() throws -> String {
        let path = NSTemporaryDirectory() + "winnow-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return path
    }
}
