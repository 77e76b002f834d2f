// Who may read a secret's file, how it is replaced, and how one is followed.

import Foundation
import SecretFiles
import Testing

@Suite("Files with secrets")
struct SecretFileTests {
    private func with(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func problem(_ body: () throws -> Void) throws -> String {
        try #require(throws: SecretFileError.self, performing: body).problem
    }

    /// What the system hands to one user or group is root's, and readable for them; nobody else's may be.
    @Test(
        arguments: [
            (0o400, 1000, 1000, true), (0o600, 1000, 1000, true), (0o440, 1000, 1000, false), (0o440, 0, 1000, true),
            (0o400, 0, 1000, true), (0o460, 0, 1000, false), (0o444, 0, 1000, false), (0o440, 0, 0, false),
            (0o440, 1001, 1000, false),
        ] as [(mode_t, uid_t, uid_t, Bool)])
    func aSecretIsReadByWhomItIsFor(mode: mode_t, owner: uid_t, user: uid_t, isRight: Bool) {
        var status = stat()
        (status.st_mode, status.st_uid) = (S_IFREG | mode, owner)
        #expect((SecretFile.problem(of: status, user: user) == nil) == isRight)
    }

    @Test("What is written is its owner's alone, and takes the place of another only when asked")
    func write() throws {
        try with { folder in
            let path = folder + "/secret"
            try SecretFile.write(Data("one".utf8), to: path)
            #expect(try problem { try SecretFile.write(Data("two".utf8), to: path) }.contains("can't be written"))
            #expect(try SecretFile.read(path, isSecret: true) == Data("one".utf8))
            // What a writer left that was killed is in nobody's way, and no link leads elsewhere.
            #expect(symlink("/dev/null", path + ".new") == 0)
            try SecretFile.write(Data("three".utf8), to: path, isReplacing: true)
            #expect(try SecretFile.read(path, isSecret: true) == Data("three".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["secret"])
            var status = stat()
            #expect(lstat(path, &status) == 0 && status.st_mode == S_IFREG | 0o600)
        }
    }

    @Test("What is too long, open to others, or no file is refused")
    func read() throws {
        try with { folder in
            let path = folder + "/secret"
            try SecretFile.write(Data("12345".utf8), to: path)
            #expect(try SecretFile.read(path, isSecret: true, limit: 5).count == 5)
            #expect(
                try problem { _ = try SecretFile.read(path, isSecret: true, limit: 4) } == "is longer than 4 bytes")
            #expect(chmod(path, 0o644) == 0)
            #expect(try problem { _ = try SecretFile.read(path, isSecret: true) }.contains("chmod 600"))
            #expect(try SecretFile.read(path, isSecret: false).count == 5)
            // Nobody writes to it: who opened it to read would wait for ever.
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            for path in ["/pipe", "", "/../../dev/zero"].map({ folder + $0 }) + ["/dev/zero"] {
                _ = try problem { _ = try SecretFile.read(path, isSecret: false) }
            }
        }
    }

    @Test("A value follows its file, and stays as it was while that can't be read")
    func follow() throws {
        try with { folder in
            let path = folder + "/list"
            func write(_ text: String) throws { try SecretFile.write(Data(text.utf8), to: path, isReplacing: true) }
            try write("1")
            let file = try FollowedFile(path) { path throws(SecretFileError) in
                let text = String(decoding: try SecretFile.read(path, isSecret: true), as: UTF8.self)
                guard let number = Int(text) else { throw SecretFileError(path, "is no number") }
                return number
            }
            #expect(file.value == 1 && file.reload() == nil)
            #expect(try file.reload(isAsked: true)?.get() == 1)
            try write("2")
            #expect(try file.reload()?.get() == 2)
            #expect(file.value == 2 && file.reload() == nil)
            try write("x")
            guard case .failure? = file.reload() else {
                Issue.record("nonsense was read")
                return
            }
            #expect(file.value == 2 && file.reload() == nil)
            // As orchestrators replace files: by the link that leads to them.
            try write("3")
            #expect(rename(path, folder + "/a") == 0 && symlink("a", path) == 0)
            #expect(try file.reload()?.get() == 3)
            #expect(unlink(path) == 0)
            guard case .failure? = file.reload() else {
                Issue.record("nothing was read")
                return
            }
            #expect(file.value == 3)
        }
    }
}
