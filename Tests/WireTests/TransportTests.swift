import Testing
import Wire

/// What the rooms above take for granted of their edges, whatever carries them.
@Suite("Transports", .timeLimit(.minutes(1)))
struct TransportTests {
    private let epoch = Epoch(incarnation: 1, counter: 1)
    private let data = EdgeKind.data(maxFrameBytes: 1 << 20)

    private func packet(_ sequence: UInt64) -> Packet { Packet(epoch: epoch, sequence: sequence, .release([sequence])) }

    @Test(arguments: Carrier.allCases)
    func allArrivesInOrderAndSaysWhoSpeaks(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        #expect(listener.endpoint.isConnectable)
        ear.listen(listener)
        let peers = [PeerID.random(), PeerID.random()]
        let links = try peers.map {
            try transport.connect(to: listener.endpoint.description, named: $0, as: .control)
        }
        var next: [PeerID: UInt64] = [:]
        var heard = ear.heard.makeAsyncIterator()
        // An edge without keys holds little of a connection that it does not know yet: the first is awaited.
        for sequences in [1...1, 2...100] {
            for sequence in sequences {
                for link in links { await ear.sendSurely(packet(UInt64(sequence)), link) }
            }
            for _ in 0..<sequences.count * links.count {
                let one = try #require(await heard.next())
                let peer = try #require(one.peer)
                next[peer, default: 0] += 1
                #expect(one.packet?.sequence == next[peer])
                #expect(one.packet?.message == .release([next[peer] ?? 0]))
            }
        }
        #expect(next == Dictionary(uniqueKeysWithValues: peers.map { ($0, 100) }))
        await ear.stop()
    }

    @Test(arguments: Carrier.allCases)
    func tensorsArriveWhole(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: data)
        let peer = PeerID.random()
        listener.allow([try carrier.guest(peer)])
        ear.listen(listener)
        let link = try transport.connect(to: listener.endpoint.description, named: peer, as: data)
        for index in 0..<50 {
            let tensors = try [10_000, 0, 1].map { try Frame([UInt8](repeating: UInt8(index), count: $0)) }
            await ear.sendSurely(
                Packet(
                    epoch: epoch, sequence: UInt64(index + 1), .microBatch(WireMicroBatch(id: 1, segments: [])),
                    tensors: tensors),
                link)
        }
        var heard = ear.heard.makeAsyncIterator()
        for index in 0..<50 {
            let one = try #require(await heard.next()?.packet)
            #expect(one.sequence == UInt64(index + 1))
            #expect(one.tensors.map(\.count) == [10_000, 0, 1])
            #expect(one.tensors[0].withBytes { bytes in bytes.allSatisfy { $0 == UInt8(index) } })
        }
        await ear.stop()
    }

    @Test(arguments: Carrier.allCases)
    func anAnswerReachesWhoItIsForAndNobodyElse(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let server = try Ear()
        let ears = [try Ear(), try Ear()]
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        server.listen(listener)
        let peers = [PeerID.random(), PeerID.random()]
        var links: [any Link] = []
        for (peer, ear) in zip(peers, ears) {
            let link = try transport.connect(to: listener.endpoint.description, named: peer, as: .control)
            ear.listen(link)
            await ear.sendSurely(packet(1), link)
            links.append(link)
        }
        var heard = server.heard.makeAsyncIterator()
        for _ in peers { _ = await heard.next() }
        for (index, peer) in peers.enumerated() {
            #expect(await server.send(packet(UInt64(index + 10)), listener, to: peer) == .sent)
        }
        for (index, ear) in ears.enumerated() {
            var told = ear.heard.makeAsyncIterator()
            #expect(await told.next()?.packet?.sequence == UInt64(index + 10))
        }
        _ = links
        for ear in ears + [server] { await ear.stop() }
    }

    @Test(arguments: Carrier.allCases)
    func nobodyThereIsSaid(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        #expect(await ear.send(packet(1), listener, to: .random()) == .noSuchPeer)
        let link = try transport.connect(to: "tcp://127.0.0.1:1", named: .random(), as: .control)
        #expect(await ear.send(packet(1), link) == .wouldBlock)
        await ear.stop()
    }

    @Test(arguments: Carrier.allCases)
    func aClosedLinkIsNoPeerAnyMore(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        ear.listen(listener)
        let peer = PeerID.random()
        var link: (any Link)? = try transport.connect(to: listener.endpoint.description, named: peer, as: .control)
        if let link { await ear.sendSurely(packet(1), link) }
        var heard = ear.heard.makeAsyncIterator()
        _ = await heard.next()
        #expect(await ear.send(packet(2), listener, to: peer) == .sent)
        link = nil
        await ear.sendUntil(.noSuchPeer, packet(3), listener, to: peer)
        await ear.stop()
    }

    @Test(arguments: Carrier.allCases)
    func aClosedListenerTakesNothing(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        var listener: (any Listener)? = try transport.listen(at: Carrier.anywhere, as: .control)
        let endpoint = try #require(listener?.endpoint)
        let link = try transport.connect(to: endpoint.description, named: .random(), as: .control)
        await ear.sendSurely(packet(1), link)
        listener = nil
        await ear.sendUntil(.wouldBlock, packet(2), link)
        // Whoever listens there next is reached over the same link. The link may have blocked because it was full, with its
        // end not closed yet.
        var successor: (any Listener)?
        while successor == nil {
            do throws(ZeroMQError) {
                successor = try transport.listen(at: endpoint, as: .control)
            } catch {
                try #require(error.isAddressInUse && !Task.isCancelled)
                await Task.yield()
            }
        }
        let next = try #require(successor)
        ear.listen(next)
        var heard = ear.heard.makeAsyncIterator()
        let first = await ear.sendWhile(packet(3), link) { await heard.next() }
        #expect(first?.packet?.sequence == 3)
        await ear.stop()
    }

    /// A worker that comes back under its name has one connection, not two.
    @Test(arguments: Carrier.allCases)
    func theNewestLinkOfANameCounts(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let server = try Ear()
        let (first, second) = (try Ear(), try Ear())
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        server.listen(listener)
        let peer = PeerID.random()
        var heard = server.heard.makeAsyncIterator()
        var links: [any Link] = []
        for (index, ear) in [first, second].enumerated() {
            let link = try transport.connect(to: listener.endpoint.description, named: peer, as: .control)
            ear.listen(link)
            await ear.sendSurely(packet(UInt64(index + 1)), link)
            #expect(await heard.next()?.packet?.sequence == UInt64(index + 1))
            links.append(link)
        }
        #expect(await server.send(packet(9), listener, to: peer) == .sent)
        var told = second.heard.makeAsyncIterator()
        #expect(await told.next()?.packet?.sequence == 9)
        _ = links
        for ear in [first, second, server] { await ear.stop() }
    }

    @Test(arguments: Carrier.allCases)
    func onlyGuestsAreHeardOnADataEdge(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: data)
        let guest = PeerID.random()
        listener.allow([try carrier.guest(guest)])
        ear.listen(listener)
        let strange = try transport.connect(to: listener.endpoint.description, named: .random(), as: data)
        let known = try transport.connect(to: listener.endpoint.description, named: guest, as: data)
        // The stranger tries before and while the guest speaks.
        for sequence in 1...50 {
            #expect(await ear.send(packet(1000), strange) == .wouldBlock)
            await ear.sendSurely(packet(UInt64(sequence)), known)
        }
        var heard = ear.heard.makeAsyncIterator()
        for sequence in 1...50 {
            let one = try #require(await heard.next())
            #expect(one.peer == guest && one.packet?.sequence == UInt64(sequence))
        }
        await ear.stop()
    }

    /// The next assignment names a neighbour that has tried to connect for a while.
    @Test(arguments: Carrier.allCases)
    func aGuestIsLetInLaterThoughItConnectedEarlier(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: data)
        ear.listen(listener)
        let first = PeerID.random()
        let later = PeerID.random()
        let links = try [first, later].map {
            try transport.connect(to: listener.endpoint.description, named: $0, as: data)
        }
        nonisolated(unsafe) let edge = listener
        let guests = try (carrier.guest(first), carrier.guest(later))
        await ear.on { edge.allow([guests.0]) }
        await ear.sendSurely(packet(1), links[0])
        #expect(await ear.send(packet(2), links[1]) == .wouldBlock)
        // Read before its sender is a guest no more: what is sent is not yet heard.
        var heard = ear.heard.makeAsyncIterator()
        #expect(await heard.next()?.packet?.sequence == 1)
        await ear.on { edge.allow([guests.1]) }
        await ear.sendSurely(packet(3), links[1])
        #expect(await heard.next()?.packet?.sequence == 3)
        // Whoever was a guest once may still be connected, and is heard no more.
        _ = await ear.send(packet(4), links[0])
        await ear.sendSurely(packet(5), links[1])
        var last = await heard.next()
        while last?.isUnwanted == true { last = await heard.next() }
        #expect(last?.packet?.sequence == 5)
        await ear.stop()
    }

    @Test(arguments: Carrier.allCases)
    func anEpochNobodyWaitsForIsNotLookedAt(carrier: Carrier) async throws {
        let transport = try carrier.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Carrier.anywhere, as: .control)
        ear.listen(listener, isWanted: { $0.counter == 2 })
        let link = try transport.connect(to: listener.endpoint.description, named: .random(), as: .control)
        await ear.sendSurely(packet(1), link)
        await ear.sendSurely(Packet(epoch: Epoch(incarnation: 1, counter: 2), sequence: 1, .probe), link)
        var heard = ear.heard.makeAsyncIterator()
        #expect(await heard.next()?.isUnwanted == true)
        #expect(await heard.next()?.packet?.message == .probe)
        await ear.stop()
    }
}
