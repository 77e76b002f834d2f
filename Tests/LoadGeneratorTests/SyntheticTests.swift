// Synthetic prompts: lengths, text, token gauges, and what requests share.

import Foundation
import LoadGenerator
import Synchronization
import Testing

/// Pieces of up to four letters, one token for each mark behind them, and one at the beginning of the prompt.
private final class PieceCounter: TokenCounter {
    private let calls = Mutex(0)
    var callCount: Int { calls.withLock { $0 } }

    func count(_ text: String) async throws(LoadGeneratorError) -> Int {
        calls.withLock { $0 += 1 }
        return text.split(separator: " ").reduce(1) { sum, word in
            let letters = word.utf8.count { $0 > UInt8(ascii: "@") }
            return sum + (letters + 3) / 4 + word.utf8.count - letters
        }
    }
}

/// Any function of the text.
private struct FunctionCounter: TokenCounter {
    var function: @Sendable (String) -> Int
    func count(_ text: String) async throws(LoadGeneratorError) -> Int { function(text) }
}

private struct SilentCounter: TokenCounter {
    func count(_ text: String) async throws(LoadGeneratorError) -> Int {
        throw LoadGeneratorError(.unreachable, "http://x", "does not count")
    }
}

private func text(_ prompt: Prompt) -> String {
    guard case .text(let text) = prompt.content else { return "" }
    return text
}

@Suite("lengths")
struct LengthDistributionTests {
    @Test("texts to distributions and back")
    func parsing() throws {
        let texts = ["512", "uniform:100-900", "normal:1024.0,128.0", "lognormal:1024.0,0.6", "exponential:500.0"]
        let expected: [LengthDistribution] = [
            .fixed(512), .uniform(100...900), .normal(mean: 1024, standardDeviation: 128),
            .lognormal(median: 1024, sigma: 0.6), .exponential(mean: 500),
        ]
        #expect(try texts.map { try LengthDistribution(parsing: $0) } == expected)
        #expect(expected.map(\.description) == texts)
        #expect(try LengthDistribution(parsing: "normal:10,0") == .normal(mean: 10, standardDeviation: 0))
    }

    @Test(
        "texts that are no distribution are refused with a way to write one",
        arguments: [
            ("", "such as 512"), ("0", "1 to 10000000"), ("-3", "1 to"), ("10000001", "1 to"), ("1.5", "such as 512"),
            ("gauss:1,2", "write uniform"), ("uniform:9", "uniform:100-900"), ("uniform:9-3", "uniform:100-900"),
            ("uniform:0-3", "1 to"), ("uniform:1-2-3", "uniform:100-900"), ("uniform:1-20000000", "1 to"),
            ("normal:5", "normal:1024,128"), ("normal:5,-1", "deviation"), ("normal:nan,1", "1 to"),
            ("normal:5,nan", "deviation"), ("normal:inf,1", "1 to"), ("lognormal:5,11", "sigma"),
            ("lognormal:0.5,1", "1 to"), ("lognormal:5,", "lognormal:1024"), ("exponential:", "exponential:500"),
            ("exponential:0", "1 to"), ("exponential:5,6", "exponential:500"),
        ])
    func badTexts(text: String, part: String) {
        let error = #expect(throws: LoadGeneratorError.self) { _ = try LengthDistribution(parsing: text) }
        #expect(error?.kind == .usage)
        #expect(error?.problem.contains(part) == true, "\(String(describing: error))")
    }

    private func samples(_ distribution: LengthDistribution, count: Int = 40_000) -> [Int] {
        var generator = SplitMix64(seed: 3)
        return (0..<count).map { _ in distribution.sample(&generator) }
    }

    @Test("samples have the mean, median and spread that was asked for")
    func moments() {
        #expect(Set(samples(.fixed(7), count: 10)) == [7])
        let uniform = samples(.uniform(1...6))
        #expect(Set(uniform) == Set(1...6))
        #expect((1...6).allSatisfy { face in abs(uniform.count { $0 == face } - 6667) < 330 })
        let normal = samples(.normal(mean: 1000, standardDeviation: 100))
        let mean = Double(normal.reduce(0, +)) / 40_000
        let variance = normal.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / 40_000
        #expect(abs(mean - 1000) < 2.5)
        #expect(abs(variance.squareRoot() - 100) < 1.8)
        let lognormal = samples(.lognormal(median: 1000, sigma: 0.6)).sorted()
        #expect(abs(lognormal[20_000] - 1000) < 20)
        // One sigma up: 1000 * exp(0.6).
        #expect(abs(lognormal[33_654] - 1822) < 45)
        let exponential = samples(.exponential(mean: 500))
        #expect(abs(Double(exponential.reduce(0, +)) / 40_000 - 500) < 13)
    }

    @Test(
        "samples stay in range whatever is asked",
        arguments: [
            .normal(mean: 2, standardDeviation: 1000), .lognormal(median: 1e7, sigma: 10), .exponential(mean: 1),
            .normal(mean: .nan, standardDeviation: 1), .normal(mean: .infinity, standardDeviation: 1), .fixed(-4),
            .uniform(.min ... .max), .lognormal(median: 1, sigma: .infinity),
        ] as [LengthDistribution])
    func bounds(distribution: LengthDistribution) {
        #expect(samples(distribution, count: 2000).allSatisfy { (1...10_000_000).contains($0) })
    }
}

@Suite("synthetic text")
struct SyntheticTextTests {
    @Test("a seed gives the same words on every machine")
    func known() {
        let start =
            "looked up, at home! Why, I could, not a hurry. No, mice in a bit hurt, and round the neck of a corner,"
        #expect(SyntheticText(seed: 1).text(words: 23) == start)
        #expect(SyntheticText(seed: 1).text(words: 0) == "")
        #expect(SyntheticText(seed: 1).text(words: -1) == "")
    }

    @Test("a longer text begins with a shorter one, and a cut is at the nearest end of a word")
    func prefixes() {
        let source = SyntheticText(seed: 5)
        let long = source.text(words: 300)
        let ends = long.indices.filter { long[$0] == " " }.map { long.utf8.distance(from: long.startIndex, to: $0) }
        for characters in -1...1000 {
            let cut = source.text(characters: characters)
            #expect(long.hasPrefix(cut))
            let nearest = ends.map { abs($0 - characters) }.min()
            #expect(abs(cut.utf8.count - characters) == nearest)
        }
    }

    @Test("two seeds soon part, and all is printable ASCII")
    func difference() {
        let beginnings = (0..<3000 as Range<UInt64>).map { SyntheticText(seed: $0).text(words: 12) }
        #expect(Set(beginnings).count == 3000)
        #expect(beginnings.allSatisfy { $0.utf8.allSatisfy { (32...126).contains($0) } })
        #expect(!beginnings.contains { $0.contains("  ") })
    }
}

@Suite("tokens of synthetic text")
struct TokenGaugeTests {
    @Test("without a tokenizer a token is four characters, and nothing is exact")
    func assumed() {
        let sized = SyntheticText(seed: 1).text(tokens: 100, gauge: .assumed)
        #expect(!TokenGauge.assumed.isMeasured)
        #expect(!sized.isExact)
        #expect(abs(sized.text.utf8.count - 400) < 8)
        #expect(abs(sized.tokens - 100) <= 2)
        for tokens in [Int.min, -1, 0, Int.max] {
            #expect(TokenGauge.assumed.characters(for: tokens) >= 1)
            #expect(TokenGauge.assumed.tokens(in: tokens) >= 1)
        }
    }

    @Test("a gauge learns characters per token and what is added from eight counts, and says its error")
    func calibration() async throws {
        let counter = PieceCounter()
        let gauge = try await TokenGauge.calibrated(by: counter)
        #expect(counter.callCount == 8)
        #expect(gauge.addedTokens == 1)
        let error = try #require(gauge.measuredError)
        #expect(error < 0.03)
        let text = SyntheticText(seed: 99).text(tokens: 5000, gauge: gauge)
        let count = try await counter.count(text.text)
        #expect(abs(count - 5000) < 100)
        #expect(!text.isExact)
        #expect(abs(text.tokens - 5000) <= 2)
        let bytes = try await TokenGauge.calibrated(by: FunctionCounter { $0.utf8.count })
        #expect(bytes.addedTokens == 0 || bytes.addedTokens == 1)
        #expect(abs(bytes.charactersPerToken - 1) < 0.01)
    }

    @Test(
        "counts that cannot be right are refused, in a calibration and in a fit",
        arguments: [{ _ in 0 }, { _ in -1 }, { _ in .min }, { _ in .max }] as [@Sendable (String) -> Int])
    func badCounts(function: @escaping @Sendable (String) -> Int) async {
        let counter = FunctionCounter(function: function)
        let error = await #expect(throws: LoadGeneratorError.self) {
            _ = try await TokenGauge.calibrated(by: counter)
        }
        #expect(error?.kind == .unreachable)
        await #expect(throws: LoadGeneratorError.self) {
            _ = try await SyntheticText(seed: 1).text(tokens: 50, gauge: .assumed, counter: counter)
        }
    }

    @Test("a counter that always says the same, or nothing, is refused")
    func uselessCounts() async {
        let counters: [any TokenCounter] = [FunctionCounter { _ in 7 }, SilentCounter()]
        for counter in counters {
            await #expect(throws: LoadGeneratorError.self) { _ = try await TokenGauge.calibrated(by: counter) }
            await #expect(throws: LoadGeneratorError.self) {
                _ = try await SyntheticText(seed: 1).text(tokens: 500, gauge: .assumed, counter: counter)
            }
        }
        for tokens in [-1, 0, 10_000_001] {
            await #expect(throws: LoadGeneratorError.self) {
                _ = try await SyntheticText(seed: 1).text(tokens: tokens, gauge: .assumed, counter: PieceCounter())
            }
        }
        await #expect(throws: LoadGeneratorError.self) {
            _ = try await TokenGauge.calibrated(by: PieceCounter(), sampleTokens: 1)
        }
    }

    @Test("texts have exactly the tokens asked for, after few counts", arguments: [true, false])
    func exact(isCalibrated: Bool) async throws {
        let gauge = isCalibrated ? try await TokenGauge.calibrated(by: PieceCounter()) : .assumed
        let counter = PieceCounter()
        let lengths = Array(2...100) + [512, 1000, 8191]
        for tokens in lengths {
            let sized = try await SyntheticText(seed: UInt64(tokens)).text(
                tokens: tokens, gauge: gauge, counter: counter)
            #expect(sized.isExact && sized.tokens == tokens)
            let count = try await PieceCounter().count(sized.text)
            #expect(count == tokens)
        }
        #expect(Double(counter.callCount) / Double(lengths.count) < 6)
    }

    @Test("where no text is exact the nearest is given, and says so; too far off is an error")
    func inexact() async throws {
        let even = FunctionCounter { $0.split(separator: " ").count * 2 }
        let sized = try await SyntheticText(seed: 1).text(tokens: 101, gauge: .assumed, counter: even)
        #expect(!sized.isExact)
        #expect(sized.tokens == 100 || sized.tokens == 102)
        // A template of 40 tokens does not leave a prompt of 8.
        let template = FunctionCounter { $0.split(separator: " ").count + 40 }
        let error = await #expect(throws: LoadGeneratorError.self) {
            _ = try await SyntheticText(seed: 1).text(tokens: 8, gauge: .assumed, counter: template)
        }
        #expect(error?.kind == .prompts)
        #expect(error?.description.contains("41") == true)
    }
}

@Suite("synthetic requests")
struct SyntheticRequestTests {
    private func commonPrefix(_ one: String, _ other: String) -> Int {
        zip(one.utf8, other.utf8).prefix { $0 == $1 }.count
    }

    @Test("a request is a function of seed and index")
    func pure() throws {
        func requests(_ seed: UInt64) throws -> SyntheticRequests {
            try SyntheticRequests(
                promptTokens: .uniform(10...200), outputTokens: .exponential(mean: 20), seed: seed)
        }
        let source = try requests(1)
        let inOrder = (0..<50).map { source.prompt($0) }
        #expect(try (0..<50).reversed().map { try requests(1).prompt($0) } == inOrder.reversed())
        #expect(Set(inOrder.map(text)).count == 50)
        let other = try requests(2)
        #expect((0..<50).allSatisfy { other.prompt($0) != inOrder[$0] })
        for index in 0..<50 {
            let lengths = source.lengths(index)
            #expect(inOrder[index].maxTokens == lengths.outputTokens)
            #expect(abs(text(inOrder[index]).utf8.count - lengths.promptTokens * 4) <= 8)
        }
        #expect(Set((0..<50).map { source.lengths($0).promptTokens }).count > 30)
    }

    @Test("prompts of a group share their beginning, and nothing after it")
    func sharedPrefix() throws {
        let source = try SyntheticRequests(
            promptTokens: .fixed(300), outputTokens: .fixed(1), sharedPrefixTokens: 200, prefixGroups: 3, seed: 4)
        let texts = (0..<60).map { text(source.prompt($0)) }
        let groups = Dictionary(grouping: texts) { $0.prefix(780) }
        #expect(groups.count == 3)
        for group in groups.values {
            #expect(group.count > 8)
            for (one, other) in zip(group, group.dropFirst()) {
                #expect((790...850).contains(commonPrefix(one, other)))
            }
        }
        #expect(texts.allSatisfy { abs($0.utf8.count - 1200) <= 8 })
        let single = try SyntheticRequests(
            promptTokens: .fixed(300), outputTokens: .fixed(1), sharedPrefixTokens: 200, seed: 4)
        #expect(Set((0..<20).map { text(single.prompt($0)).prefix(790) }).count == 1)
    }

    @Test("a prompt that is not longer than the shared beginning is the beginning of it")
    func shortPrompts() throws {
        let source = try SyntheticRequests(
            promptTokens: .uniform(1...100), outputTokens: .fixed(1), sharedPrefixTokens: 60, seed: 4)
        let texts = (0..<60).map { text(source.prompt($0)) }.sorted { $0.utf8.count < $1.utf8.count }
        let whole = try #require(texts.last)
        #expect(texts.allSatisfy { $0.utf8.count > 235 || whole.hasPrefix($0) })
    }

    @Test("prefixes and groups out of range are refused")
    func badPrefixes() {
        for (tokens, groups) in [(-1, 1), (10_000_001, 1), (5, 0), (5, 1_000_001)] {
            #expect(throws: LoadGeneratorError.self) {
                _ = try SyntheticRequests(
                    promptTokens: .fixed(3), outputTokens: .fixed(1), sharedPrefixTokens: tokens, prefixGroups: groups,
                    seed: 1)
            }
        }
    }

    private func recorded() throws -> Trace {
        let lines = """
            {"timestamp": 0, "input_length": 1300, "output_length": 5, "hash_ids": [0, 1, 2]}
            {"timestamp": 1, "input_length": 2048, "output_length": 6, "hash_ids": [0, 1, 3, 4]}
            {"timestamp": 2, "input_length": 700, "output_length": 7, "hash_ids": [0]}
            {"timestamp": 3, "input_length": 100, "output_length": 8}
            {"timestamp": 4, "input_length": 400, "output_length": 9, "hash_ids": [9, 8, 7]}
            {"timestamp": 5, "input_length": 514, "output_length": 9, "hash_ids": [5, 6]}
            """
        return try Trace(contents: Data(lines.utf8), format: .mooncake, name: "t")
    }

    @Test("a trace gives the lengths, and its blocks what prompts share")
    func trace() throws {
        let source = SyntheticRequests(trace: try recorded(), seed: 1)
        let texts = (0..<6).map { text(source.prompt($0)) }
        #expect((0..<6).map { source.lengths($0).promptTokens } == [1300, 2048, 700, 100, 400, 514])
        #expect((0..<6).map { source.prompt($0).maxTokens } == [5, 6, 7, 8, 9, 9])
        for (text, tokens) in zip(texts, [1300, 2048, 700, 100, 400, 514]) {
            #expect(abs(text.utf8.count - tokens * 4) <= 8)
        }
        #expect((4080...4120).contains(commonPrefix(texts[0], texts[1])))
        #expect((2035...2080).contains(commonPrefix(texts[0], texts[2])))
        #expect(commonPrefix(texts[0], texts[3]) < 40)
        // Round again: the blocks are those of the first time, text of no block is new.
        #expect(text(source.prompt(6)) == texts[0])
        #expect(text(source.prompt(9)) != texts[3])
    }

    @Test("a block has the same text wherever it stands")
    func blockText() throws {
        let lines = """
            {"timestamp": 0, "input_length": 1536, "output_length": 5, "hash_ids": [1, 2, 3]}
            {"timestamp": 1, "input_length": 1536, "output_length": 6, "hash_ids": [2, 4, 5]}
            """
        let trace = try Trace(contents: Data(lines.utf8), format: .mooncake, name: "t")
        let source = SyntheticRequests(trace: trace, seed: 1)
        #expect(text(source.prompt(0)).contains(text(source.prompt(1)).prefix(2030)))
    }

    @Test("counted requests are exact, and still share what they should")
    func counted() async throws {
        let counter = PieceCounter()
        let gauge = try await TokenGauge.calibrated(by: counter)
        let drawn = try SyntheticRequests(
            promptTokens: .uniform(20...400), outputTokens: .fixed(3), sharedPrefixTokens: 100, seed: 8, gauge: gauge)
        let requests = try await drawn.counted(40, by: counter)
        #expect(requests.exactCount >= 38)
        #expect(requests.worstError <= 0.05)
        #expect(requests.prompts.count == 40)
        for index in 0..<40 {
            let count = try await counter.count(text(requests.prompt(index)))
            #expect(abs(count - drawn.lengths(index).promptTokens) <= 2)
        }
        #expect(requests.prompt(41) == requests.prompt(1))
        let long = (0..<40).filter { drawn.lengths($0).promptTokens > 110 }.map {
            text(requests.prompt($0)).prefix(250)
        }
        #expect(Set(long).count == 1)

        let source = SyntheticRequests(trace: try recorded(), seed: 1, gauge: gauge)
        let traced = try await source.counted(6, by: counter)
        #expect(traced.worstError <= 0.01)
        #expect(traced.exactCount >= 5)
        let common = commonPrefix(text(traced.prompt(0)), text(traced.prompt(1)))
        #expect(abs(Double(common) / gauge.charactersPerToken - 1024) < 12)
        await #expect(throws: LoadGeneratorError.self) { _ = try await source.counted(0, by: counter) }
        await #expect(throws: LoadGeneratorError.self) { _ = try await source.counted(1, by: SilentCounter()) }
    }

    @Test("a tokenizer of bytes or of letter pairs is met exactly, whatever the length", arguments: [1, 2])
    func spelledOut(bytesPerToken: Int) async throws {
        let counter = FunctionCounter { text in 1 + (text.utf8.count + bytesPerToken - 1) / bytesPerToken }
        let gauge = try await TokenGauge.calibrated(by: counter)
        let drawn = try SyntheticRequests(
            promptTokens: .uniform(40...400), outputTokens: .fixed(1), seed: 3, gauge: gauge)
        #expect(try await drawn.counted(60, by: counter).exactCount == 60)
    }

    @Test("a prompt file is a source too")
    func promptSet() throws {
        let source: any PromptSource = try PromptSet([Prompt(.text("a")), Prompt(.text("b"))])
        #expect((0..<3).map { text(source.prompt($0)) } == ["a", "b", "a"])
    }
}
