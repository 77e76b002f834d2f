// Stop strings in texts that come in parts.

import Testing
import Tokenizer

struct StopMatcherTests {
    private func run(_ stops: [String], _ parts: [String]) -> (emitted: [String], isStopped: Bool) {
        var matcher = StopMatcher(stops)
        let emitted = parts.map { matcher.append($0) } + [matcher.finish()]
        return (emitted, matcher.isStopped)
    }

    @Test func nothingToStopAt() {
        #expect(run([], ["a", "b"]).emitted == ["a", "b", ""])
        #expect(run([""], ["a"]).emitted == ["a", ""])
        #expect(run([""], ["a"]).isStopped == false)
    }

    @Test func onlyPossibleBeginningsAreHeldBack() {
        let found = run(["\n\nQ:"], ["one\n", "two\n\n", "Q", "three"])
        #expect(found.emitted == ["one", "\ntwo", "", "\n\nQthree", ""])
        #expect(!found.isStopped)
        #expect(run(["abc"], ["xab"]).emitted == ["x", "ab"])
    }

    @Test func matchAcrossParts() {
        let found = run(["STOP"], ["x ST", "O", "P y", "z"])
        #expect(found.emitted == ["x ", "", "", "", ""])
        #expect(found.isStopped)
    }

    @Test func beginningsInsideBeginnings() {
        #expect(run(["aab"], ["aaa", "b!"]).emitted == ["a", "", ""])
        #expect(run(["abab!"], ["ababab", "!"]).emitted == ["ab", "", ""])
    }

    @Test func earliestMatchWins() {
        #expect(run(["world", "lo"], ["hello world"]).emitted == ["hel", ""])
        // Complete at the same byte: the one that began first.
        #expect(run(["c", "abc"], ["xabcd"]).emitted.joined() == "x")
        // Complete first, though another began before it.
        #expect(run(["abcd", "c"], ["xabcd"]).emitted.joined() == "xab")
    }

    @Test func charactersStayWhole() {
        #expect(run(["é🦙"], ["aé", "🦙b"]).emitted == ["a", "", ""])
        #expect(run(["é🦙"], ["aé", "b"]).emitted == ["a", "éb", ""])
    }

    /// The result does not depend on how the text is cut, and equals a search in the whole text.
    @Test func cutsDoNotMatter() {
        var chance = Chance(state: 5)
        func letters(_ count: Int) -> String {
            String((0..<count).map { _ in "abé".randomElement(using: &chance) ?? "a" })
        }
        for _ in 0..<2000 {
            let stops = (0..<Int.random(in: 0...3, using: &chance)).map { _ in
                letters(Int.random(in: 1...4, using: &chance))
            }
            let text = letters(Int.random(in: 0...20, using: &chance))
            var matcher = StopMatcher(stops)
            var emitted = ""
            var rest = text[...]
            while !rest.isEmpty {
                let part = rest.prefix(Int.random(in: 1...4, using: &chance))
                rest = rest.dropFirst(part.count)
                emitted += matcher.append(String(part))
                // What is out is never taken back.
                #expect(text.hasPrefix(emitted))
            }
            emitted += matcher.finish()
            #expect(emitted == Self.reference(text, stops), "\(text) \(stops)")
        }
    }

    /// `text` up to the stop that is complete first.
    private static func reference(_ text: String, _ stops: [String]) -> String {
        for end in text.indices.map(text.index(after:)) {
            let sofar = text[..<end]
            let complete = stops.filter { sofar.hasSuffix($0) }.map(\.count).max()
            if let complete { return String(sofar.dropLast(complete)) }
        }
        return text
    }
}
