import Foundation
import Synchronization
import Testing
import Wire

/// What only real sockets do.
@Suite("Sockets", .timeLimit(.minutes(1)))
struct SocketTests {
    private let limits = Socket.Limits(maxFrameBytes: 1 << 20)
    private let epoch = Epoch(incarnation: 1, counter: 1)

    @Test func aPortInUseIsNamed() throws {
        let transport = try Carrier.zeroMQ.make()
        let first = try transport.listen(at: Carrier.anywhere, as: .control)
        let error = #expect(throws: ZeroMQError.self) { _ = try transport.listen(at: first.endpoint, as: .control) }
        #expect(error?.isAddressInUse == true)
        #expect(error?.description.contains("in use") == true)
        #expect(error?.description.contains(first.endpoint.description) == true)
    }

    @Test func aPathIsAnEndpointToo() async throws {
        let transport = try Carrier.zeroMQ.make()
        let ear = try Ear()
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID().uuidString)").path
        #expect(mkdir(folder, 0o700) == 0)
        let path = folder + "/edge"
        let listener = try transport.listen(at: Endpoint(.ipc(path: path)), as: .data(maxFrameBytes: 1000))
        let peer = PeerID.random()
        listener.allow([Guest(peer)])
        ear.listen(listener)
        let link = try transport.connect(
            to: listener.endpoint.description, named: peer, as: .data(maxFrameBytes: 1000))
        await ear.sendSurely(Packet(epoch: epoch, sequence: 1, .probe), link)
        var heard = ear.heard.makeAsyncIterator()
        #expect(await heard.next()?.peer == peer)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        await ear.stop()
        // Where others may write, others may answer.
        #expect(chmod(folder, 0o777) == 0)
        let bound = #expect(throws: ZeroMQError.self) {
            _ = try transport.listen(at: Endpoint(.ipc(path: path + "2")), as: .control)
        }
        let connected = #expect(throws: ZeroMQError.self) {
            _ = try transport.connect(to: "ipc://\(path)2", named: peer, as: .control)
        }
        #expect(bound?.description.contains("mkdir -m 700") == true, "\(String(describing: bound))")
        #expect(connected?.description.contains("mkdir -m 700") == true, "\(String(describing: connected))")
        try? FileManager.default.removeItem(atPath: folder)
    }

    @Test func aFrameTooLongCutsItsSenderOff() async throws {
        let transport = try Carrier.zeroMQ.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .data(maxFrameBytes: 1000))
        let (rogue, honest) = (PeerID.random(), PeerID.random())
        listener.allow([Guest(rogue), Guest(honest)])
        ear.listen(listener)
        let links = try [rogue, honest].map {
            try transport.connect(to: listener.endpoint.description, named: $0, as: .data(maxFrameBytes: 1000))
        }
        let long = try Frame([UInt8](repeating: 1, count: 5000))
        await ear.sendSurely(
            Packet(epoch: epoch, sequence: 1, .microBatch(WireMicroBatch(id: 1, segments: [])), tensors: [long]),
            links[0])
        await ear.sendSurely(Packet(epoch: epoch, sequence: 7, .probe), links[1])
        var heard = ear.heard.makeAsyncIterator()
        let one = try #require(await heard.next())
        #expect(one.peer == honest && one.packet?.sequence == 7)
        await ear.stop()
    }

    /// Frames of any number and content: an answer that names the fault, and the next one is heard.
    @Test func whatIsNoPacketIsSaidAndForgotten() async throws {
        let context = try ZeroMQContext()
        let transport = ZeroMQTransport(context: context)
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        ear.listen(listener)
        let socket = try Socket(.dealer, context: context, limits: limits)
        try socket.setIdentity([7, 7])
        try socket.connect(listener.endpoint.description)
        func send(_ frames: [[UInt8]]) async throws {
            let frames = try frames.map { try Frame($0) }
            while !Task.isCancelled, await ear.on({ try? socket.send(frames) }) != .sent { await Task.yield() }
        }
        var heard = ear.heard.makeAsyncIterator()
        var random = Seeded(state: 5)
        for count in [1, 2, 3, 8, 9, 200] {
            try await send((0..<count).map { _ in random.bytes(random.int(1...50)) })
            let one = try #require(await heard.next())
            #expect(one.error != nil && one.packet == nil)
            #expect(one.peer == PeerID([7, 7]) || count > 7)
        }
        // An empty delimiter, as a REQ socket sends it.
        try await send([[], [1]])
        #expect(await heard.next()?.error?.field == "header")
        let good = try Codec.frames(Packet(.release([1]))).map { frame in frame.withBytes { Array($0) } }
        try await send(good)
        #expect(await heard.next()?.packet?.message == .release([1]))
        await ear.stop()
    }

    @Test func workIsDoneInOrderOnOneThread() async throws {
        let ear = try Ear()
        let seen = Mutex<[Int]>([])
        for index in 0..<1000 { ear.submit { seen.withLock { $0.append(index) } } }
        await ear.on {}
        #expect(seen.withLock { $0 } == Array(0..<1000))
        await ear.stop()
    }
}
