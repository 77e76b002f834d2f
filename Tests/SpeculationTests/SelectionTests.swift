// The value that says which tokens are kept.

import Speculation
import Testing

@Suite struct SelectionTests {
    @Test func unionsSpansOfAnyOrder() {
        let selection = Selection(promptCount: 20, spans: [12..<30, 3..<5, -4..<1, 5..<7, 4..<6, 9..<9])
        #expect(selection.spans == [0..<1, 3..<7, 12..<20])
        #expect(selection.keptCount == 13)
        #expect(selection.keepRate == 0.65)
        #expect(selection.kept == [0, 3, 4, 5, 6] + Array(12..<20))
    }

    @Test func allKeepsEverything() {
        #expect(Selection.all(promptCount: 3).kept == [0, 1, 2])
        #expect(Selection.all(promptCount: 3).keepRate == 1)
        #expect(Selection.all(promptCount: 0).spans.isEmpty)
        #expect(Selection.all(promptCount: 0).keepRate == 1)
    }

    @Test func unionEqualsThatOfSets() {
        var random = Seeded(state: 1)
        for _ in 0..<500 {
            let count = Int.random(in: 0...40, using: &random)
            let spans = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                let first = Int.random(in: -5...45, using: &random)
                return first..<first + Int.random(in: 0...9, using: &random)
            }
            let expected = Set(spans.joined()).filter { 0..<count ~= $0 }.sorted().map { Int32($0) }
            #expect(Selection(promptCount: count, spans: spans).kept == expected)
        }
    }
}
