import Checkpoint
import Foundation
import Layers
import Logging
import Testing
import WinnowWorker
import Wire

@Suite("A worker and hostile peers", .timeLimit(.minutes(1)))
struct HostilePeerTests {
    private static let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "cluster/models/stories260K").path

    private func make(_ opposite: Opposite) throws -> Worker {
        try Worker(
            configuration: WorkerConfiguration(model: Self.model, coordinator: opposite.endpoint.description),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func segment(_ request: UInt64, _ tokens: [Int32], kvRows: Int? = 10) -> WireSegment {
        WireSegment(
            request: request, positions: tokens.indices.map(Int32.init), tokens: tokens,
            opening: kvRows.map {
                WireSegment.Opening(
                    kvRows: $0,
                    sampling: WireSampling(
                        temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, topLogProbabilities: nil))
            }, sample: true)
    }

    /// What concerns one request alone, and the word its failure must contain.
    private var faulty: [(WireSegment, String)] {
        var farPosition = segment(9, [1])
        farPosition.positions = [.max]
        var badSampling = segment(9, [1])
        badSampling.opening?.sampling.temperature = .nan
        // The row to be sampled has no target, and every other has one.
        var manyTargets = segment(9, [1, 2])
        manyTargets.targets = [2, 3]
        var strangeTarget = segment(9, [1, 2])
        strangeTarget.targets = [100_000]
        var manyAlternatives = segment(9, [1])
        manyAlternatives.opening?.topTargets = 21
        // Guesses come with rows that are computed as decoded ones, one of which is sampled first.
        var manyDrafts = segment(9, [1, 2])
        manyDrafts.drafts = [2, 3]
        manyDrafts.decoded = 2
        var strangeDraft = segment(9, [1, 2])
        strangeDraft.drafts = [100_000]
        strangeDraft.decoded = 2
        var hordeOfDrafts = segment(9, [Int32](repeating: 1, count: 18))
        hordeOfDrafts.drafts = [Int32](repeating: 1, count: 17)
        hordeOfDrafts.decoded = 18
        return [
            (manyDrafts, "2 for 2 decoded rows"), (strangeDraft, "vocabulary"), (hordeOfDrafts, "more than 16"),
            (farPosition, "context"), (badSampling, "temperature"), (manyTargets, "expected none or 1"),
            (strangeTarget, "vocabulary"), (manyAlternatives, "top_targets"), (segment(9, [1], kvRows: 0), "kv_rows"),
            (segment(9, [1], kvRows: 1_000_000), "kv_rows"), (segment(9, [1], kvRows: nil), "not open"),
            (segment(9, [100_000]), "vocabulary"),
        ]
    }

    /// What no sound neighbour sends, and the word the fault must contain.
    private static let malformed: [(name: String, segments: [WireSegment], hasTensor: Bool)] = {
        func segment(_ request: UInt64, _ count: Int, tokens: Int? = nil) -> WireSegment {
            WireSegment(
                request: request, positions: (0..<Int32(count)).map { $0 },
                tokens: [Int32](repeating: 1, count: tokens ?? count), sample: true)
        }
        return [
            ("no row", [], false), ("positions", [segment(9, 0)], false),
            ("tokens", [segment(9, 1, tokens: 2)], false), ("twice", [segment(9, 1), segment(9, 1)], false),
            ("64 rows", [segment(9, 65)], false), ("tensors", [segment(9, 1)], true),
        ]
    }()

    /// Runs a worker against an opposite side, and stops both.
    private func withWorker(
        _ body: (Opposite, Worker, inout AsyncStream<Report>.Iterator, inout AsyncStream<Packet>.Iterator) async throws
            -> Void
    ) async throws {
        let opposite = try Opposite()
        let worker = try make(opposite)
        let running = Task { try await worker.run() }
        var reports = opposite.reports.makeAsyncIterator()
        var results = opposite.results.makeAsyncIterator()
        let result: Result<Void, any Error>
        do {
            try await body(opposite, worker, &reports, &results)
            result = .success(())
        } catch { result = .failure(error) }
        worker.stop()
        try await running.value
        await opposite.stop()
        try result.get()
    }

    private func next(
        _ reports: inout AsyncStream<Report>.Iterator, where fits: (Report) -> Bool
    ) async throws -> Report {
        while let report = await reports.next() { if fits(report) { return report } }
        throw CancellationError()
    }

    private func outcome(_ results: inout AsyncStream<Packet>.Iterator) async throws -> WireOutcome {
        while let packet = await results.next() { if case .outcome(let outcome) = packet.message { return outcome } }
        throw CancellationError()
    }

    /// One bad segment ends its own request; the others of its micro-batch get their tokens.
    @Test func aFaultySegmentEndsItsOwnRequestOnly() async throws {
        try await withWorker { opposite, worker, reports, results in
            let first = try await next(&reports) { $0.profile != nil }
            #expect(first.profile?.layerCount == 5 && first.profile?.fingerprint.count == 32)
            await opposite.tell(noise: [[0xFF, 0x00, 0x13], []])
            await opposite.assign(1, layers: LayerSpan(0..<5))
            _ = try await next(&reports) { $0.epoch == opposite.epoch(1) && $0.loaded == LayerSpan(0..<5) }
            await opposite.connect(to: worker.dataEndpoint)
            for (index, (bad, word)) in faulty.enumerated() {
                let honest = UInt64(100 + index)
                await opposite.send(
                    .microBatch(
                        WireMicroBatch(
                            id: UInt64(index + 1), segments: [bad, segment(honest, [1, 2, 3])])), 1)
                let outcome = try await outcome(&results)
                #expect(outcome.microBatch == UInt64(index + 1))
                #expect(outcome.failures.map(\.request) == [9])
                let reason = outcome.failures.first?.reason ?? ""
                #expect(reason.contains(word), "\(reason) should name \(word)")
                #expect(outcome.samples.map(\.request) == [honest])
                await opposite.send(.release([honest, 9]), 1)
            }
            // Nothing of it stays behind.
            _ = try await next(&reports) { $0.requests == 0 && $0.kvRowsUsed == 0 && $0.computed > 8 }
        }
    }

    @Test(arguments: Self.malformed)
    func whatNoNeighbourSendsIsAFaultByName(
        name: String, segments: [WireSegment], hasTensor: Bool
    ) async throws {
        try await withWorker { opposite, worker, reports, results in
            await opposite.assign(1, layers: LayerSpan(0..<5))
            _ = try await next(&reports) { $0.loaded == LayerSpan(0..<5) }
            await opposite.connect(to: worker.dataEndpoint)
            await opposite.send(
                .microBatch(WireMicroBatch(id: 7, segments: segments)), 1,
                tensors: hasTensor ? [try Frame([UInt8](repeating: 0, count: 12))] : [])
            let report = try await next(&reports) { $0.fault != nil }
            #expect(report.fault?.contains(name) == true, "\(report.fault ?? "") should name \(name)")
            // The worker lives, and serves the next epoch.
            await opposite.assign(2, layers: LayerSpan(0..<5))
            _ = try await next(&reports) { $0.epoch == opposite.epoch(2) && $0.isLinked }
            await opposite.send(.microBatch(WireMicroBatch(id: 8, segments: [segment(1, [1, 2, 3])])), 2)
            #expect(try await outcome(&results).samples.map(\.request) == [1])
        }
    }

    @Test func aGapAndLayersOutOfRangeEndTheEpochNotTheWorker() async throws {
        try await withWorker { opposite, worker, reports, _ in
            await opposite.assign(1, layers: LayerSpan(0..<5))
            _ = try await next(&reports) { $0.loaded == LayerSpan(0..<5) }
            await opposite.connect(to: worker.dataEndpoint)
            await opposite.send(.release([]), 1, skipping: 76)
            let report = try await next(&reports) { $0.fault != nil }
            #expect(report.fault?.contains("expected 1, found 77") == true)
            await opposite.assign(2, layers: LayerSpan(0..<9))
            let second = try await next(&reports) { $0.epoch == opposite.epoch(2) }
            #expect(second.fault?.contains("lie outside the model's 5") == true)
            await opposite.assign(3, layers: LayerSpan(1..<3))
            _ = try await next(&reports) {
                $0.epoch == opposite.epoch(3) && $0.loaded == LayerSpan(1..<3) && $0.fault == nil
            }
        }
    }

    /// The right epoch, the right number, another sender: not even a link comes up.
    @Test func aStrangerWithTheRightEpochIsNotHeard() async throws {
        try await withWorker { opposite, worker, reports, results in
            await opposite.assign(1, layers: LayerSpan(0..<5))
            _ = try await next(&reports) { $0.loaded == LayerSpan(0..<5) }
            let stranger = try opposite.transport.connect(
                to: worker.dataEndpoint.description, named: .random(), key: nil, as: .data(maxFrameBytes: 1 << 20))
            let forged = Packet(
                epoch: opposite.epoch(1), sequence: 1,
                .microBatch(WireMicroBatch(id: 66, segments: [segment(66, [1])])))
            await opposite.connect(to: worker.dataEndpoint)
            for request in UInt64(1)...20 {
                #expect(try stranger.send(forged) == .wouldBlock)
                await opposite.send(
                    .microBatch(WireMicroBatch(id: request, segments: [segment(request, [1])])), 1)
                #expect(try await outcome(&results).microBatch == request)
                await opposite.send(.release([request]), 1)
            }
            let report = try await next(&reports) { $0.computed == 20 }
            #expect(report.fault == nil && report.received >= 20)
        }
    }

    @Test func aRefusalEndsTheWorkerWithItsReason() async throws {
        let opposite = try Opposite()
        let worker = try make(opposite)
        let running = Task { try await worker.run() }
        for await _ in opposite.reports {
            await opposite.refuse("not these")
            break
        }
        let error = await #expect(throws: WorkerError.self) { try await running.value }
        #expect(error?.description.contains("not these") == true)
        await opposite.stop()
    }
}
