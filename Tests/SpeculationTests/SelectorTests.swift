// Selection holds its promises for any importance and any parameters.

import Speculation
import Testing

@Suite struct SelectorTests {
    /// Random importance, parameters and protected spans.
    private static func draw(_ seed: Int) -> (
        importance: [Float], parameters: SpeculationParameters, spans: [Range<Int>]
    ) {
        var random = Seeded(state: UInt64(seed))
        let count = [0, 1, 2, 3, 7, 31, 32, 33, 64, 100, 257, 1000].randomElement(using: &random) ?? 0
        var importance = (0..<count).map { _ in Float.random(in: 0...1, using: &random) }
        if count > 0, seed % 5 == 0 {  // what a broken speculator might give
            for value in [Float.nan, .infinity, -.infinity] {
                importance[.random(in: 0..<count, using: &random)] = value
            }
        }
        let chunk = Int.random(in: 1...48, using: &random)
        let parameters = SpeculationParameters(
            keepRate: [1e-9, 0.01, 0.1, 0.37, 0.5, 0.9, 0.999, 1].randomElement(using: &random) ?? 1, chunk: chunk,
            stride: .random(in: 1...chunk, using: &random),
            selection: SelectionMode.allCases.randomElement(using: &random) ?? .windows,
            keepHead: .random(using: &random), tail: [0, 1, 10, 64, 5000].randomElement(using: &random) ?? 0)
        let spans = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            let first = Int.random(in: -10...count + 10, using: &random)
            return first..<first + Int.random(in: 0...40, using: &random)
        }
        return (importance, parameters, spans)
    }

    @Test func promisesHold() throws {
        for seed in 0..<2000 { try checkPromises(seed: seed) }
    }

    private func checkPromises(seed: Int) throws {
        let (importance, parameters, spans) = Self.draw(seed)
        try parameters.validate()
        let count = importance.count
        let selection = Selector.select(importance: importance, parameters: parameters, protected: spans)
        let comment: Comment = "seed \(seed): \(count) tokens, \(parameters), \(spans)"

        // In range, sorted, not empty, not touching.
        #expect(selection.promptCount == count, comment)
        #expect(
            selection.spans.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= count && !$0.isEmpty }, comment)
        let neighbours = zip(selection.spans, selection.spans.dropFirst())
        #expect(neighbours.allSatisfy { $0.upperBound < $1.lowerBound }, comment)
        #expect(selection.kept.count == selection.keptCount, comment)
        #expect(selection.kept == Array(Set(selection.kept)).sorted(), comment)

        // The same again.
        let again = Selector.select(importance: importance, parameters: parameters, protected: spans)
        #expect(selection == again, comment)

        let kept = Set(selection.kept.map(Int.init))
        if parameters.keepRate == 1 { #expect(kept.count == count, comment) }

        var protected = Set<Int>()
        if parameters.selection != .reference {
            if parameters.keepHead { protected.formUnion(0..<min(1, count)) }
            protected.formUnion(max(0, count - parameters.tail)..<count)
            for span in spans { protected.formUnion(span.clamped(to: 0..<count)) }
        }
        #expect(kept.isSuperset(of: protected), comment)

        // The budget counts what is not protected: reached where there is enough, exceeded by less than a chunk.
        guard parameters.keepRate < 1 else { return }
        let chosen = kept.subtracting(protected).count
        switch parameters.selection {
        case .windows:
            let budget = Int((parameters.keepRate * Double(count)).rounded(.up))
            #expect(chosen >= min(budget, count - protected.count), comment)
            #expect(chosen < max(1, budget) + parameters.chunk, comment)
        case .grid, .reference:
            let chunks = (count + parameters.chunk - 1) / parameters.chunk
            let budget = Int((parameters.keepRate * Double(chunks)).rounded(.up))
            #expect(chosen <= budget * parameters.chunk, comment)
        }
    }

    @Test func referenceTakesWholeChunksAndNothingByForce() {
        let importance = (0..<70).map { Float($0 / 32 == 1 ? 1 : 0) }
        let parameters = SpeculationParameters(keepRate: 0.3, selection: .reference, tail: 10)
        #expect(
            Selector.select(importance: importance, parameters: parameters, protected: [0..<5]).spans == [32..<64])
    }

    @Test func gridAddsWhatIsProtected() {
        let importance = (0..<70).map { Float($0 / 32 == 1 ? 1 : 0) }
        let parameters = SpeculationParameters(keepRate: 0.3, selection: .grid, tail: 3)
        #expect(
            Selector.select(importance: importance, parameters: parameters, protected: [10..<12]).spans
                == [0..<1, 10..<12, 32..<64, 67..<70])
    }

    @Test func windowsKeepEvidenceThatStraddlesTheGrid() {
        // 24 important tokens across a boundary of the grid: one window of 32 at stride 8 holds them.
        let importance = (0..<320).map { Float(52..<76 ~= $0 ? 1 : 0.01) }
        let parameters = SpeculationParameters(keepRate: 0.1, keepHead: false, tail: 0)
        let selection = Selector.select(importance: importance, parameters: parameters)
        #expect(selection.spans == [48..<80])
    }

    @Test func aWindowTouchesTheEndOfThePrompt() {
        // 45 tokens are not on the stride: the last window is 13..<45.
        var importance = [Float](repeating: 0, count: 45)
        importance[44] = 1
        let parameters = SpeculationParameters(keepRate: 0.5, keepHead: false, tail: 0)
        #expect(Selector.select(importance: importance, parameters: parameters).spans == [13..<45])
    }

    @Test func protectedTokensCostNoBudget() {
        // The best windows lie in the protected tail and are free; those that stick out of it by 8 and 16 tokens use
        // half of the budget of 32, and the best of the rest is reached.
        var importance = [Float](repeating: 0.001, count: 400)
        for token in 336..<400 { importance[token] = 1 }
        for token in 96..<128 { importance[token] = 0.5 }
        let parameters = SpeculationParameters(keepRate: 0.08)
        #expect(
            Selector.select(importance: importance, parameters: parameters).spans
                == [0..<1, 96..<128, 320..<400])
    }

    @Test func theEarlierWinsBetweenEquals() {
        let importance = [Float](repeating: 0.25, count: 128)
        for mode in [SelectionMode.windows, .reference] {
            let parameters = SpeculationParameters(keepRate: 0.25, selection: mode, keepHead: false, tail: 0)
            #expect(Selector.select(importance: importance, parameters: parameters).spans == [0..<32])
        }
    }

    @Test func valuesThatAreNotFiniteCountAsNothing() {
        var importance = [Float](repeating: 0.1, count: 128)
        importance[5] = .nan
        importance[40] = .infinity
        for token in 96..<128 { importance[token] = 0.2 }
        for mode in [SelectionMode.windows, .reference] {
            let parameters = SpeculationParameters(keepRate: 0.25, selection: mode, keepHead: false, tail: 0)
            #expect(Selector.select(importance: importance, parameters: parameters).spans == [96..<128])
        }
    }
}
