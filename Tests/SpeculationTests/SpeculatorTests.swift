// The whole flow of a small model, against Hugging Face transformers.

import Checkpoint
import Compute
import Layers
import Speculation
import Testing
import Transformer

@Suite struct SpeculatorTests {
    private struct File: Decodable { var cases: [Case] }

    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        var tokens, eosTokens, decoded: [Int32]
        var keepRate: Double
        var lookAhead, chunk, pool: Int
        var keptChunks: [Int]
        var importance: [Float]

        var testDescription: String { "\(tokens.count) tokens, \(decoded.count) of \(lookAhead) steps" }

        var parameters: SpeculationParameters {
            .init(
                keepRate: keepRate, lookAhead: lookAhead, chunk: chunk, stride: 1, pool: pool, selection: .reference)
        }
    }

    private static let cases = (try? Fixtures.decode(File.self, from: "model-selection.json").cases) ?? []

    private func makeStage(layers: Range<Int>? = nil, precision: Precision = .f32) throws -> Stage {
        let checkpoint = try Checkpoint(path: Fixtures.path("random-llama"))
        let pool = ThreadPool(threads: 2, name: "speculation-test")
        return try Stage(
            checkpoint: checkpoint, layers: layers.map { LayerSpan($0) } ?? checkpoint.configuration.allLayers,
            precision: precision, pool: pool)
    }

    @Test func thereAreCasesWithAndWithoutEOS() {
        #expect(Self.cases.count >= 10)
        #expect(Self.cases.contains { $0.decoded.count < $0.lookAhead })
        #expect(Self.cases.contains { $0.decoded.count == $0.lookAhead })
    }

    @Test(arguments: cases) func equalsTransformers(_ example: Case) throws {
        let stage = try makeStage()
        for rows in [512, 64, 7] {
            let speculator = Speculator(stage: stage, prefillRows: rows, eosTokens: example.eosTokens)
            let importance = try speculator.importance(of: example.tokens, parameters: example.parameters)
            try #require(importance.count == example.importance.count)
            for (ours, theirs) in zip(importance, example.importance) { #expect(abs(ours - theirs) < 1e-5) }
            let kept = Selector.select(importance: importance, parameters: example.parameters)
            #expect(Set(kept.kept.map { Int($0) / example.chunk }).sorted() == example.keptChunks)
        }
    }

    @Test func anEOSCutsTheLookAheadShort() throws {
        // Ends at once on any token: the same as a look-ahead of one step.
        let stage = try makeStage()
        let prompt = (0..<50).map { Int32($0 % 90 + 2) }
        let all = Speculator(stage: stage, eosTokens: (0..<96).map { Int32($0) })
        let one = Speculator(stage: stage, eosTokens: [])
        let short = try all.importance(of: prompt, parameters: .init(lookAhead: 8))
        #expect(try short == one.importance(of: prompt, parameters: .init(lookAhead: 1)))
        #expect(try short != one.importance(of: prompt, parameters: .init(lookAhead: 8)))
    }

    @Test func theLookAheadEndsWithTheContext() throws {
        let stage = try makeStage()
        let context = stage.configuration.contextLength
        let speculator = Speculator(stage: stage, eosTokens: [])
        let prompt = (0..<context).map { Int32($0 % 90 + 2) }
        let full = try speculator.importance(of: prompt, parameters: .init(lookAhead: 8))
        #expect(try full == speculator.importance(of: prompt, parameters: .init(lookAhead: 1)))
        #expect(throws: SpeculationError.self) {
            try speculator.importance(of: prompt + [2], parameters: .init())
        }
    }

    /// A thousand tokens of which rows see a quarter at most.
    private static let sparsity = BlockSparsity(coverage: 0.9, nearKeys: 64, exactKeys: 128)

    @Test func aSparselyReadPromptIsScoredAlikeHoweverItIsCut() throws {
        // Float32's sums depend on how many rows there are.
        let stage = try makeStage(precision: .bf16)
        let prompt = (0..<1000).map { Int32(($0 * $0 / 7) % 90 + 2) }
        func importance(
            _ rows: Int, _ attention: SpeculatorAttention, _ sparsity: BlockSparsity, mostKeys: Double = 0.25
        ) throws -> [Float] {
            try Speculator(stage: stage, prefillRows: rows, eosTokens: [], sparsity: sparsity)
                .importance(of: prompt, parameters: .init(attention: attention, mostKeys: mostKeys))
        }
        let sparse = try importance(512, .sparse, Self.sparsity)
        let exact = try importance(512, .exact, Self.sparsity)
        #expect(sparse != exact)
        #expect(try importance(512, .sparse, Self.sparsity, mostKeys: 0.5) != sparse)
        for rows in [1, 128, 200, 4096] {
            let cut = try importance(rows, .sparse, Self.sparsity)
            let worst = zip(cut, sparse).map { abs($0 - $1) }.max() ?? 0
            #expect(CPULevel.inUse.keepsSumsOfShares ? cut == sparse : worst < 0.02 * (sparse.max() ?? 0), "\(rows)")
        }
        // A prompt too short to gain anything is read exactly.
        #expect(try importance(512, .sparse, BlockSparsity()) == exact)
    }

    @Test func badInputIsRefused() throws {
        let speculator = Speculator(stage: try makeStage())
        #expect(throws: SpeculationError.invalidPrompt(problem: "the prompt is empty")) {
            try speculator.importance(of: [], parameters: .init())
        }
        for token: Int32 in [-1, 96, .max, .min] {
            #expect {
                try speculator.importance(of: [2, token, 3], parameters: .init())
            } throws: {
                guard case .stage(let error)? = $0 as? SpeculationError else { return false }
                return error.code == .invalidToken
            }
        }
        #expect(throws: SpeculationError.self) {
            try speculator.importance(of: [2], parameters: .init(lookAhead: 0))
        }
    }

    @Test func aStageOfSomeLayersIsRefused() throws {
        for layers in [0..<1, 1..<2] {
            let speculator = Speculator(stage: try makeStage(layers: layers))
            #expect {
                try speculator.importance(of: [2, 3, 4], parameters: .init())
            } throws: {
                guard case .stage(let error)? = $0 as? SpeculationError else { return false }
                return error.code == .wrongStage
            }
        }
    }

    @Test func aCancellationIsSeenBetweenBlocks() throws {
        let speculator = Speculator(stage: try makeStage(), prefillRows: 16, eosTokens: [])
        let prompt = (0..<100).map { Int32($0 % 90 + 2) }
        for limit in 0..<14 {  // 7 blocks and 7 decoded tokens
            var asked = 0
            #expect(throws: SpeculationError.cancelled) {
                try speculator.importance(of: prompt, parameters: .init()) {
                    asked += 1
                    return asked > limit
                }
            }
            #expect(asked == limit + 1)
        }
    }
}
