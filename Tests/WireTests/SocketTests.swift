import Dispatch
import Synchronization
import Testing
import Wire

@Suite("Sockets", .timeLimit(.minutes(1)))
struct SocketTests {
    private let limits = Socket.Limits(maxFrameBytes: 1 << 20)

    @Test func aPortInUseIsNamed() throws {
        let context = try ZeroMQContext()
        let first = try Socket(.router, context: context, limits: limits)
        let endpoint = try first.bind("tcp://127.0.0.1:*")
        #expect(try Endpoint(endpoint).isConnectable)
        let second = try Socket(.router, context: context, limits: limits)
        let error = #expect(throws: ZeroMQError.self) { _ = try second.bind(endpoint) }
        #expect(error?.isAddressInUse == true)
        #expect(error?.description.contains("in use") == true)
        #expect(error?.description.contains(endpoint) == true)
    }

    @Test func aRouterSaysThatNobodyIsThere() throws {
        let router = try Socket(.router, context: try ZeroMQContext(), limits: limits)
        _ = try router.bind("tcp://127.0.0.1:*")
        let frames = try Message(.heartbeatReply(HeartbeatReply())).frames()
        let name = try [UInt8]("nobody".utf8).withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
        #expect(try router.send([name] + frames) == .noSuchPeer)
    }

    @Test func aDealerTakesNothingForADeadEndpoint() throws {
        let edge = try OutgoingEdge(
            to: "tcp://127.0.0.1:1", identity: "x", context: try ZeroMQContext(), limits: limits)
        #expect(try edge.send(epoch: 1, .heartbeatReply(HeartbeatReply())) == .wouldBlock)
    }

    /// A receiving end whose state lives on a loop's thread.
    private actor Receiver {
        private let loop: SocketLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
        private let socket: Socket
        private let seen: AsyncStream<(UInt64, [UInt8])>.Continuation

        init(loop: SocketLoop, socket: Socket, seen: AsyncStream<(UInt64, [UInt8])>.Continuation) {
            self.loop = loop
            self.socket = socket
            self.seen = seen
        }

        func start() {
            loop.watch(socket) { [unowned self] in
                assumeIsolated { receiver in
                    while let frames = try? receiver.socket.receive() {
                        guard let message = try? Message(frames: frames.dropFirst()) else { continue }
                        let bytes = message.tensors.first?.withBytes { Array($0.prefix(8)) } ?? []
                        receiver.seen.yield((message.envelope.sequence, bytes))
                    }
                }
            }
        }
    }

    @Test(arguments: ["tcp://127.0.0.1:*", "ipc:///tmp/winnow-wire-\(UInt64.random(in: 0 ... .max))"])
    func anEdgeCarriesTensorsInOrder(endpoint: String) async throws {
        let context = try ZeroMQContext()
        let socket = try Socket(.router, context: context, limits: limits)
        let bound = try socket.bind(endpoint)
        let loop = try SocketLoop(name: "receiver")
        let (stream, continuation) = AsyncStream<(UInt64, [UInt8])>.makeStream()
        let receiver = Receiver(loop: loop, socket: socket, seen: continuation)
        loop.start()
        await receiver.start()
        let edge = try OutgoingEdge(to: bound, identity: "sender", context: context, limits: limits)
        let total = 200
        let sender = Task.detached {
            var sent = 0
            while sent < total {
                let payload = [UInt8](repeating: UInt8(sent % 251), count: 10_000)
                let frame = try payload.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
                // Until the link stands nothing is taken, and nothing counted.
                if try edge.send(epoch: 1, .microBatch(MicroBatchMessage()), tensors: [frame]) == .sent { sent += 1 }
            }
        }
        var expected: UInt64 = 1
        for await (sequence, bytes) in stream {
            #expect(sequence == expected)
            #expect(bytes == [UInt8](repeating: UInt8((expected - 1) % 251), count: 8))
            expected += 1
            if expected > UInt64(total) { break }
        }
        try await sender.value
        await stop(loop)
    }

    @Test func aFrameTooLongCutsItsSenderOff() async throws {
        let context = try ZeroMQContext()
        let socket = try Socket(.router, context: context, limits: Socket.Limits(maxFrameBytes: 1000))
        let bound = try socket.bind("tcp://127.0.0.1:*")
        let loop = try SocketLoop(name: "receiver")
        let (stream, continuation) = AsyncStream<(UInt64, [UInt8])>.makeStream()
        let receiver = Receiver(loop: loop, socket: socket, seen: continuation)
        loop.start()
        await receiver.start()
        let rogue = try OutgoingEdge(to: bound, identity: "rogue", context: context, limits: limits)
        let honest = try OutgoingEdge(to: bound, identity: "honest", context: context, limits: limits)
        let long = try [UInt8](repeating: 1, count: 5000).withUnsafeBytes { bytes throws(ZeroMQError) in
            try Frame(copying: bytes)
        }
        while try rogue.send(epoch: 1, .microBatch(MicroBatchMessage()), tensors: [long]) != .sent {}
        while try honest.send(epoch: 1, .heartbeatReply(HeartbeatReply())) != .sent {}
        for await (sequence, bytes) in stream {
            #expect(sequence == 1 && bytes.isEmpty)  // the honest one's: the other never arrives
            break
        }
        await stop(loop)
    }

    @Test func workIsDoneInOrderOnOneThread() async throws {
        let loop = try SocketLoop(name: "order")
        let seen = Mutex<[Int]>([])
        loop.start()
        await withCheckedContinuation { done in
            for index in 0..<1000 { loop.submit { seen.withLock { $0.append(index) } } }
            loop.submit { done.resume() }
        }
        #expect(seen.withLock { $0 } == Array(0..<1000))
        await stop(loop)
    }

    private func stop(_ loop: SocketLoop) async {
        await withCheckedContinuation { done in
            DispatchQueue.global().async {
                loop.stopAndWait()
                done.resume()
            }
        }
    }
}
