import Coordinator
import Testing
import Transformer

@Suite("Scheduler")
struct SchedulerTests {
    func work(
        _ id: UInt64, kept: [Int32], prompt: Int, given: [Int32] = [], maxTokens: Int, topTargets: Int? = nil,
        ends: Set<Int32> = []
    ) -> Scheduler.Work {
        Scheduler.Work(
            id: id, tokens: kept.map { $0 + 1000 } + given,
            positions: kept + given.indices.map { Int32(prompt + $0) }, promptCount: prompt, firstStep: given.count,
            maxTokens: maxTokens, sampling: SamplingParameters(temperature: 0), topTargets: topTargets, ends: ends)
    }

    func next(_ scheduler: inout Scheduler) throws -> Scheduler.MicroBatch {
        let batch = scheduler.next()
        return try #require(batch)
    }

    func sample(_ token: Int32) -> SampledToken { SampledToken(token: token, logProbability: 0, top: []) }

    @Test func generationContinuesAtTheUnprunedLength() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 512, maxInFlight: 2, stageCount: 1, kvRows: 1000))
        scheduler.add(work(1, kept: [0, 5, 6, 90], prompt: 100, maxTokens: 3))
        let prefill = try next(&scheduler)
        #expect(prefill.parts.map(\.positions) == [[0, 5, 6, 90]])
        #expect(prefill.parts[0].sample)
        #expect(prefill.parts[0].opening?.kvRows == 4 + 3 - 1)
        let nothing = scheduler.next()
        #expect(nothing == nil)
        let token = scheduler.complete(prefill.id, samples: [(1, sample(7))])
        #expect(token == [.token(1, sample(7))])
        let first = try next(&scheduler)
        #expect(first.parts.map(\.positions) == [[100]])
        #expect(first.parts.map(\.tokens) == [[7]])
        #expect(first.parts[0].opening == nil)
        _ = scheduler.complete(first.id, samples: [(1, sample(8))])
        let second = try next(&scheduler)
        #expect(second.parts.map(\.positions) == [[101]])
        let last = scheduler.complete(second.id, samples: [(1, sample(9))])
        #expect(last == [.token(1, sample(9)), .finished(1, .length), .release(1)])
        #expect(scheduler.kvRowsReserved == 6)
        scheduler.released([1])
        #expect(scheduler.kvRowsReserved == 0)
    }

    @Test func anEndTokenIsNoPartOfTheAnswer() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 512, maxInFlight: 2, stageCount: 1, kvRows: 1000))
        scheduler.add(work(1, kept: [0], prompt: 1, maxTokens: 3, ends: [2]))
        let batch = try next(&scheduler)
        let effects = scheduler.complete(batch.id, samples: [(1, sample(2))])
        #expect(effects == [.endToken(1, sample(2)), .finished(1, .stop), .release(1)])
    }

    @Test func everyPromptTokenButTheFirstIsScoredOnce() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 3, maxInFlight: 4, stageCount: 1, kvRows: 100))
        scheduler.add(work(1, kept: Array(0..<7), prompt: 7, maxTokens: 2, topTargets: 5))
        var batches: [Scheduler.MicroBatch] = []
        while let batch = scheduler.next() { batches.append(batch) }
        #expect(batches.map { $0.parts[0].targets } == [[1001, 1002, 1003], [1004, 1005, 1006], []])
        #expect(batches[0].parts[0].opening?.topTargets == 5)
        let scored = batches[0].parts[0].targets.map { (request: UInt64(1), token: sample($0)) }
        #expect(
            scheduler.complete(batches[0].id, samples: [], targets: scored)
                == [.promptTokens(1, [sample(1001), sample(1002), sample(1003)])])
        // A stage that scores something else must not be believed, nor waited for.
        let effects = scheduler.complete(batches[1].id, samples: [], targets: [(1, sample(1004))])
        guard case .failed(1, _) = effects.first else {
            Issue.record("\(effects)")
            return
        }
        #expect(effects.last == .release(1))
        #expect(scheduler.complete(batches[2].id, samples: [(1, sample(7))]).isEmpty)
        #expect(scheduler.isIdle)
    }

    @Test func aRequestForNoTokensEndsWithItsPrompt() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 2, maxInFlight: 4, stageCount: 1, kvRows: 3))
        scheduler.add(work(1, kept: [0, 1, 2], prompt: 3, maxTokens: 0, ends: [7]))
        let first = try next(&scheduler)
        let last = try next(&scheduler)
        #expect(scheduler.complete(first.id, samples: []).isEmpty)
        #expect(scheduler.complete(last.id, samples: [(1, sample(7))]) == [.finished(1, .length), .release(1)])
    }

    /// Three of five tokens were given out before the pipeline fell.
    @Test func aReplayGoesOnAtTheNextStep() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 4, maxInFlight: 2, stageCount: 1, kvRows: 100))
        let work = work(1, kept: [0, 5, 90], prompt: 100, given: [7, 8, 9], maxTokens: 5)
        #expect(work.kvRows == 3 + 5 - 1)
        scheduler.add(work)
        let first = try next(&scheduler)
        #expect(first.parts.map(\.tokens) == [[1000, 1005, 1090, 7]])
        #expect(first.parts.map(\.positions) == [[0, 5, 90, 100]])
        #expect(first.parts[0].opening?.kvRows == 7 && !first.parts[0].sample)
        let last = try next(&scheduler)
        #expect(last.parts.map(\.tokens) == [[8, 9]] && last.parts.map(\.positions) == [[101, 102]])
        #expect(last.parts[0].sample && last.parts[0].step == 3)
        #expect(scheduler.complete(first.id, samples: []).isEmpty)
        #expect(scheduler.complete(last.id, samples: [(1, sample(10))]) == [.token(1, sample(10))])
        let decode = try next(&scheduler)
        #expect(decode.parts.map(\.tokens) == [[10]] && decode.parts.map(\.positions) == [[103]])
        #expect(decode.parts[0].step == 4 && decode.segments == [CostSegment(cached: 6, rows: 1)])
        #expect(
            scheduler.complete(decode.id, samples: [(1, sample(11))])
                == [.token(1, sample(11)), .finished(1, .length), .release(1)])
    }

    @Test func aReplayedEndTokenEndsToo() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 8, maxInFlight: 2, stageCount: 1, kvRows: 100))
        scheduler.add(work(1, kept: [0], prompt: 1, given: [7], maxTokens: 5, ends: [2]))
        let batch = try next(&scheduler)
        let effects = scheduler.complete(batch.id, samples: [(1, sample(2))])
        #expect(effects == [.endToken(1, sample(2)), .finished(1, .stop), .release(1)])
    }

    /// All tokens were given out, only the end was not: nothing more may come.
    @Test func aReplayOfAWholeAnswerOnlyEnds() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 8, maxInFlight: 2, stageCount: 1, kvRows: 100))
        let work = work(1, kept: [0], prompt: 1, given: [7, 8], maxTokens: 2)
        #expect(work.kvRows == 3)
        scheduler.add(work)
        let batch = try next(&scheduler)
        #expect(scheduler.complete(batch.id, samples: [(1, sample(9))]) == [.finished(1, .length), .release(1)])
    }

    @Test func aReplayScoresEveryTokenButTheFirstOnce() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 2, maxInFlight: 4, stageCount: 1, kvRows: 100))
        scheduler.add(work(1, kept: [0, 1, 2], prompt: 3, given: [7, 8], maxTokens: 4, topTargets: 1))
        var batches: [Scheduler.MicroBatch] = []
        while let batch = scheduler.next() { batches.append(batch) }
        // One for each row, but for the last row: what follows it is sampled.
        #expect(batches.map { $0.parts[0].targets } == [[1001, 1002], [7, 8], []])
        for batch in batches {
            let scored = batch.parts[0].targets.map { (request: UInt64(1), token: sample($0)) }
            let samples = batch.parts[0].sample ? [(request: UInt64(1), token: sample(9))] : []
            let effects = scheduler.complete(batch.id, samples: samples, targets: scored)
            #expect(
                effects
                    == (scored.isEmpty ? [.token(1, sample(9))] : [.promptTokens(1, scored.map(\.token))]))
        }
    }

    @Test func aBadSegmentEndsItsOwnRequestOnly() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 8, maxInFlight: 2, stageCount: 1, kvRows: 100))
        scheduler.add(work(1, kept: [0, 1], prompt: 2, maxTokens: 3))
        scheduler.add(work(2, kept: [0, 1, 2], prompt: 3, maxTokens: 3))
        scheduler.add(work(3, kept: [0], prompt: 1, maxTokens: 3))
        let batch = try next(&scheduler)
        // Of those it names only what the micro-batch carries can be at fault.
        let effects = scheduler.complete(
            batch.id, samples: [(1, sample(5)), (3, sample(6))], failed: [2: "no", 77: "a stranger"])
        #expect(effects == [.token(1, sample(5)), .failed(2, "no"), .release(2), .token(3, sample(6))])
        let decode = try next(&scheduler)
        #expect(decode.parts.map(\.request) == [1, 3])
        #expect(scheduler.kvRowsReserved == 4 + 5 + 3)
        scheduler.released([2])
        #expect(scheduler.kvRowsReserved == 4 + 3)
    }

    @Test func anAnswerWithoutItsTokenOrWithTwoEndsTheRequest() throws {
        for samples in [[], [(1, sample(5)), (1, sample(6))]] as [[(request: UInt64, token: SampledToken)]] {
            var scheduler = Scheduler(limits: .init(maxRows: 8, maxInFlight: 2, stageCount: 1, kvRows: 100))
            scheduler.add(work(1, kept: [0, 1], prompt: 2, maxTokens: 3))
            scheduler.add(work(2, kept: [0], prompt: 1, maxTokens: 3))
            let batch = try next(&scheduler)
            let effects = scheduler.complete(batch.id, samples: samples + [(2, sample(9))])
            guard case .failed(1, _) = effects.first else {
                Issue.record("\(effects)")
                continue
            }
            #expect(effects.dropFirst() == [.release(1), .token(2, sample(9))])
        }
    }

    @Test func aTokenForAPromptThatIsNotThroughEndsTheRequest() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 2, maxInFlight: 2, stageCount: 1, kvRows: 100))
        scheduler.add(work(1, kept: [0, 1, 2], prompt: 3, maxTokens: 3))
        let first = try next(&scheduler)
        let effects = scheduler.complete(first.id, samples: [(1, sample(5))])
        guard case .failed(1, _) = effects.first else {
            Issue.record("\(effects)")
            return
        }
        #expect(effects.last == .release(1))
    }

    @Test func theLoadIsWhatWaitsAndWhatIsUnderWay() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 4, maxInFlight: 2, stageCount: 1, kvRows: 10))
        scheduler.add(work(1, kept: Array(0..<6), prompt: 6, maxTokens: 2))
        scheduler.add(work(2, kept: Array(0..<3), prompt: 3, maxTokens: 3))
        #expect(scheduler.queuedRows == (9, 0) && scheduler.rowsInFlight == 0)
        #expect(scheduler.kvRowsFree == 10 - 7 - 5)
        let first = try next(&scheduler)
        #expect(scheduler.queuedRows == (5, 0) && scheduler.rowsInFlight == 4)
        let second = try next(&scheduler)
        #expect(scheduler.queuedRows == (3, 1) && scheduler.rowsInFlight == 6)
        _ = scheduler.complete(first.id, samples: [])
        _ = scheduler.complete(second.id, samples: [(1, sample(5))])
        #expect(scheduler.queuedRows == (3, 1) && scheduler.rowsInFlight == 0)
        #expect(scheduler.cancel(2).isEmpty)
        #expect(scheduler.queuedRows == (0, 1) && scheduler.kvRowsFree == 3)
    }

    @Test func withACostModelChunksOfALonePromptGetShorter() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 512, maxInFlight: 100, stageCount: 2, kvRows: 10_000))
        let stage = CostModel(perMicroBatch: 2e-3, perRow: 1e-4, perPair: 2e-8)
        scheduler.cost = PipelineCost(stages: [stage, stage])
        scheduler.add(work(1, kept: Array(0..<8192), prompt: 8192, maxTokens: 1))
        var rows: [Int] = []
        while let batch = scheduler.next() { rows.append(batch.rows) }
        #expect(rows.reduce(0, +) == 8192)
        #expect(rows.allSatisfy { (1...512).contains($0) } && rows.dropLast().allSatisfy { $0.isMultiple(of: 32) })
        #expect(zip(rows, rows.dropFirst()).allSatisfy { $0 >= $1 } && rows[0] > rows[rows.count - 2])
    }

    @Test func aLonePromptIsCutForItsStages() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 512, maxInFlight: 4, stageCount: 3, kvRows: 10_000))
        scheduler.add(work(1, kept: Array(0..<400), prompt: 4000, maxTokens: 1))
        var rows: [Int] = []
        while let batch = scheduler.next() { rows.append(batch.rows) }
        #expect(rows == [96, 96, 96, 96])  // four under way; the last 16 rows follow
        // With company nothing is cut: the others keep the stages busy.
        var busy = Scheduler(limits: .init(maxRows: 512, maxInFlight: 4, stageCount: 3, kvRows: 10_000))
        busy.add(work(1, kept: Array(0..<400), prompt: 4000, maxTokens: 1))
        busy.add(work(2, kept: Array(0..<400), prompt: 4000, maxTokens: 1))
        let first = busy.next()
        #expect(first?.parts.map(\.tokens.count) == [400, 112])
    }

    /// Any arrivals, replays, cancellations and bad segments: rows arrive once and in order, bounds hold, everything ends once.
    @Test(arguments: UInt64(1)...60) func everyRequestEndsOnceWithinTheLimits(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let limits = Scheduler.Limits(
            maxRows: Int.random(in: 1...200, using: &random), maxInFlight: Int.random(in: 1...5, using: &random),
            stageCount: Int.random(in: 1...4, using: &random), kvRows: 600)
        var scheduler = Scheduler(limits: limits)
        if Bool.random(using: &random) {
            let stage = CostModel(
                perMicroBatch: Double.random(in: 0...1e-2, using: &random), perRow: 1e-4,
                perPair: Double.random(in: 0...1e-5, using: &random))
            scheduler.cost = PipelineCost(stages: Array(repeating: stage, count: limits.stageCount))
        }
        var queue: [Scheduler.MicroBatch] = []  // the pipeline: first in, first out
        var works: [UInt64: Scheduler.Work] = [:]
        var sent: [UInt64: [Int32]] = [:]
        var tokens: [UInt64: Int] = [:]
        var ended: [UInt64: Int] = [:]
        var targets: [UInt64: [Int32]] = [:]
        var openRows: [UInt64: Int] = [:]
        var bad: Set<UInt64> = []
        var releases: [UInt64] = []

        func apply(_ effects: [Scheduler.Effect]) {
            for effect in effects {
                switch effect {
                case .endToken(let id, let token):
                    #expect(ended[id] == nil && works[id]?.ends.contains(token.token) == true)
                case .token(let id, _):
                    #expect(
                        ended[id] == nil
                            && works[id].map { $0.firstStep + tokens[id, default: 0] < $0.maxTokens } == true)
                    tokens[id, default: 0] += 1
                case .promptTokens(let id, let scored):
                    #expect(ended[id] == nil && tokens[id] == nil)
                    targets[id, default: []] += scored.map(\.token)
                case .finished(let id, _): ended[id, default: 0] += 1
                case .failed(let id, let reason):
                    #expect(bad.contains(id) && reason == "bad")
                    ended[id, default: 0] += 1
                case .release(let id): releases.append(id)
                case .drafted: Issue.record("nothing was guessed")
                }
            }
        }

        /// What the last stage says; of the requests at fault nothing.
        func complete(_ batch: Scheduler.MicroBatch, failed: [UInt64: String] = [:]) -> [Scheduler.Effect] {
            let whole = batch.parts.filter { failed[$0.request] == nil }
            let samples = whole.filter(\.sample).map {
                (request: $0.request, token: sample(Int32.random(in: 0..<20, using: &random)))
            }
            let scored = whole.flatMap { part in part.targets.map { (request: part.request, token: sample($0)) } }
            return scheduler.complete(batch.id, samples: samples, targets: scored, failed: failed)
        }

        var nextID: UInt64 = 1
        var steps = 0
        while steps < 4000, nextID <= 25 || !scheduler.isIdle || !queue.isEmpty {
            steps += 1
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2 where nextID <= 25:
                let prompt = Int.random(in: 1...300, using: &random)
                let kept = (0..<Int32(prompt)).filter { _ in Bool.random(using: &random) }
                let given = (0..<Int.random(in: 0...5, using: &random)).map { Int32(2000 + $0) }
                let work = work(
                    nextID, kept: kept.isEmpty ? [0] : kept, prompt: prompt, given: given,
                    maxTokens: given.count + Int.random(in: 0...20, using: &random),
                    topTargets: Int.random(in: 0..<3, using: &random) == 0 ? 4 : nil, ends: [2])
                works[nextID] = work
                scheduler.add(work)
                nextID += 1
            case 3 where nextID > 1 && Int.random(in: 0..<8, using: &random) == 0:
                let id = UInt64.random(in: 1..<nextID, using: &random)
                apply(scheduler.cancel(id))
                if ended[id] == nil { ended[id] = 1 }
            case 4 where !queue.isEmpty && Int.random(in: 0..<12, using: &random) == 0:
                let batch = queue.removeFirst()
                let named = batch.parts.map(\.request).filter { _ in Bool.random(using: &random) }
                bad.formUnion(named)
                apply(
                    complete(batch, failed: Dictionary(uniqueKeysWithValues: named.map { ($0, "bad") })))
            case 5...7 where !queue.isEmpty:
                apply(complete(queue.removeFirst()))
            case 8 where !releases.isEmpty:
                for id in releases { openRows[id] = nil }
                scheduler.released(releases)
                releases.removeAll()
            default:
                guard let batch = scheduler.next() else { continue }
                #expect(batch.rows <= limits.maxRows && batch.rows > 0)
                #expect(Set(batch.parts.map(\.request)).count == batch.parts.count)
                for part in batch.parts {
                    let work = try #require(works[part.request])
                    let rows = sent[part.request]?.count ?? 0
                    #expect(!part.sample || part.step == work.firstStep + max(0, rows - work.tokens.count + 1))
                    #expect(part.cached == rows && (part.opening != nil) == (rows == 0))
                    if let opening = part.opening { openRows[part.request] = opening.kvRows }
                    sent[part.request, default: []] += part.positions
                    #expect(sent[part.request]?.count ?? 0 <= work.kvRows)
                }
                queue.append(batch)
                #expect(queue.count <= limits.maxInFlight)
                #expect(openRows.values.reduce(0, +) <= limits.kvRows)
            }
        }
        #expect(scheduler.isIdle && queue.isEmpty)
        #expect(ended.count == 25 && ended.values.allSatisfy { $0 == 1 })
        for (id, positions) in sent {
            let work = try #require(works[id])
            let decode = (0..<max(0, positions.count - work.positions.count)).map {
                Int32(work.promptCount + work.firstStep + $0)
            }
            #expect(positions == Array((work.positions + decode).prefix(positions.count)))
        }
        for (id, tokens) in targets {
            // What came before an early end is the prompt's, in order; what was not asked for never comes.
            let work = try #require(works[id])
            #expect(work.topTargets != nil && tokens == Array(work.tokens.dropFirst().prefix(tokens.count)))
        }
        scheduler.released(releases)
        #expect(scheduler.kvRowsReserved == 0)
    }
}
