import Coordinator
import Testing
import Transformer

@Suite("Router")
struct RouterTests {
    private func candidate(
        _ id: Int, stages: Int = 1, queued: Int = 0, inFlight: Int = 0, decoding: Int = 0, free: Int = 10_000,
        budget: Int = 10_000, rowSeconds: Double? = nil, isAlike: Bool = false
    ) -> Router.Candidate {
        Router.Candidate(
            id: id, stageCount: stages, maxRows: 512, promptRows: queued, rowsInFlight: inFlight, decoding: decoding,
            kvRowsFree: free, kvRowsBudget: budget,
            cost: rowSeconds.map {
                PipelineCost(stages: Array(repeating: CostModel(perRow: $0 / Double(stages)), count: stages))
            }, isAlike: isAlike)
    }

    private func choose(_ candidates: [Router.Candidate], kept: Int = 400, kvRows: Int = 500) -> Int? {
        let choice = Router.choose(kept: kept, kvRows: kvRows, among: candidates)
        #expect(choice == Router.choose(kept: kept, kvRows: kvRows, among: candidates.reversed()), "order matters")
        return choice
    }

    @Test func nothingMeasured() {
        #expect(choose([]) == nil)
        #expect(choose([candidate(2), candidate(1)]) == 1)
        #expect(choose([candidate(1, queued: 300), candidate(2)]) == 2)
        #expect(choose([candidate(1, inFlight: 300), candidate(2)]) == 2)
        #expect(choose([candidate(1, decoding: 40), candidate(2)]) == 2)
        // Three stages get through a queue as long in a third of the time.
        #expect(choose([candidate(1, queued: 3000), candidate(2, stages: 3, queued: 3000)]) == 2)
    }

    @Test func theFasterOneIsChosenUntilItsQueueIsLonger() {
        let slow = candidate(1, rowSeconds: 4e-3)
        #expect(choose([slow, candidate(2, rowSeconds: 1e-3)]) == 2)
        #expect(choose([slow, candidate(2, queued: 1000, rowSeconds: 1e-3)]) == 2)
        #expect(choose([slow, candidate(2, queued: 1400, rowSeconds: 1e-3)]) == 1)
    }

    /// The last of a burst waits no longer on one than on the other.
    @Test func aBurstIsSharedByHowFastTheyAre() {
        var queued = [0, 0]
        for _ in 0..<100 {
            let pair = [
                candidate(0, queued: queued[0], rowSeconds: 3e-3), candidate(1, queued: queued[1], rowSeconds: 1e-3),
            ]
            queued[choose(pair) ?? 0] += 400
        }
        #expect((24...26).contains(queued[0] / 400))
    }

    @Test func oneThatWasNeverMeasuredGetsItsTurn() {
        #expect(choose([candidate(1, queued: 200, rowSeconds: 1e-3), candidate(2)]) == 2)
        // But it is not thought to be quicker than the quickest.
        #expect(choose([candidate(1, rowSeconds: 1e-3), candidate(2, queued: 200)]) == 1)
    }

    @Test func nearlyEqualPredictionsGoByLoad() {
        let first = candidate(1, decoding: 9, rowSeconds: 1e-3)
        #expect(choose([first, candidate(2, rowSeconds: 1.01e-3)]) == 2)
        #expect(choose([candidate(1, rowSeconds: 1.01e-3), candidate(2, rowSeconds: 1e-3)]) == 1)
    }

    @Test func whatCanNeverHoldTheRequestIsNotChosen() {
        #expect(choose([candidate(1, free: 499, budget: 499)]) == nil)
        #expect(choose([candidate(1, free: 499, budget: 499), candidate(2, queued: 9999)]) == 2)
        // Room now goes before a shorter queue; where there is none, the request waits.
        #expect(choose([candidate(1, free: 499), candidate(2, queued: 9000)]) == 2)
        #expect(choose([candidate(1, queued: 900, free: -5), candidate(2, free: 499)]) == 2)
    }

    @Test func aReplayPrefersAPipelineAlikeUpToTwiceTheTime() {
        let other = candidate(1, rowSeconds: 1e-3)
        #expect(choose([other, candidate(2, rowSeconds: 1.9e-3, isAlike: true)]) == 2)
        #expect(choose([other, candidate(2, rowSeconds: 2.1e-3, isAlike: true)]) == 1)
        #expect(choose([candidate(1, free: 0, isAlike: true), candidate(2)]) == 2)
    }

    @Test func aSchedulerSaysWhatItHas() throws {
        var scheduler = Scheduler(limits: .init(maxRows: 4, maxInFlight: 2, stageCount: 3, kvRows: 100))
        let stage = CostModel(perRow: 1e-3)
        scheduler.cost = PipelineCost(stages: [stage, stage, stage])
        scheduler.add(
            Scheduler.Work(
                id: 1, tokens: Array(0..<10), positions: Array(0..<10), promptCount: 10, maxTokens: 5,
                sampling: SamplingParameters(temperature: 0), ends: []))
        _ = scheduler.next()
        let made = Router.Candidate(id: 7, scheduler: scheduler, isAlike: true)
        let expected = Router.Candidate(
            id: 7, stageCount: 3, maxRows: 4, promptRows: 6, rowsInFlight: 4, kvRowsFree: 86, kvRowsBudget: 100,
            cost: scheduler.cost, isAlike: true)
        #expect(made == expected)
    }
}
