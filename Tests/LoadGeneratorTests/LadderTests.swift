// Ladders as people write them, and the climb as a pure value.

import LoadGenerator
import Testing

@Suite("ladders")
struct LadderTests {
    @Test("lists, geometric steps and multiples are read")
    func reading() throws {
        #expect(try LadderRates(parsing: "0.5,1, 2").steps == [0.5, 1, 2])
        #expect(try LadderRates(parsing: "0.5:2:4").steps == [0.5, 1, 2, 4])
        #expect(try LadderRates(parsing: "0.5,1").isRelative == false)
        for text in ["0.8x,1.6x", "0.8x:2:2"] {
            let ladder = try LadderRates(parsing: text)
            #expect(ladder.steps == [0.8, 1.6] && ladder.isRelative)
        }
    }

    @Test(
        "what is no ladder is refused, naming the part",
        arguments: [
            ("", "''"), ("1,two", "'two'"), ("2,1", "ascend"), ("1,1", "ascend"), ("0,1", "above 0"),
            ("nan", "above 0"),
            ("1,inf", "above 0"), ("1:1:3", "START:FACTOR:STEPS"), ("1:2:65", "START:FACTOR:STEPS"),
            ("1:2:0", "START:FACTOR:STEPS"), ("x:2:3", "START:FACTOR:STEPS"), ("1x,2", "mixes"), ("1,2x", "mixes"),
            ("1xx", "'1xx'"), ("-1x", "above 0"), ("1:2:64", "above 0"),
        ])
    func refusals(text: String, says: String) {
        let error = #expect(throws: LoadGeneratorError.self) { _ = try LadderRates(parsing: text) }
        #expect(error?.kind == .usage && error?.description.contains(says) == true, "\(error?.description ?? "")")
    }

    @Test("multiples are of what the mode gives to one request after the other")
    func multiples() throws {
        var climb = LadderClimb(try LadderRates(parsing: "0.5x,1x,2x"), sequential: 0.25, seed: 1)
        #expect(climb.ahead.map(\.rate) == [0.125, 0.25, 0.5])
        climb.record(.proved, [])
        climb.record(.broken, [])
        #expect(climb.next == nil)
        #expect(climb.finding.highest == 0.125 && climb.finding.lowestBroken == 0.25)
        #expect(climb.finding.verdict == .valid)
    }

    @Test("a rate that passed without proof is no maximum")
    func unproved() throws {
        var climb = LadderClimb(try LadderRates(parsing: "1,2,4"), seed: 1)
        climb.record(.holds, [])
        #expect(climb.finding.highest == nil && climb.finding.passed == 1 && climb.finding.deciding == [0])
        climb.record(.holds, [])
        climb.record(.broken, [])
        let finding = climb.finding
        #expect(finding.verdict == .inconclusive && finding.highest == nil && finding.passed == 2)
        #expect(finding.lowestBroken == 4 && finding.deciding == [1])
        var low = LadderClimb(try LadderRates(parsing: "1,2"), seed: 1)
        low.record(.broken, [])
        #expect(low.finding.deciding == [0] && low.finding.passed == nil)
    }
}
