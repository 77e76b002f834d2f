// What wrong words on the command line are answered with.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Usage", .timeLimit(.minutes(1)))
    struct UsageTests {
        struct Case: Sendable, CustomTestStringConvertible {
            var words: String
            var says: [String]
            var testDescription: String { words }
        }

        @Test(arguments: [
            Case(words: "lunch", says: ["'lunch'", "Did you mean 'winnow launch'?", "'winnow --help'"]),
            Case(words: "cordinator --model x", says: ["Did you mean 'winnow coordinator'?"]),
            Case(words: "wroker", says: ["Did you mean 'winnow worker'?"]),
            Case(words: "serve", says: ["Known are launch, check, status, coordinator, worker,"]),
            Case(words: "model inspct x", says: ["Did you mean 'winnow model inspect'?", "'winnow model --help'"]),
            Case(words: "launch", says: ["'winnow launch --help'"]),
            Case(words: "launch x --ready-fil y", says: ["Did you mean '--ready-file'?", "'winnow launch --help'"]),
            Case(words: "launch x --timeout -1", says: ["found -1", "'winnow launch --help'"]),
            Case(
                words: "launch x --drain-time 4000",
                says: ["--drain-time must be a whole number of seconds from 0 to 3600, found `4000`"]),
            Case(words: "coordinator --model x --drain-time -1", says: ["found `-1`", "'winnow coordinator --help'"]),
            Case(words: "coordinator --model x --advertise 0.0.0.0", says: ["--advertise", "`0.0.0.0`"]),
            Case(words: "worker --model x --coordinator tcp://h:1 --advertise *", says: ["--advertise"]),
            Case(words: "status", says: ["'winnow status --help'"]),
            Case(words: "status http://h:1 --interval 0", says: ["--interval must be 0.5 to 3600"]),
            Case(words: "status ftp://h", says: ["http://HOST:PORT"]),
            Case(words: "loadgen", says: ["Give either --target", "See 'winnow loadgen ", "--help'"]),
        ])
        func theMistakeAndTheHelpAreNamed(mistake: Case) async throws {
            let run = try await Program.run(mistake.words.split(separator: " ").map(String.init))
            #expect(run.end == .exit(64))
            #expect(run.output.isEmpty)
            let log = run.log.joined(separator: "\n")
            for text in mistake.says { #expect(log.contains(text), "\(log)") }
        }

        @Test(arguments: ["help", "help launch", "launch --help", "model --help", "model help", "--version"])
        func helpIsHelp(words: String) async throws {
            // `model help` is no command of its own, everything else is.
            let run = try await Program.run(words.split(separator: " ").map(String.init))
            #expect(run.end == .exit(words == "model help" ? 64 : 0))
            #expect(run.output.isEmpty == (words == "model help"))
        }
    }
}
