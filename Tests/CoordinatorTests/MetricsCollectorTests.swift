import Coordinator
import Layers
import Testing

@Suite("Metrics")
struct MetricsCollectorTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }

    private func placed(_ workers: String...) -> [MetricsCollector.Placed] {
        workers.enumerated().map {
            MetricsCollector.Placed(worker: $1, layers: LayerSpan($0 * 4..<$0 * 4 + 4), threads: $0 + 1)
        }
    }

    @Test func thePhasesOfARequestShareItsTime() {
        var collector = MetricsCollector()
        collector.accepted(1, now: at(0))
        #expect(collector.metrics.waiting == 1)
        collector.speculationBegan(1, now: at(1))
        #expect(collector.metrics.waiting == 0 && collector.metrics.speculating == 1)
        collector.speculationEnded(1, busy: .seconds(2), isScored: true, now: at(3))
        collector.pruned(promptTokens: 1000, keptTokens: 100)
        #expect(collector.metrics.waiting == 1 && collector.metrics.speculating == 0)
        collector.prefillBegan(1, now: at(7))
        #expect(collector.metrics.running == 1)
        collector.firstToken(1, now: at(15))
        #expect(collector.metrics.running == 1)
        collector.generated(tokens: 3)
        collector.ended(1, .finished, now: at(31))
        collector.ended(1, .failed, now: at(99))
        let metrics = collector.metrics
        #expect(metrics.waiting + metrics.speculating + metrics.running == 0)
        #expect(
            metrics.phases == [
                .queue: .init(time: .seconds(1 + 4), requests: 1), .speculate: .init(time: .seconds(2), requests: 1),
                .prefill: .init(time: .seconds(8), requests: 1), .decode: .init(time: .seconds(16), requests: 1),
            ])
        #expect(metrics.requests == [.finished: 1])
        #expect(metrics.speculatorBusy == .seconds(2) && metrics.speculatorPrompts == 1)
        #expect(metrics.promptTokens == 1000 && metrics.keptTokens == 100 && metrics.generatedTokens == 3)
    }

    @Test func aDensePromptIsNotScored() {
        var collector = MetricsCollector()
        collector.accepted(1, now: at(0))
        collector.prefillBegan(1, now: at(2))
        collector.ended(1, .cancelled, now: at(5))
        let metrics = collector.metrics
        #expect(
            metrics.phases == [
                .queue: .init(time: .seconds(2), requests: 1), .prefill: .init(time: .seconds(3), requests: 1),
            ])
        #expect(metrics.requests == [.cancelled: 1])
    }

    /// The speculator learns of a cancellation late: its time counts, the request's is over.
    @Test func aRequestCancelledWhileScoredIsGone() {
        var collector = MetricsCollector()
        collector.accepted(1, now: at(0))
        collector.accepted(2, now: at(0))
        collector.speculationBegan(1, now: at(1))
        collector.ended(1, .cancelled, now: at(2))
        collector.ended(2, .cancelled, now: at(2))
        collector.speculationEnded(1, busy: .seconds(4), isScored: false, now: at(5))
        collector.speculationBegan(2, now: at(5))
        collector.speculationEnded(2, busy: .zero, isScored: false, now: at(5))
        collector.refused()
        let metrics = collector.metrics
        #expect(metrics.speculating == 0 && metrics.waiting == 0)
        #expect(metrics.phases[.speculate] == .init(time: .seconds(1), requests: 1))
        #expect(metrics.phases[.queue] == .init(time: .seconds(3), requests: 2))
        #expect(metrics.speculatorBusy == .seconds(4) && metrics.speculatorPrompts == 0)
        #expect(metrics.requests == [.cancelled: 2, .refused: 1])
    }

    @Test func histogramsHoldEachRequestOnce() {
        var collector = MetricsCollector()
        collector.accepted(1, now: at(0))
        collector.speculationBegan(1, now: at(1))
        collector.speculationEnded(1, busy: .seconds(2), isScored: true, now: at(3))
        collector.pruned(promptTokens: 1000, keptTokens: 100)
        collector.prefillBegan(1, now: at(7))
        collector.firstToken(1, now: at(15))
        collector.ended(1, .finished, tokens: 5, now: at(31))
        // Cancelled while it waited: it has waited, and nothing else.
        collector.accepted(2, now: at(31))
        collector.ended(2, .cancelled, now: at(34))
        // A single token has none after it.
        collector.accepted(3, now: at(40))
        collector.prefillBegan(3, now: at(40))
        collector.firstToken(3, now: at(41))
        collector.ended(3, .finished, tokens: 1, now: at(41))
        let metrics = collector.metrics
        #expect(metrics.timeToFirstToken.count == 2 && metrics.timeToFirstToken.sum == 15 + 1)
        #expect(metrics.timePerOutputToken.count == 1 && metrics.timePerOutputToken.sum == 4)
        #expect(metrics.endToEnd.count == 2 && metrics.endToEnd.sum == 31 + 1)
        #expect(metrics.queueTime.count == 3 && metrics.queueTime.sum == (1 + 4) + 3 + 0)
        #expect(metrics.speculationTime.count == 1 && metrics.speculationTime.sum == 2)
        #expect(metrics.keptShare.count == 1 && metrics.keptShare.sum == 0.1)
    }

    /// A replay is more of the same phases, and one request all the same.
    @Test func aReplayedRequestCountsOnceInEachPhase() {
        var collector = MetricsCollector()
        collector.accepted(1, now: at(0))
        collector.prefillBegan(1, now: at(1))
        collector.firstToken(1, now: at(3))
        collector.replayed(1, now: at(7))
        #expect(collector.metrics.waiting == 1 && collector.metrics.running == 0)
        collector.prefillBegan(1, now: at(15))
        collector.firstToken(1, now: at(31))
        collector.ended(1, .finished, tokens: 11, now: at(63))
        collector.replayed(1, now: at(64))
        let metrics = collector.metrics
        #expect(
            metrics.phases == [
                .queue: .init(time: .seconds(1 + 8), requests: 1), .prefill: .init(time: .seconds(2 + 16), requests: 1),
                .decode: .init(time: .seconds(4 + 32), requests: 1),
            ])
        #expect(metrics.replays == 1)
        #expect(metrics.queueTime.count == 1 && metrics.queueTime.sum == 1)
        #expect(metrics.timeToFirstToken.count == 1 && metrics.timeToFirstToken.sum == 3)
        #expect(metrics.timePerOutputToken.sum == 6)
    }

    @Test func kindsOfFaultsAreBounded() {
        var collector = MetricsCollector()
        for kind in 0..<100 { collector.faulted("kind \(kind)") }
        collector.faulted("kind 0")
        let faults = collector.metrics.faults
        #expect(faults.count == MetricsCollector.maxFaultKinds + 1)
        #expect(faults["kind 0"] == 2 && faults["other"] == 100 - MetricsCollector.maxFaultKinds)
    }

    @Test func kvUseIsTheFullestStages() {
        var collector = MetricsCollector()
        #expect(collector.metrics.kvUse.isEmpty && collector.metrics.kvUseOfAll == 1)
        collector.stood(pipeline: 0, stages: placed("a", "b"), kvRows: 100)
        collector.stood(pipeline: 1, stages: placed("c"), kvRows: 300)
        collector.kvRowsUsed(pipeline: 0, stage: 0, rows: 20)
        collector.kvRowsUsed(pipeline: 0, stage: 1, rows: 40)
        collector.kvRowsUsed(pipeline: 1, stage: 0, rows: .max)
        #expect(collector.metrics.kvUse == [0: 0.4, 1: 1])
        #expect(collector.metrics.kvUseOfAll == 340.0 / 400)
        collector.fell(pipeline: 1)
        #expect(collector.metrics.kvUse == [0: 0.4] && collector.metrics.kvUseOfAll == 0.4)
    }

    @Test func aReplacedWorkerKeepsItsSumsAndHoldsNothing() throws {
        var collector = MetricsCollector()
        collector.stood(pipeline: 0, stages: placed("a", "b"), kvRows: 100)
        collector.completed(pipeline: 0, rows: 64, stageMicroseconds: [1000, 3000])
        collector.completed(pipeline: 0, rows: 1, stageMicroseconds: [500, 500])
        collector.kvRowsUsed(pipeline: 0, stage: 1, rows: 70)
        var stages = collector.metrics.stages
        #expect(stages.map(\.worker) == ["a", "b"] && stages.map(\.stage) == [0, 1])
        #expect(stages.map(\.busy) == [.microseconds(1500), .microseconds(3500)])
        #expect(stages.map(\.rows) == [65, 65] && stages.map(\.microBatches) == [2, 2])
        #expect(stages[1].holding == .init(layers: LayerSpan(4..<8), threads: 2, kvRowsUsed: 70, kvRowsBudget: 100))

        collector.fell(pipeline: 0)
        #expect(collector.metrics.stages.allSatisfy { $0.holding == nil })
        // Too late: its pipeline is no more.
        collector.completed(pipeline: 0, rows: 64, stageMicroseconds: [1000, 3000])
        #expect(collector.metrics.stages.map(\.rows) == [65, 65])

        collector.stood(pipeline: 0, stages: placed("a", "c"), kvRows: 100)
        collector.completed(pipeline: 0, rows: 2, stageMicroseconds: [1, 1])
        stages = collector.metrics.stages
        #expect(stages.map(\.worker) == ["a", "b", "c"])
        #expect(stages.map(\.rows) == [67, 65, 2])
        #expect(stages.map { $0.holding != nil } == [true, false, true])
        #expect(stages[2].holding?.kvRowsUsed == 0)
    }

    @Test func whatNoWorkerCanHaveComputedIsNotAdded() throws {
        var collector = MetricsCollector()
        collector.stood(pipeline: 0, stages: placed("a", "b"), kvRows: 100)
        collector.completed(pipeline: 0, rows: 1, stageMicroseconds: [1])
        collector.completed(pipeline: 0, rows: 1, stageMicroseconds: [])
        #expect(collector.metrics.stages.allSatisfy { $0.microBatches == 0 && $0.busy == .zero })
        for _ in 0..<3 { collector.completed(pipeline: 0, rows: 1, stageMicroseconds: [.max, .max]) }
        #expect(collector.metrics.stages.allSatisfy { $0.busy == .seconds(3 * 86_400) })
    }

    @Test func workersThatComeAndGoFillABoundedPage() {
        var collector = MetricsCollector()
        for life in 0..<MetricsCollector.maxStages {
            collector.stood(pipeline: 0, stages: placed("a", "b\(life)"), kvRows: 1)
        }
        let stages = collector.metrics.stages
        #expect(stages.count == MetricsCollector.maxStages)
        #expect(stages.filter { $0.holding != nil }.map(\.worker) == ["a", "b\(MetricsCollector.maxStages - 1)"])
    }
}
