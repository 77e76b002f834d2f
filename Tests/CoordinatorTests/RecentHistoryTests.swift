import Coordinator
import Foundation
import Speculation
import Testing

@Suite struct RecentHistoryTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    private func status(_ history: RecentHistory, at seconds: Double) -> FleetStatus {
        var status = FleetStatus()
        status.takenAt = 1_000_000 + seconds
        history.fill(&status, now: at(seconds)) { _, _ in }
        return status
    }

    private func report(_ count: Int, _ spans: [Range<Int>]) -> SpeculationReport {
        let kept = spans.reduce(0) { $0 + $1.count }
        return SpeculationReport(
            promptTokens: count, keptTokens: kept, keepRate: Double(kept) / Double(count),
            speculation: .milliseconds(250), keptSpans: spans, fallback: nil)
    }

    @Test func aRequestIsToldFromItsArrivalToItsEnd() throws {
        var history = RecentHistory()
        history.began(1, name: "cmpl-a", promptTokens: 128, now: at(0))
        #expect(status(history, at: 1).requests.map(\.state) == [.waiting])
        history.pruned(1, report(128, [0..<4, 96..<128]))
        history.firstToken(1, after: 0.75, now: at(0.75))
        history.replayed(1)
        // A replay's first token is not the client's.
        history.firstToken(1, after: 2, now: at(2))
        history.left(1, pipeline: "main")
        history.ended(1, .finished(.length), tokens: 7, now: at(3))
        let request = try #require(status(history, at: 5).requests.first)
        #expect(request.id == "cmpl-a" && request.at == 1_000_000 && request.pipeline == "main")
        #expect(request.state == .finished && request.end == "length" && request.generatedTokens == 7)
        #expect(request.keptTokens == 36 && request.speculationSeconds == 0.25)
        #expect(request.ttftSeconds == 0.75 && request.seconds == 3 && request.replays == 1)
        #expect(request.keptMap == "99" + String(repeating: "0", count: 46) + String(repeating: "9", count: 16))

        history.began(2, name: "cmpl-b", promptTokens: 8, now: at(6))
        history.ended(2, .failed(RequestError(.cancelled, "gone")), tokens: 0, now: at(7))
        history.began(3, name: "cmpl-c", promptTokens: 8, now: at(6))
        history.ended(3, .failed(RequestError(.workerLost, "gone")), tokens: 0, now: at(7))
        #expect(status(history, at: 8).requests.map(\.state) == [.failed, .cancelled, .finished])
        #expect(status(history, at: 8).requests.map(\.end) == ["workerLost", "cancelled", "length"])
    }

    /// Any spans of any prompt: as many digits as pieces, none kept is 0, all kept is 9, and nothing else is.
    @Test func theMapOfWhatWasKeptFitsThePrompt() throws {
        var random = Seeded(state: 3)
        for _ in 0..<500 {
            let count = Int.random(in: 1...1000, using: &random)
            var kept = [Bool](repeating: false, count: count)
            var spans: [Range<Int>] = []
            var next = 0
            while next < count, spans.count < 20 {
                let low = Int.random(in: next..<count, using: &random)
                let high = Int.random(in: low + 1...count, using: &random)
                spans.append(low..<high)
                for index in low..<high { kept[index] = true }
                next = high
            }
            var history = RecentHistory()
            history.began(1, name: "x", promptTokens: count, now: at(0))
            history.pruned(1, report(count, spans))
            let map = try #require(status(history, at: 1).requests.first?.keptMap).compactMap(\.wholeNumberValue)
            let pieces = min(64, count)
            #expect(map.count == pieces)
            for (piece, digit) in map.enumerated() {
                let tokens = kept[piece * count / pieces..<(piece + 1) * count / pieces]
                let share = Double(tokens.count { $0 }) / Double(tokens.count)
                #expect((digit == 0) == (share == 0) && (digit == 9) == (share == 1))
                #expect(digit == 0 || digit == 9 || abs(Double(digit) / 9 - share) < 0.2)
            }
        }
    }

    @Test func whatIsKeptIsBounded() {
        var history = RecentHistory()
        var metrics = ServiceMetrics()
        for second in 0..<5000 {
            let number = UInt64(second)
            history.began(number, name: "r\(number)", promptTokens: 10, now: at(Double(second)))
            history.firstToken(number, after: 0.5, now: at(Double(second)))
            history.fault(place: "main", kind: "silence", reason: "worker w", now: at(Double(second)))
            metrics.requests[.finished, default: 0] += 1
            history.sample(metrics, now: at(Double(second)))
        }
        let status = status(history, at: 5000)
        #expect(status.requests.count == RecentHistory.mostRequests && status.requests.first?.id == "r4999")
        #expect(status.faults.count == RecentHistory.mostFaults && status.faults.first?.at == 1_004_999)
        #expect(status.history.count == RecentHistory.intervals)
        #expect(status.history.dropFirst().dropLast().allSatisfy { $0.finished == 10 })
        // An event of one that is forgotten changes nothing.
        history.ended(1, .finished(.stop), tokens: 1, now: at(5000))
        #expect(history.growth != nil)
        // An hour later the faults are forgotten too.
        #expect(self.status(history, at: 9000).faults.isEmpty)
    }

    @Test func intervalsTellWhatCameInThem() throws {
        var history = RecentHistory()
        var metrics = ServiceMetrics()
        history.sample(metrics, now: at(0))
        for number in 1...100 { history.firstToken(UInt64(number), after: Double(number) / 100, now: at(5)) }
        metrics.requests = [.finished: 3, .failed: 1, .refused: 2]
        (metrics.promptTokens, metrics.keptTokens, metrics.generatedTokens) = (1000, 150, 40)
        (metrics.waiting, metrics.speculating, metrics.running) = (2, 1, 4)
        history.sample(metrics, now: at(8))
        (metrics.waiting, metrics.speculating, metrics.running) = (0, 0, 0)
        history.sample(metrics, now: at(9))
        metrics.generatedTokens += 10
        history.sample(metrics, now: at(12))
        let status = status(history, at: 12)
        #expect(status.history.map(\.at) == [1_000_000, 1_000_010])
        let first = try #require(status.history.first)
        #expect(first.finished == 3 && first.failed == 1 && first.refused == 2 && first.cancelled == 0)
        #expect(first.keptShare == 0.15 && first.generatedTokens == 40)
        #expect(first.waiting == 3 && first.running == 4)
        #expect(first.ttftMedianSeconds == 0.5 && first.ttftP95Seconds == 0.95)
        #expect(status.history.last?.generatedTokens == 10 && status.history.last?.ttftMedianSeconds == nil)
        // From second 0 or 8 to second 12: what is nearest to ten seconds and not less, or all there is.
        #expect(status.rates.generatedTokens == 50.0 / 12)
    }
}
