import Layers
import Testing
import Wire

@Suite("Codec", .timeLimit(.minutes(1)))
struct CodecTests {
    private func bytes(_ frames: [Frame]) -> [[UInt8]] { frames.map { frame in frame.withBytes { Array($0) } } }

    private func read(_ frames: [[UInt8]], isWanted: (Epoch) -> Bool = { _ in true }) throws -> Packet? {
        try Codec.packet(try frames.map { try Frame($0) }, maxBody: 1 << 20, isWanted: isWanted)
    }

    @Test(arguments: MessageKind.allCases)
    func whatIsSentIsRead(kind: MessageKind) throws {
        var random = Seeded(state: 1)
        for _ in 0..<300 {
            let sent = Packet(
                epoch: random.epoch(), sequence: random.next(), random.message(kind),
                tensors: kind == .probe ? [] : [try Frame(random.bytes(random.int(0...100))), try Frame([1, 2])])
            let read = try #require(try read(bytes(try Codec.frames(sent))))
            #expect(read.epoch == sent.epoch && read.sequence == sent.sequence)
            #expect(read.message == sent.message)
            #expect(bytes(read.tensors) == bytes(sent.tensors))
        }
    }

    /// What is not finite must reach the one who ends the request.
    @Test func aLogProbabilityThatIsNoNumberStaysOne() throws {
        let outcome = WireOutcome(
            microBatch: 1, samples: [WireSample(request: 1, step: 0, token: 0, logProbability: .nan)])
        let read = try read(bytes(try Codec.frames(Packet(.outcome(outcome)))))
        guard case .outcome(let found) = read?.message else {
            Issue.record("not an outcome: \(String(describing: read))")
            return
        }
        #expect(found.samples.first?.logProbability.isNaN == true)
    }

    @Test(arguments: [8, 31, 32, 33])
    func anotherVersionNamesTheFixWhateverItsLength(count: Int) {
        let header: [UInt8] = [99, 0, 0, 0] + [UInt8](repeating: 1, count: count - 4)
        let error = #expect(throws: MessageError.self) { try read([header, [1, 2, 3]]) }
        #expect(error?.field == "header.version")
        #expect(error?.problem.contains("found 99") == true)
        #expect(error?.problem.contains("run the same Winnow release on every host") == true)
    }

    @Test func whatIsMissingIsNamed() throws {
        func field(_ frames: [[UInt8]]) -> String? {
            do {
                _ = try read(frames)
                return nil
            } catch { return (error as? MessageError)?.field }
        }
        let good = bytes(try Codec.frames(Packet(.release([1]))))
        #expect(field([]) == "header")
        #expect(field([[]]) == "header")
        #expect(field([Array(good[0].dropLast()), good[1]]) == "header")
        #expect(field([good[0] + [0], good[1]]) == "header")
        #expect(field([good[0]]) == "body")
        var strange = good[0]
        strange[4] = 200
        #expect(field([strange, good[1]]) == "header.kind")
        #expect(field(good) == nil)
    }

    /// A peer of a fallen pipeline costs a look at 32 bytes.
    @Test func aBodyIsNotReadForAnEpochNobodyWaitsFor() throws {
        let epoch = Epoch(incarnation: 7, counter: 9)
        var frames = bytes(try Codec.frames(Packet(epoch: epoch, sequence: 1, .release([1]))))
        frames[1] = [0xFF, 0xFF, 0xFF]
        #expect(try read(frames, isWanted: { $0 != epoch }) == nil)
        #expect(throws: MessageError.self) { try read(frames) }
    }

    @Test func aBodyOverItsBoundIsNotRead() throws {
        let frames = try Codec.frames(Packet(.release(Array(0..<1000))))
        let error = #expect(throws: MessageError.self) { try Codec.packet(frames, maxBody: 100) }
        #expect(error?.field == "body")
        #expect(error?.problem.contains("at most 100") == true)
    }

    @Test func valuesThatCanNotBeAreErrorsByName() throws {
        func field(_ message: Message) -> String? {
            do {
                _ = try read(bytes(try Codec.frames(Packet(message))))
                return nil
            } catch { return (error as? MessageError)?.field }
        }
        func profile(_ change: (inout Profile) -> Void) -> Message {
            var profile = Profile(
                name: "w", fingerprint: [UInt8](repeating: 1, count: 32), model: "m", layerCount: 4,
                dataEndpoint: "tcp://127.0.0.1:5", dataPeer: .random())
            change(&profile)
            return .report(Report(incarnation: 1, profileHash: 1, profile: profile))
        }
        func assignment(_ change: (inout Assignment) -> Void) -> Message {
            var assignment = Assignment(
                epoch: Epoch(incarnation: 1, counter: 1), stage: 0, stageCount: 1, layers: LayerSpan(0..<4),
                nextEndpoint: "tcp://127.0.0.1:5", previous: Guest(.random()), maxRows: 8, maxInFlight: 2, kvRows: 100)
            change(&assignment)
            return .desired(Desired(incarnation: 1, assignment: assignment))
        }
        #expect(field(profile { _ in }) == nil)
        #expect(field(assignment { _ in }) == nil)
        #expect(field(profile { $0.fingerprint = [1] }) == "profile.fingerprint")
        #expect(field(profile { $0.speed = .nan }) == "profile.speed")
        #expect(field(profile { $0.speed = -1 }) == "profile.speed")
        for place in ["tcp://0.0.0.0:5", "tcp://127.0.0.1:0", "inproc://x", "", "tcp://a b:1"] {
            #expect(field(profile { $0.dataEndpoint = place }) == "profile.data_endpoint")
            #expect(field(assignment { $0.nextEndpoint = place }) == "assignment.next_endpoint")
        }
        #expect(field(.report(Report(incarnation: 1, profileHash: 0))) == "report.profile_hash")
        #expect(field(assignment { $0.stage = 1 }) == "assignment.stage")
        #expect(field(assignment { $0.stageCount = 5000 }) == "assignment.stage")
        #expect(field(assignment { $0.layers = .none }) == "assignment.layers")
        #expect(field(assignment { $0.layers = LayerSpan(0..<2_000_000) }) == "assignment.layers")
        #expect(field(assignment { $0.maxRows = 0 }) == "assignment.max_rows")
        #expect(field(assignment { $0.maxRows = 8193 }) == "assignment.max_rows")
        #expect(field(assignment { $0.maxInFlight = 0 }) == "assignment.max_in_flight")
        #expect(field(assignment { $0.maxInFlight = 8193 }) == "assignment.max_in_flight")
        #expect(field(.score(WireScore(request: 1, prompt: [-1], lookAhead: 1, pool: 1))) == "score.prompt")
        #expect(
            field(.microBatch(WireMicroBatch(id: 1, segments: [WireSegment(request: 1, positions: [-1])])))
                == "micro_batch.segments[0].positions")
        #expect(
            field(
                .outcome(
                    WireOutcome(
                        microBatch: 1,
                        samples: [WireSample(request: 1, step: 0, token: 1, logProbability: 0, topTokens: [1])])))
                == "outcome.samples[0].top_tokens")
    }

    /// Nobody's word makes a host wait for ever.
    @Test func aLatenessIsBounded() throws {
        let report = Report(incarnation: 1, profileHash: 1, lateness: .seconds(86_400))
        guard case .report(let read) = try read(bytes(try Codec.frames(Packet(.report(report)))))?.message else {
            Issue.record("not a report")
            return
        }
        #expect(read.lateness == .seconds(60))
    }

    /// Nor does it make a counter run over.
    @Test func countsOfStrangersAreBounded() throws {
        let report = Report(incarnation: 1, profileHash: 1, refused: [.forged: .max, .left: 0, .slow: -1, .flood: 2])
        guard case .report(let read) = try read(bytes(try Codec.frames(Packet(.report(report)))))?.message else {
            Issue.record("not a report")
            return
        }
        #expect(read.refused == [.forged: 1 << 50, .flood: 2])
        var sum = Refusals()
        for _ in 0..<3 { sum.add(Refusals.growth([.forged: .max], since: [.forged: 5])) }
        #expect(sum.counts == [.forged: .max])
    }

    /// No bytes crash the reader: real messages cut, flipped, stretched and shuffled, and noise.
    @Test(arguments: MessageKind.allCases)
    func damagedBytesAreErrorsOrOtherMessages(kind: MessageKind) throws {
        var random = Seeded(state: 2)
        var errors = 0
        var wrong = 0
        for _ in 0..<1500 {
            var frames = bytes(
                try Codec.frames(Packet(epoch: random.epoch(), sequence: random.next(), random.message(kind))))
            for _ in 0..<random.int(1...3) { damage(&frames, &random) }
            do {
                guard let packet = try read(frames) else { continue }
                // What was taken can be said again.
                _ = try Codec.frames(packet)
            } catch is MessageError {
                errors += 1
            } catch { wrong += 1 }
        }
        #expect(wrong == 0)
        #expect(errors > 300, "only \(errors) of 1500 were noticed")
    }

    private func damage(_ frames: inout [[UInt8]], _ random: inout Seeded) {
        guard !frames.isEmpty else { return }
        let index = random.int(0...frames.count - 1)
        let count = frames[index].count
        switch random.int(0...6) {
        case 0: frames[index] = Array(frames[index].prefix(random.int(0...count)))
        case 1 where count > 0: frames[index][random.int(0...count - 1)] ^= 1 << UInt8(random.int(0...7))
        case 2 where count > 0: frames[index][random.int(0...count - 1)] = UInt8(random.int(0...255))
        case 3: frames[index] += random.bytes(random.int(1...40))
        case 4: frames[index] = random.bytes(random.int(0...200))
        case 5: frames.remove(at: index)
        // Behind a good header noise of any length.
        default: if frames.count > 1 { frames[1] = random.bytes(random.int(0...400)) }
        }
    }

    @Test func noiseIsNoMessage() throws {
        var random = Seeded(state: 3)
        for _ in 0..<5000 {
            let frames = (0..<random.int(0...4)).map { _ in random.bytes(random.int(0...64)) }
            #expect(throws: MessageError.self) { try read(frames) }
        }
    }

    @Test func anEdgeSeesLossDoublingAndOldEpochs() {
        let epoch = Epoch(incarnation: 1, counter: 5)
        var check = SequenceCheck(epoch: epoch)
        func verdict(_ sequence: UInt64, _ other: Epoch? = nil) -> SequenceCheck.Verdict {
            check.check(Packet(epoch: other ?? epoch, sequence: sequence, .release([])))
        }
        #expect(verdict(1) == .inOrder)
        // The same counter of another coordinator is another epoch.
        #expect(verdict(2, Epoch(incarnation: 2, counter: 5)) == .stale)
        #expect(verdict(2, Epoch(incarnation: 1, counter: 4)) == .stale)
        #expect(verdict(0) == .stale)
        #expect(verdict(2) == .inOrder)
        #expect(verdict(2) == .doubled)
        #expect(verdict(1) == .doubled)
        #expect(verdict(4) == .gap(expected: 3, found: 4))
        #expect(verdict(3) == .inOrder)
        #expect(check.received == 3)
    }
}
