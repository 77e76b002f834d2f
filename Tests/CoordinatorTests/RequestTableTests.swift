import Coordinator
import Speculation
import Testing
import Transformer

@Suite("Request table")
struct RequestTableTests {
    private typealias Instant = ContinuousClock.Instant
    private let start = ContinuousClock.now

    private func table(replays: Int = 2) -> RequestTable {
        RequestTable(
            limits: .init(timeout: .seconds(100), replayWait: .seconds(30), maxReplays: replays), ends: [7])
    }

    private func request(
        _ count: Int = 10, maxTokens: Int = 5, logProbabilities: Int? = nil, deadline: Duration? = nil
    ) -> GenerationRequest {
        GenerationRequest(
            prompt: (0..<Int32(count)).map { 100 + $0 }, maxTokens: maxTokens,
            promptLogProbabilities: logProbabilities, deadline: deadline)
    }

    private func token(_ id: Int32) -> SampledToken { SampledToken(token: id, logProbability: 0, top: []) }

    /// What is told, by name.
    private func names(_ directives: [RequestTable.Directive]) -> [String] {
        directives.map { directive in
            switch directive {
            case .stopScoring(let id): "stop scoring \(id)"
            case .withdraw(let id, let pipeline): "withdraw \(id) from \(pipeline)"
            case .emit(_, .prompt(let report)): "prompt \(report.keptTokens) \(report.fallback ?? "-")"
            case .emit(_, .promptTokens(let tokens)): "prompt tokens \(tokens.map(\.token))"
            case .emit(_, .token(let token)): "token \(token.token)"
            case .emit(_, .endToken(let token)): "end token \(token.token)"
            case .emit(_, .replayed(let count)): "replayed \(count)"
            case .emit(_, .finished): "finished event"
            case .end(let id, .finished(let reason), _, let given): "end \(id) \(reason.rawValue) \(given)"
            case .end(let id, .failed(let error), _, let given): "end \(id) \(error.code.rawValue) \(given)"
            case .firstToken(let id, _, _): "first token \(id)"
            case .pruned(let prompt, let kept): "pruned \(prompt) to \(kept)"
            case .replayed(let id): "count a replay of \(id)"
            }
        }
    }

    private func running(_ table: inout RequestTable, _ request: GenerationRequest? = nil) {
        _ = table.add(1, request ?? self.request(), choice: .dense(fallback: nil), now: start)
        _ = table.routed(1, to: 0, arithmetic: "a", now: start)
    }

    /// Every phase a request can be in, and what its end tells besides.
    private enum Place: CaseIterable { case waitingToBeScored, scoring, waiting, running, waitingAgain }

    private func placed(_ place: Place, _ table: inout RequestTable) -> [String] {
        switch place {
        case .waitingToBeScored:
            _ = table.add(1, request(), choice: .speculate, now: start)
            return []
        case .scoring:
            _ = table.add(1, request(), choice: .speculate, now: start)
            table.scoring(1, now: start)
            return ["stop scoring 1"]
        case .waiting:
            _ = table.add(1, request(), choice: .dense(fallback: nil), now: start)
            return []
        case .running:
            running(&table)
            return ["withdraw 1 from 0"]
        case .waitingAgain:
            running(&table)
            _ = table.fell(0, reason: "cut", now: start)
            return []
        }
    }

    @Test func aRequestEndsOnceInEveryPhase() {
        for place in Place.allCases {
            var table = table()
            let before = placed(place, &table)
            #expect(
                names(table.end(1, .failed(RequestError(.cancelled, "gone")))) == before + ["end 1 cancelled 0"],
                "\(place)")
            // Whatever comes afterwards tells nobody anything.
            var later = table.end(1, .finished(.stop))
            later += table.apply([.token(1, token(3)), .finished(1, .length), .failed(1, "x")], now: start)
            later += table.scored(1, .all(promptCount: 10), time: .zero, now: start)
            later += table.scoringFailed(1, reason: "x", isFinal: true, now: start)
            later += table.routed(1, to: 0, arithmetic: "a", now: start)
            later += table.fell(0, reason: "x", now: start)
            later += table.tick(now: start + .seconds(1000), notReadyReason: "x", hasSpeculator: false)
            #expect(names(later) == [], "\(place)")
            #expect(table.isEmpty && table.unscored.isEmpty && table.unrouted.isEmpty)
        }
    }

    @Test func aDeadlineEndsARequestInEveryPhase() {
        for place in Place.allCases {
            var table = table()
            let before = placed(place, &table)
            #expect(names(table.tick(now: start + .seconds(99), notReadyReason: nil, hasSpeculator: true)) == [])
            #expect(
                names(table.tick(now: start + .seconds(100), notReadyReason: nil, hasSpeculator: true))
                    == before + ["end 1 deadlineExceeded 0"], "\(place)")
        }
    }

    @Test(arguments: [(Duration.seconds(2), 2), (.seconds(500), 100)])
    func aRequestsOwnDeadlineCanOnlyBeSooner(deadline: Duration, seconds: Int) {
        var table = table()
        running(&table, request(deadline: deadline))
        #expect(table[1]?.deadline == start + .seconds(seconds))
    }

    @Test func anAnswerIsToldInOrder() {
        var table = table()
        #expect(
            names(table.add(1, request(), choice: .dense(fallback: "why"), now: start))
                == ["prompt 10 why", "pruned 10 to 10"])
        #expect(table.unrouted == [1])
        #expect(names(table.routed(1, to: 3, arithmetic: "a", now: start)) == [])
        #expect(table.unrouted == [] && table[1]?.phase == .running(pipeline: 3))
        #expect(names(table.apply([.token(1, token(3))], now: start)) == ["first token 1", "token 3"])
        #expect(names(table.apply([.token(1, token(4))], now: start)) == ["token 4"])
        #expect(
            names(table.apply([.endToken(1, token(7)), .finished(1, .stop), .release(1)], now: start))
                == ["end token 7", "withdraw 1 from 3", "end 1 stop 2"])
    }

    // MARK: Replay

    @Test func aReplayContinuesWhereTheStreamStopped() throws {
        var table = table()
        _ = table.add(1, request(maxTokens: 6), choice: .speculate, now: start)
        table.scoring(1, now: start)
        let kept = Selection(promptCount: 10, spans: [0..<2, 7..<10])
        #expect(
            names(table.scored(1, kept, time: .seconds(1), now: start)) == ["prompt 5 -", "pruned 10 to 5"])
        let first = try #require(table.work(1))
        #expect(first.tokens == [100, 101, 107, 108, 109] && first.positions == [0, 1, 7, 8, 9])
        #expect(first.promptCount == 10 && first.firstStep == 0 && first.kvRows == 10)
        _ = table.routed(1, to: 0, arithmetic: "bf16", now: start)
        _ = table.apply([.token(1, token(3)), .token(1, token(4))], now: start)
        #expect(names(table.fell(0, reason: "cut", now: start)) == [])
        #expect(table.unrouted == [1])
        let again = try #require(table.work(1))
        #expect(again.tokens == [100, 101, 107, 108, 109, 3, 4])
        #expect(again.positions == [0, 1, 7, 8, 9, 10, 11])
        #expect(again.promptCount == 10 && again.firstStep == 2 && again.maxTokens == 6)
        #expect(again.kvRows == first.kvRows)
        // The pipeline on which it began is what others are compared with.
        #expect(names(table.routed(1, to: 1, arithmetic: "f32", now: start)) == ["replayed 1", "count a replay of 1"])
        #expect(table[1]?.arithmetic == "bf16")
        // No token is told twice, and the first only once.
        #expect(names(table.apply([.token(1, token(5))], now: start)) == ["token 5"])
        #expect(names(table.apply([.finished(1, .length)], now: start)) == ["withdraw 1 from 1", "end 1 length 3"])
    }

    @Test func onlyWhoWasInTheFallenPipelineIsReplayed() {
        var table = table()
        for id in UInt64(1)...3 {
            _ = table.add(id, request(), choice: .dense(fallback: nil), now: start)
            _ = table.routed(id, to: id == 2 ? 1 : 0, arithmetic: "a", now: start)
        }
        _ = table.fell(0, reason: "cut", now: start)
        #expect(table.unrouted == [1, 3])
        #expect(table[2]?.phase == .running(pipeline: 1))
    }

    @Test func promptLogProbabilitiesAreToldOnceOverReplays() {
        var table = table(replays: 10)
        _ = table.add(1, request(6, logProbabilities: 0), choice: .dense(fallback: nil), now: start)
        var told: [Int32] = []
        func apply(_ effects: [Scheduler.Effect]) {
            for directive in table.apply(effects, now: start) {
                if case .emit(_, .promptTokens(let tokens)) = directive { told += tokens.map(\.token) }
            }
        }
        func scored(_ range: Range<Int32>) -> Scheduler.Effect { .promptTokens(1, range.map { token(100 + $0) }) }
        _ = table.routed(1, to: 0, arithmetic: "a", now: start)
        apply([scored(1..<3)])
        _ = table.fell(0, reason: "cut", now: start)
        _ = table.routed(1, to: 0, arithmetic: "a", now: start)
        // Cut otherwise this time.
        apply([scored(1..<2)])
        apply([scored(2..<5)])
        _ = table.fell(0, reason: "cut", now: start)
        _ = table.routed(1, to: 0, arithmetic: "a", now: start)
        apply([scored(1..<6), .token(1, token(3))])
        _ = table.fell(0, reason: "cut", now: start)
        _ = table.routed(1, to: 0, arithmetic: "a", now: start)
        // The given token is scored with the prompt, and is none of it.
        apply([.promptTokens(1, (101...105).map(token) + [token(3)]), .token(1, token(4))])
        #expect(told == Array(101...105))
    }

    @Test func whoseUnderTooManyFallsIsSuspected() {
        var table = table(replays: 2)
        running(&table)
        for _ in 0..<2 {
            #expect(names(table.fell(0, reason: "cut", now: start)) == [])
            _ = table.routed(1, to: 0, arithmetic: "a", now: start)
        }
        let directives = table.fell(0, reason: "the last straw", now: start)
        #expect(names(directives).last == "end 1 workerLost 0")
        guard case .end(_, .failed(let error), _, _) = directives.last else { return }
        #expect(error.message.contains("3 pipelines") && error.message.contains("the last straw"))
    }

    @Test func anOutageIsWaitedForAndThenNamed() {
        var table = table()
        _ = table.add(1, request(), choice: .dense(fallback: nil), now: start)
        func tick(_ seconds: Int, _ reason: String?) -> [RequestTable.Directive] {
            table.tick(now: start + .seconds(seconds), notReadyReason: reason, hasSpeculator: true)
        }
        #expect(names(tick(30, "nobody is here")) == [])
        // A pipeline that stands and is full is no outage.
        #expect(names(tick(31, nil)) == [])
        let directives = tick(31, "nobody is here")
        #expect(names(directives) == ["end 1 unavailable 0"])
        guard case .end(_, .failed(let error), _, _) = directives.first else { return }
        #expect(error.message.contains("nobody is here") && error.retryAfter != nil)

        running(&table)
        _ = table.fell(0, reason: "worker w died", now: start + .seconds(50))
        #expect(names(tick(80, "nobody is here")) == [])
        let lost = tick(81, "nobody is here")
        #expect(names(lost) == ["end 1 workerLost 0"])
        guard case .end(_, .failed(let reason), _, _) = lost.first else { return }
        #expect(reason.message.contains("worker w died") && reason.message.contains("nobody is here"))
    }

    // MARK: Scoring

    @Test func aPromptIsScoredASecondTimeThenGoesDense() {
        var table = table()
        _ = table.add(1, request(), choice: .speculate, now: start)
        #expect(table.unscored == [1])
        table.scoring(1, now: start)
        #expect(table.unscored == [])
        #expect(names(table.scoringFailed(1, reason: "died", isFinal: false, now: start)) == [])
        #expect(table.unscored == [1])
        table.scoring(1, now: start)
        #expect(
            names(table.scoringFailed(1, reason: "died", isFinal: false, now: start))
                == ["prompt 10 speculation failed: died", "pruned 10 to 10"])
        #expect(table.unrouted == [1])
        #expect(table.work(1)?.tokens.count == 10)
    }

    @Test func whatWouldFailElsewhereGoesDenseAtOnce() {
        var table = table()
        _ = table.add(1, request(), choice: .speculate, now: start)
        table.scoring(1, now: start)
        #expect(
            names(table.scoringFailed(1, reason: "not finite", isFinal: true, now: start)).first
                == "prompt 10 speculation failed: not finite")
    }

    @Test func aPromptDoesNotWaitLongForASpeculatorThatIsNotThere() {
        var table = table()
        _ = table.add(1, request(), choice: .speculate, now: start)
        #expect(names(table.tick(now: start + .seconds(2), notReadyReason: nil, hasSpeculator: false)) == [])
        #expect(names(table.tick(now: start + .seconds(3), notReadyReason: nil, hasSpeculator: true)) == [])
        #expect(
            names(table.tick(now: start + .seconds(3), notReadyReason: nil, hasSpeculator: false)).first
                == "prompt 10 no speculator is there")
    }
}
