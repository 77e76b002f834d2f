import Coordinator
import Testing
import Transformer

/// What the scheduler does with guesses.
extension SchedulerTests {
    /// One request whose prompt is through and whose first token is 7.
    private func decoding(maxTokens: Int, maxRows: Int = 512, ends: Set<Int32> = []) throws -> Scheduler {
        var scheduler = Scheduler(limits: .init(maxRows: maxRows, maxInFlight: 2, stageCount: 1, kvRows: 1000))
        scheduler.add(work(1, kept: [0, 5], prompt: 100, maxTokens: maxTokens, ends: ends))
        let prefill = try next(&scheduler)
        _ = scheduler.complete(prefill.id, samples: [(1, sample(7))])
        return scheduler
    }

    @Test func guessesTravelWithTheTokenBeforeThem() throws {
        var scheduler = try decoding(maxTokens: 10)
        #expect(scheduler.draftRoom(1) == 8)
        let isHeld = scheduler.hold(1)
        #expect(isHeld)
        let nothing = scheduler.next()
        #expect(nothing == nil)
        scheduler.resume(1, drafts: [8, 9, 10])
        let batch = try next(&scheduler)
        let part = try #require(batch.parts.first)
        #expect(part.tokens == [7, 8, 9, 10] && part.positions == [100, 101, 102, 103])
        #expect(part.drafts == [8, 9, 10] && part.decoded == 4 && part.cached == 2 && part.step == 1)
        // The second guess was wrong: what is behind it is forgotten.
        let effects = scheduler.complete(batch.id, samples: [(1, sample(8)), (1, sample(20))])
        #expect(
            effects == [.drafted(1, proposed: 3, accepted: 1), .token(1, sample(8)), .token(1, sample(20))])
        let after = try #require(try next(&scheduler).parts.first)
        #expect(after.tokens == [20] && after.positions == [102] && after.cached == 4 && after.step == 3)
    }

    @Test func allGuessesRightBringOneTokenMore() throws {
        var scheduler = try decoding(maxTokens: 10)
        _ = scheduler.hold(1)
        scheduler.resume(1, drafts: [8, 9])
        let batch = try next(&scheduler)
        let effects = scheduler.complete(batch.id, samples: [8, 9, 30].map { (1, sample($0)) })
        #expect(effects.count == 4 && effects.last == .token(1, sample(30)))
        #expect(try next(&scheduler).parts.first?.cached == 5)
    }

    @Test func anAnswerEndsAmongItsGuesses() throws {
        var scheduler = try decoding(maxTokens: 10, ends: [2])
        _ = scheduler.hold(1)
        scheduler.resume(1, drafts: [8, 2, 9])
        let batch = try next(&scheduler)
        let effects = scheduler.complete(batch.id, samples: [8, 2, 9, 4].map { (1, sample($0)) })
        #expect(
            effects == [
                .drafted(1, proposed: 3, accepted: 3), .token(1, sample(8)), .endToken(1, sample(2)),
                .finished(1, .stop), .release(1),
            ])
    }

    @Test func guessesKeepToTheAnswersLengthAndTheRoom() throws {
        var scheduler = try decoding(maxTokens: 4)
        _ = scheduler.hold(1)
        scheduler.resume(1, drafts: [8, 9, 10, 11])
        // Four tokens in all: one is there, two guesses and what follows them.
        let batch = try next(&scheduler)
        #expect(batch.parts.first?.drafts == [8, 9])
        let effects = scheduler.complete(batch.id, samples: [8, 9, 10].map { (1, sample($0)) })
        #expect(effects.suffix(2) == [.finished(1, .length), .release(1)])

        var narrow = try decoding(maxTokens: 100, maxRows: 3)
        _ = narrow.hold(1)
        narrow.resume(1, drafts: [8, 9, 10, 11])
        #expect(try next(&narrow).parts.first?.tokens == [7, 8, 9])
    }

    @Test(arguments: [[], [8, 21, 22], [20, 9], [8, 9, 10, 11]] as [[Int32]])
    func samplesThatDoNotFollowTheGuessesEndTheRequest(_ tokens: [Int32]) throws {
        var scheduler = try decoding(maxTokens: 10)
        _ = scheduler.hold(1)
        scheduler.resume(1, drafts: [8, 9])
        let batch = try next(&scheduler)
        let effects = scheduler.complete(batch.id, samples: tokens.map { (1, sample($0)) })
        guard case .failed(1, let reason) = effects.first else {
            Issue.record("\(effects)")
            return
        }
        #expect(reason.contains("drew \(tokens.count) tokens"))
    }

    /// Nothing is kept back for ever, and nothing that is not kept back is let go.
    @Test func onlyWhatIsHeldIsResumed() throws {
        var scheduler = try decoding(maxTokens: 10)
        scheduler.resume(1, drafts: [8])
        let batch = try next(&scheduler)
        #expect(batch.parts.first?.tokens == [7])
        let isHeld = scheduler.hold(1)
        #expect(!isHeld)
        #expect(scheduler.draftRoom(1) == 0)
        _ = scheduler.complete(batch.id, samples: [(1, sample(8))])
        _ = scheduler.hold(1)
        _ = scheduler.cancel(1)
        scheduler.resume(1, drafts: [8])
        let nothing = scheduler.next()
        #expect(nothing == nil && scheduler.isIdle)
    }
}
