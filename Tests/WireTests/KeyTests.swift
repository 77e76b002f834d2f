import Foundation
import SecretFiles
import Synchronization
import Testing
import Wire

/// Keys, their files and lists, and what a listener with keys does with strangers.
@Suite("Keys", .timeLimit(.minutes(1)))
struct KeyTests {
    private func withFolder(_ body: (KeyFolder) async throws -> Void) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "winnow-keys-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let folder = KeyFolder(path: path)
        try folder.prepare()
        try await body(folder)
    }

    @Test func aFolderHoldsEveryKeyAndTheList() async throws {
        try await withFolder { folder in
            try folder.make("worker-0", role: .stage)
            try folder.make("scorer", role: .speculator)
            let own = try KeyFile(path: folder.keyPath(KeyFolder.coordinator))
            let worker = try KeyFile(path: folder.keyPath("worker-0"))
            #expect(own.coordinator == nil && own.name == "coordinator")
            #expect(worker.coordinator == own.pair.publicKey && worker.name == "worker-0")
            let list = try AllowList(path: folder.listPath)
            #expect(list.entries.map(\.name) == ["worker-0", "scorer"])
            #expect(list.entries.map(\.role) == [.stage, .speculator])
            #expect(list[worker.pair.publicKey]?.name == "worker-0")
            for file in ["coordinator", "worker-0", "scorer"] {
                var status = stat()
                #expect(stat(folder.keyPath(file), &status) == 0 && status.st_mode & 0o777 == 0o600)
            }
            // A key is never replaced by accident; preparing again changes nothing.
            #expect(throws: KeyError.self) { try folder.make("worker-0", role: .stage) }
            try folder.prepare()
            #expect(try KeyFile(path: folder.keyPath("coordinator")).pair.publicKey == own.pair.publicKey)
            #expect(try folder.revoke("worker-0") == 1)
            #expect(try folder.revoke("worker-0") == 0)
            #expect(try AllowList(path: folder.listPath)[worker.pair.publicKey] == nil)
        }
    }

    @Test func aSecretThatOthersMayReadIsRefused() async throws {
        try await withFolder { folder in
            let path = folder.keyPath(KeyFolder.coordinator)
            #expect(chmod(path, 0o640) == 0)
            let error = #expect(throws: KeyError.self) { _ = try KeyFile(path: path) }
            #expect(error?.description.contains("chmod 600") == true && error?.description.contains(path) == true)
        }
    }

    @Test func aFolderThatOthersMayChangeHoldsNoKeys() async throws {
        try await withFolder { folder in
            #expect(chmod(folder.path, 0o770) == 0)
            let error = #expect(throws: KeyError.self) { try folder.prepare() }
            #expect(error?.description.contains("chmod 700") == true)
            let file = KeyFolder(path: folder.listPath)
            #expect(throws: KeyError.self) { try file.prepare() }
        }
    }

    /// Who is killed leaves its folder; the next one clears it away, and nothing of who lives.
    @Test func whatAKilledProcessLeftIsRemoved() async throws {
        try await withFolder { parent in
            let living = try PassingFolder(in: parent.path)
            try SecretFile.write(Data("secret".utf8), to: living.path + "/a.key")
            let left = parent.path + "/winnow-keys-AbCdEf"
            #expect(mkdir(left, 0o700) == 0)
            try SecretFile.write(Data("secret".utf8), to: left + "/a.key")
            let other = parent.path + "/winnow-keys-of-somebody"
            #expect(mkdir(other, 0o700) == 0)
            let next = try PassingFolder(in: parent.path)
            #expect(access(left, F_OK) != 0 && access(other, F_OK) == 0)
            #expect(access(living.path + "/a.key", F_OK) == 0 && next.path != living.path)
            var status = stat()
            #expect(stat(next.path, &status) == 0 && status.st_mode & 0o777 == 0o700)
            next.remove()
            #expect(access(next.path, F_OK) != 0)
            withExtendedLifetime((living, next)) {}
        }
    }

    @Test(
        arguments: [
            "", "name = a", "secret = 12", "name = a\nsecret = zz",
            "name = a b\nsecret = " + String(repeating: "0", count: 64),
            "name = a\nname = a\nsecret = " + String(repeating: "0", count: 64), "key: value", "\u{0}\u{1}",
            "name = a\nsecret = " + String(repeating: "0", count: 64) + "\ncoordinator = 1",
        ])
    func aFileThatIsNoKey(text: String) async throws {
        try await withFolder { folder in
            let path = folder.keyPath("bad")
            #expect(FileManager.default.createFile(atPath: path, contents: Data(text.utf8)))
            #expect(chmod(path, 0o600) == 0)
            #expect(throws: KeyError.self) { _ = try KeyFile(path: path) }
        }
    }

    @Test(
        arguments: [
            ("stage a", "ROLE NAME KEY"), ("worker a 00", "the role must be"), ("stage a/b \(zeros)", "a name is"),
            ("stage a 00", "64 hexadecimal"), ("stage a \(zeros)\nstage b \(zeros)", "line 2"),
        ])
    func aListThatIsNone(text: String, says: String) {
        let error = #expect(throws: KeyError.self) { _ = try AllowList(text, path: "list") }
        #expect(error?.description.contains(says) == true, "\(String(describing: error))")
    }
    private static let zeros = String(repeating: "0", count: 64)

    @Test func namesMayBePatterns() throws {
        let list = try AllowList("# workers of a set\nstage worker-* \(Self.zeros)  # all of them\n", path: "list")
        let entry = try #require(list.entries.first)
        #expect(entry.covers(name: "worker-12") && entry.covers(name: "worker-") && !entry.covers(name: "spare-0"))
        #expect(!AllowList.isName("a*b") && !AllowList.isName("") && AllowList.isName("*"))
    }

    @Test func aListFollowsItsFile() async throws {
        try await withFolder { folder in
            let file = try AllowListFile(path: folder.listPath)
            #expect(file.reload() == nil)
            try folder.make("late", role: .stage)
            let key = try KeyFile(path: folder.keyPath("late")).pair.publicKey
            #expect(!file.mayJoin(key))
            guard case .success(let list) = file.reload() else {
                Issue.record("no change seen")
                return
            }
            #expect(list.entries.count == 1 && file.mayJoin(key))
            // What can't be read leaves the list as it was.
            try Data("nonsense".utf8).write(to: URL(fileURLWithPath: folder.listPath))
            guard case .failure = file.reload() else {
                Issue.record("nonsense was read")
                return
            }
            #expect(file.mayJoin(key))
        }
    }

    /// With no key, a wrong one, or a coordinator that is another than it thinks, nobody gets a message through; who is
    /// let in is known by its key.
    @Test func strangersAreNotLetInAndAreCounted() async throws {
        let context = try ZeroMQContext()
        let (server, friend, foe) = try (KeyPair.random(), KeyPair.random(), KeyPair.random())
        let ear = try Ear()
        let listener = try ZeroMQTransport(
            context: context, keys: .init(own: server) { $0 == friend.publicKey }
        ).listen(at: Carrier.anywhere, as: .control)
        let endpoint = listener.endpoint.description
        func link(_ own: KeyPair?, to key: PublicKey) throws -> any Link {
            try ZeroMQTransport(context: context, keys: own.map { .init(own: $0) { _ in false } })
                .connect(to: endpoint, named: .random(), key: key, as: .control)
        }
        ear.listen(listener)
        let strangers = [
            try link(nil, to: server.publicKey), try link(foe, to: server.publicKey),
            try link(friend, to: foe.publicKey),
        ]
        let known = try link(friend, to: server.publicKey)
        let epoch = Epoch(incarnation: 1, counter: 1)
        for sequence in UInt64(1)...50 {
            for stranger in strangers {
                #expect(await ear.send(Packet(epoch: epoch, sequence: 1000, .probe), stranger) == .wouldBlock)
            }
            await ear.sendSurely(Packet(epoch: epoch, sequence: sequence, .probe), known)
        }
        var heard = ear.heard.makeAsyncIterator()
        for sequence in UInt64(1)...50 {
            let one = try #require(await heard.next())
            #expect(one.packet?.sequence == sequence && one.key == friend.publicKey)
        }
        nonisolated(unsafe) let edge = listener
        var refusals = Refusals()
        while Set(refusals.counts.keys) != [.noKey, .unknownKey, .forged], !Task.isCancelled {
            refusals.add(await ear.on { edge.takeRefusals() })
            await Task.yield()
        }
        withExtendedLifetime(strangers) {}
        await ear.stop()
    }

    /// Its connection is cut, not only what it says thrown away: what it sends then goes nowhere.
    @Test func whoIsRevokedIsCutOff() async throws {
        let context = try ZeroMQContext()
        let (server, friend) = try (KeyPair.random(), KeyPair.random())
        let isRevoked = Flag()
        let ear = try Ear()
        let listener = try ZeroMQTransport(context: context, keys: .init(own: server) { _ in !isRevoked.isSet })
            .listen(at: Carrier.anywhere, as: .control)
        let link = try ZeroMQTransport(context: context, keys: .init(own: friend) { _ in false })
            .connect(to: listener.endpoint.description, named: .random(), key: server.publicKey, as: .control)
        ear.listen(listener)
        let probe = Packet(epoch: Epoch(incarnation: 1, counter: 1), sequence: 1, .probe)
        var heard = ear.heard.makeAsyncIterator()
        await ear.sendSurely(probe, link)
        #expect(await heard.next()?.key == friend.publicKey)
        isRevoked.set()
        await ear.sendSurely(probe, link)
        #expect(await heard.next()?.isUnwanted == true)
        await ear.sendUntil(.wouldBlock, probe, link)
        nonisolated(unsafe) let edge = listener
        #expect(await ear.on { edge.takeRefusals() }.counts[.revoked] == 1)
        await ear.stop()
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }

    @Test func secretsAreNotShown() throws {
        let pair = try KeyPair.random()
        #expect("\(pair)" == "key \(pair.publicKey)")
        #expect(PublicKey(pair.publicKey.description) == pair.publicKey)
        for text in [
            "", "0", Self.zeros + "0", String(Self.zeros.dropLast()) + "g", String(Self.zeros.dropLast()) + "A",
        ] {
            #expect(PublicKey(text) == nil)
        }
    }
}
