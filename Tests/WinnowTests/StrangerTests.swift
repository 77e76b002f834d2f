// Everybody who may not come in, at the doors of a cluster that serves meanwhile.

import ChildPrograms
import Foundation
import Synchronization
import Testing
import Wire

/// One way to come to an edge uninvited.
enum Stranger: String, CaseIterable, CustomTestStringConvertible {
    case wrongKey, noKey, revokedKey, wrongServer, wrongRole, anothersName, forgedOutcome, foreignRows,
        replayedHandshake
    case http, randomBytes, halfOpen, slowFrame, thousandConnects, thousandOpen, unfinishedMultipart, hugeFrame

    var testDescription: String { rawValue }

    /// For what it is counted, if it is.
    var reasons: Set<Refusals.Reason> {
        switch self {
        case .wrongKey, .revokedKey, .forgedOutcome, .foreignRows: [.unknownKey]
        case .noKey, .unfinishedMultipart, .hugeFrame: [.noKey, .malformed]
        case .wrongServer, .replayedHandshake: [.forged]
        case .wrongRole, .anothersName: [.misplaced]
        case .http, .randomBytes: [.malformed]
        case .halfOpen, .slowFrame: [.slow]
        case .thousandConnects: [.left, .flood]
        case .thousandOpen: [.flood]
        }
    }

    var isOfResults: Bool { self == .forgedOutcome }
    /// At a worker's own door.
    var isOfData: Bool { self == .foreignRows }
}

extension EndToEnd {
    @Suite("Strangers at a cluster's doors", .timeLimit(.minutes(3)))
    struct StrangerTests {
        /// 16 MiB.
        private static let bound = 16 << 20

        /// What the processes hold at most since they were last looked at, bytes above what they held then.
        private struct Memory {
            let pids: [Int32]
            private let before: [Int]

            init(_ pids: [Int32]) throws {
                self.pids = pids
                before = try pids.map { pid in
                    try "5".write(toFile: "/proc/\(pid)/clear_refs", atomically: false, encoding: .utf8)
                    return try Self.peak(pid)
                }
            }

            func growth() throws -> [Int] { try zip(pids, before).map { try Self.peak($0) - $1 } }

            private static func peak(_ pid: Int32) throws -> Int {
                let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
                let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
                return try #require(Int(line.split(separator: " ").dropLast().last ?? "")) * 1024
            }
        }

        /// The clients that are served meanwhile.
        private final class Load: Sendable {
            let served = Atomic(0)
            let isOver = Atomic(false)
        }

        private struct Place: Sendable {
            var control: Endpoint
            var results: Endpoint
            /// The first stage's.
            var data: Endpoint
            var keys: KeyFolder
            /// Keys that are none of this cluster's.
            var other: KeyFolder

            func port(_ stranger: Stranger) throws -> UInt16 {
                guard case .tcp(_, let port) = (stranger.isOfResults ? results : control).transport else {
                    throw POSIXError(.EINVAL)
                }
                return port
            }
        }

        @Test func nobodyOfThemDisturbsTheService() async throws {
            let folder = try TemporaryFolder()
            let (keys, other) = (folder.file("keys").path, folder.file("other").path)
            for (names, path) in [(["w0", "w1", "spare", "score=speculator"], keys), (["w0"], other)] {
                #expect(try await Program.run(["keys", "new"] + names + ["--dir", path]).end == .exit(0))
            }
            #expect(try await Program.run(["keys", "new", "old", "--dir", keys]).end == .exit(0))
            try FileManager.default.copyItem(atPath: "\(keys)/old.key", toPath: "\(other)/old.key")
            #expect(try await Program.run(["keys", "revoke", "old", "--dir", keys]).end == .exit(0))
            let results = "tcp://127.0.0.1:\(try FreePort.any())"
            let data = "tcp://127.0.0.1:\(try FreePort.any())"
            var shape = Cluster.Shape.stories(stages: 2)
            shape.options = ["--keys", keys, "--results", results]
            try await withCluster(shape) { cluster in
                let workers = try ["w0", "w1"].map { (name: String) in
                    try cluster.addWorker(
                        name: name, ["--key", "\(keys)/\(name).key"] + (name == "w0" ? ["--listen", data] : []))
                }
                let place = Place(
                    control: try Endpoint(cluster.endpoint), results: try Endpoint(results),
                    data: try Endpoint(data), keys: KeyFolder(path: keys), other: KeyFolder(path: other))
                try await Self.serve(cluster, workers, place)
            }
            withExtendedLifetime(folder) {}
        }

        private static func serve(_ cluster: Cluster, _ workers: [RunningProgram], _ place: Place) async throws {
            let client = try await cluster.ready()
            let ask = Ask(prompt: .text(Story.beginning), maxTokens: 20, temperature: 0)
            let right = try await client.complete(ask).text
            let load = Load()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        while !load.isOver.load(ordering: .relaxed) {
                            let text = try await client.complete(ask).text
                            #expect(text == right)
                            load.served.add(1, ordering: .relaxed)
                        }
                    }
                }
                group.addTask {
                    defer { load.isOver.store(true, ordering: .relaxed) }
                    // What serving itself takes is taken before anybody measures.
                    while load.served.load(ordering: .relaxed) < 50 { try await Task.sleep(for: .milliseconds(10)) }
                    for stranger in Stranger.allCases {
                        try await Self.meet(stranger, cluster, workers, place, client, load)
                    }
                }
                try await group.waitForAll()
            }
        }

        private static func meet(
            _ stranger: Stranger, _ cluster: Cluster, _ workers: [RunningProgram], _ place: Place, _ client: Client,
            _ load: Load
        ) async throws {
            let coordinator = cluster.coordinator
            let before = try await Self.settled(client, stranger)
            let teller = stranger.isOfData ? workers[0] : coordinator
            let lines = Self.lines(teller).count
            let count = load.served.load(ordering: .relaxed)
            let memory = try Memory([coordinator.pid] + workers.map(\.pid))
            let start = ContinuousClock.now
            try await Self.come(stranger, cluster, place)
            let counted = try await within(.seconds(10), "\(stranger.rawValue) to be counted") {
                while true {
                    let counted = try await Self.refusals(client, stranger).subtracting(before)
                    if !counted.isDisjoint(with: stranger.reasons) { return counted }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            // A client that is refused hangs up, at times before it is told; on a busy machine it is slow as well.
            #expect(
                counted.isSubset(of: stranger.reasons.union([.left, .slow])),
                "\(stranger.rawValue): counted as \(counted)")
            // A line a second, whatever comes.
            let seconds = Int(start.duration(to: .now) / .seconds(1)) + 2
            let told = Self.lines(teller).dropFirst(lines)
            #expect((1...seconds).contains(told.count), "\(stranger.rawValue): \(told.joined(separator: "\n"))")
            for (pid, growth) in zip(memory.pids, try memory.growth()) {
                #expect(growth < Self.bound, "\(stranger.rawValue): process \(pid) took \(growth) bytes")
            }
            try await within(.seconds(10), "service beside \(stranger.rawValue)") {
                while load.served.load(ordering: .relaxed) < count + 5 {
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }

        private static func lines(_ teller: RunningProgram) -> [String] {
            teller.log.soFar.filter { $0.contains("refused connections") || $0.contains("refused a worker") }
        }

        private static func samples(_ client: Client, _ family: String) async throws -> [(labels: Substring, Int)] {
            let text = String(decoding: try await client.get("/metrics").body, as: UTF8.self)
            return text.split(separator: "\n").filter { $0.hasPrefix(family + "{") }.compactMap { line in
                let words = line.split(separator: " ")
                return Int(words.last ?? "").map { (words[0], $0) }
            }
        }

        private struct Tally {
            var counts: [Refusals.Reason: Int]
            func subtracting(_ other: Tally) -> Set<Refusals.Reason> {
                Set(counts.filter { $0.value > other.counts[$0.key] ?? 0 }.keys)
            }
        }

        /// What is counted at that stranger's kind of door.
        private static func refusals(_ client: Client, _ stranger: Stranger) async throws -> Tally {
            var counts: [Refusals.Reason: Int] = [:]
            for (labels, count) in try await samples(client, "winnow_refused_connections_total") {
                let values = labels.split(separator: "\"")
                guard (values[1] == "data") == stranger.isOfData else { continue }
                counts[try #require(Refusals.Reason(rawValue: String(values[3]))), default: 0] += count
            }
            return Tally(counts: counts)
        }

        /// Once nothing more is counted of who came before.
        private static func settled(_ client: Client, _ stranger: Stranger) async throws -> Tally {
            var tally = try await refusals(client, stranger)
            while true {
                // They are counted once a second, and workers report every quarter of one.
                try await Task.sleep(for: .milliseconds(1600))
                let next = try await refusals(client, stranger)
                if next.counts == tally.counts { return next }
                tally = next
            }
        }

        // MARK: The strangers

        private static func come(_ stranger: Stranger, _ cluster: Cluster, _ place: Place) async throws {
            let port = try place.port(stranger)
            switch stranger {
            case .wrongKey:
                try await knock(place.control, KeyFile(path: place.other.keyPath("w0")).pair, place)
            case .noKey:
                try await knock(place.control, nil, place)
                // Such a client may hang up before it is told; this one waits for it.
                try await raw(port) { $0.send(greeting("NULL")) && $0.isCut() }
            case .revokedKey: try await knock(place.control, KeyFile(path: place.other.keyPath("old")).pair, place)
            case .wrongServer:
                let pair = try KeyFile(path: place.keys.keyPath("spare")).pair
                try await knock(place.control, pair, place, server: KeyPair.random().publicKey)
            case .wrongRole, .anothersName:
                let name = stranger == .wrongRole ? "score" : "w0"
                let key = place.keys.keyPath(stranger == .wrongRole ? "score" : "spare")
                let liar = try cluster.addWorker(name: name, ["--key", key])
                #expect(try await within(.seconds(20), "its end") { try await liar.end() } == .exit(69))
            case .forgedOutcome:
                let outcome = WireOutcome(
                    microBatch: 1, samples: [WireSample(request: 1, step: 0, token: 0, logProbability: 0)])
                try await knock(
                    place.results, KeyFile(path: place.keys.keyPath("spare")).pair, place, saying: .outcome(outcome),
                    as: .data(maxFrameBytes: 1 << 20))
            case .foreignRows:
                // The key of a worker, though not of the one whose rows come here.
                try await knock(
                    place.data, KeyFile(path: place.keys.keyPath("spare")).pair, place,
                    server: KeyFile(path: place.keys.keyPath("w0")).pair.publicKey,
                    saying: .microBatch(WireMicroBatch(id: 1, segments: [])), as: .data(maxFrameBytes: 1 << 20))
            case .replayedHandshake:
                let recorder = try Recorder(target: port)
                let pair = try KeyFile(path: place.keys.keyPath("spare")).pair
                let own = try KeyFile(path: place.keys.keyPath(KeyFolder.coordinator)).pair.publicKey
                let link = try ZeroMQTransport(context: ZeroMQContext(), keys: .init(own: pair) { _ in false })
                    .connect(to: "tcp://127.0.0.1:\(recorder.port)", named: .random(), key: own, as: .control)
                try await within(.seconds(5), "a handshake") {
                    while recorder.recorded.count < 500 { try await Task.sleep(for: .milliseconds(10)) }
                }
                withExtendedLifetime(link) {}
                let recorded = recorder.recorded
                // A greeting and HELLO; what follows answers the server's WELCOME, whose cookie is another each time.
                try await raw(port) { peer in
                    let hello = 64 + 202
                    guard peer.send(Array(recorded.prefix(hello))) else { return false }
                    var count = 0
                    while count < 64 + 170, let part = peer.receive(), !part.isEmpty { count += part.count }
                    _ = peer.send(Array(recorded.dropFirst(hello)))
                    return count >= 64 + 170 && peer.isCut()
                }
            case .http: try await raw(port) { $0.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) && $0.isCut() }
            case .randomBytes:
                var generator = SystemRandomNumberGenerator()
                let bytes = [0x17] + (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
                try await raw(port) { peer in
                    _ = peer.send(bytes)
                    return peer.isCut()
                }
            case .halfOpen: try await raw(port) { $0.isCut() }
            case .slowFrame:
                // A handshake's frame, as long as an edge takes one, that never ends.
                try await raw(port) { peer in
                    _ = peer.send(greeting("CURVE") + long(1 << 15, flags: 6) + [UInt8](repeating: 0, count: 30_000))
                    return peer.isCut()
                }
            case .thousandConnects:
                try await blocking { for _ in 0..<1000 { _ = try RawConnection(port: port) } }
            case .thousandOpen:
                try await blocking {
                    let peers = try (0..<1000).map { _ in try RawConnection(port: port) }
                    #expect(peers.allSatisfy { $0.isCut() })
                }
            case .unfinishedMultipart:
                // 600 MiB, a mebibyte a frame, to an edge that has keys.
                try await raw(port) { peer in
                    var count = 0
                    _ = peer.send(greeting("NULL"))
                    let frame = long(1 << 20, flags: 3) + [UInt8](repeating: 1, count: 1 << 20)
                    while count < 600, peer.send(frame) { count += 1 }
                    return count < 600
                }
            case .hugeFrame:
                try await raw(port) { peer in
                    _ = peer.send(greeting("CURVE") + long(1 << 30, flags: 6))
                    let part = [UInt8](repeating: 1, count: 1 << 20)
                    var count = 0
                    while count < 1024, peer.send(part) { count += 1 }
                    return count < 1024
                }
            }
        }

        /// A connection of its own; the body says whether it was refused.
        private static func raw(_ port: UInt16, _ body: @escaping @Sendable (RawConnection) -> Bool) async throws {
            #expect(try await blocking { body(try RawConnection(port: port)) })
        }

        /// ZMTP 3.0's first 64 bytes.
        private static func greeting(_ mechanism: String) -> [UInt8] {
            let head: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0] + Array(mechanism.utf8)
            return head + [UInt8](repeating: 0, count: 64 - head.count)
        }

        /// The head of a long frame.
        private static func long(_ count: Int, flags: UInt8) -> [UInt8] {
            [flags] + withUnsafeBytes(of: UInt64(count).bigEndian) { Array($0) }
        }

        /// Connects and speaks, for as long as a handshake may last: nothing is taken.
        private static func knock(
            _ endpoint: Endpoint, _ pair: KeyPair?, _ place: Place, server: PublicKey? = nil,
            saying message: Message = .probe, as kind: EdgeKind = .control
        ) async throws {
            let key = try server ?? KeyFile(path: place.keys.keyPath(KeyFolder.coordinator)).pair.publicKey
            try await blocking {
                let link = try ZeroMQTransport(
                    context: ZeroMQContext(), keys: pair.map { pair in .init(own: pair) { _ in false } }
                ).connect(to: endpoint.description, named: .random(), key: key, as: kind)
                let packet = Packet(epoch: Epoch(incarnation: 1, counter: 1), sequence: 1, message)
                let until = ContinuousClock.now + .seconds(2)
                while ContinuousClock.now < until {
                    #expect(try link.send(packet) == .wouldBlock)
                    usleep(5000)
                }
            }
        }
    }
}
