import Checkpoint
import Compute
import Speculation
import Testing
import Transformer

@Suite struct DrafterTests {
    private let prompt: [Int32] = [1, 40, 41, 42, 17, 9]

    private func stage() throws -> Stage {
        let checkpoint = try Checkpoint(path: Fixtures.path("random-llama"))
        return try Stage(
            checkpoint: checkpoint, layers: checkpoint.configuration.allLayers,
            pool: ThreadPool(threads: 1, name: "drafter-test"))
    }

    private func begin(_ drafter: Drafter, room: Int = 60, sampling: SamplingParameters = .init(temperature: 0)) throws
        -> Draft
    {
        // As if something had been pruned.
        try drafter.begin(
            prompt: prompt, positions: [0, 1, 2, 3, 10, 11], promptCount: 12, room: room, sampling: sampling)
    }

    /// What the model says by itself, one token after the other.
    private func answer(_ stage: Stage, count: Int, sampling: SamplingParameters) throws -> [Int32] {
        let cache = stage.makeCache(capacity: 100)
        var tokens: [Int32] = []
        var rows = prompt
        var positions: [Int32] = [0, 1, 2, 3, 10, 11]
        while tokens.count < count {
            let hidden = try stage.embed(rows)
            try stage.forward(hidden, segments: [Segment(cache: cache, positions: positions)])
            let logits = try stage.logits(hidden, rows: [rows.count - 1])
            tokens.append(try Sampler.sample(logits, row: 0, parameters: sampling, step: tokens.count).token)
            rows = tokens.suffix(1)
            positions = [Int32(12 + tokens.count - 1)]
        }
        return tokens
    }

    @Test(arguments: [SamplingParameters(temperature: 0), SamplingParameters(temperature: 1, topP: 0.9, seed: 3)])
    func ofTheSameModelAllGuessesAreRight(_ sampling: SamplingParameters) throws {
        let stage = try stage()
        let expected = try answer(stage, count: 40, sampling: sampling)
        let drafter = Drafter(stage: stage, prefillRows: 4)
        let draft = try begin(drafter, sampling: sampling)
        var known = 1
        #expect(try drafter.extend(draft, by: [expected[0]], guessing: 0) == [])
        for count in [4, 1, 8, 3, 2] {
            #expect(try drafter.extend(draft, by: [], guessing: count) == Array(expected[known..<known + count]))
            // All of them, and the token after them.
            let told = Array(expected[known..<known + count + 1])
            known += told.count
            #expect(try drafter.extend(draft, by: told, guessing: 1) == [expected[known]])
        }
    }

    /// Wrong guesses leave nothing behind, wherever they part from the answer.
    @Test func goesOnFromWhatWasSaid() throws {
        let stage = try stage()
        let drafter = Drafter(stage: stage)
        let draft = try begin(drafter)
        var told: [Int32] = []
        for (round, right) in [0, 2, 4, 1, 3].enumerated() {
            let guesses = try #require(try drafter.extend(draft, by: [], guessing: 4))
            let said = Array(guesses.prefix(right)) + [Int32(50 + round)]
            told += said
            let fresh = try begin(drafter)
            #expect(
                try drafter.extend(draft, by: said, guessing: 4) == drafter.extend(fresh, by: told, guessing: 4))
        }
    }

    @Test func whatIsGivenUpIsToldAgain() throws {
        let stage = try stage()
        let drafter = Drafter(stage: stage, prefillRows: 2)
        let (draft, other) = (try begin(drafter), try begin(drafter))
        let said: [Int32] = [5, 6, 7, 8, 9]
        let expected = try drafter.extend(other, by: said, guessing: 3)
        var left = 2
        let nothing = try drafter.extend(
            draft, by: said, guessing: 3,
            isCancelled: {
                left -= 1
                return left < 0
            })
        #expect(nothing == nil)
        #expect(try drafter.extend(draft, by: said, guessing: 3) == expected)
        // And in the middle of an answer.
        let more: [Int32] = [11, 12, 13, 14]
        #expect(try drafter.extend(draft, by: more, guessing: 3, isCancelled: { true }) == nil)
        #expect(
            try drafter.extend(draft, by: more, guessing: 3) == drafter.extend(other, by: more, guessing: 3))
    }

    @Test func keepsToItsRoomAndTheContext() throws {
        let stage = try stage()
        let drafter = Drafter(stage: stage)
        let draft = try begin(drafter, room: 5)
        #expect(try drafter.extend(draft, by: [5, 6, 7], guessing: 9)?.count == 2)
        #expect(throws: StageError.self) { try drafter.extend(draft, by: [5, 6, 7], guessing: 1) }
        let context = stage.configuration.contextLength
        #expect(throws: StageError.self) { try begin(drafter, room: context) }
        #expect(throws: StageError.self) {
            try drafter.begin(prompt: [], positions: [], promptCount: 0, room: 4, sampling: .init())
        }
    }
}
