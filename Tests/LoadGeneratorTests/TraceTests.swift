// Traces: the three formats, what is wrong in them, and the real files where they are at hand.

import Foundation
import LoadGenerator
import Testing

/// A shared data folder that not every checkout has: `WINNOW_SHARED`, or `shared` beside the package.
private let shared =
    ProcessInfo.processInfo.environment["WINNOW_SHARED"].map { URL(fileURLWithPath: $0) }
    ?? (0..<4).reduce(URL(fileURLWithPath: #filePath)) { path, _ in path.deletingLastPathComponent() }
    .appendingPathComponent("shared")
private let traces = shared.appendingPathComponent("data/traces")
private let code = traces.appendingPathComponent("AzureLLMInferenceTrace_code.csv").path
private let conversation = traces.appendingPathComponent("mooncake_conversation_trace.jsonl").path
private let hasCode = FileManager.default.fileExists(atPath: code)
private let hasConversation = FileManager.default.fileExists(atPath: conversation)

@Suite("traces")
struct TraceTests {
    private func trace(_ text: String, _ format: Trace.Format) throws -> Trace {
        try Trace(contents: Data(text.utf8), format: format, name: "t")
    }

    @Test("Azure CSV: columns in any order, CRLF, fractions of any length, zones, blank lines, a byte order mark")
    func azure() throws {
        let text = """
            \u{FEFF}GeneratedTokens,Other, TIMESTAMP ,ContextTokens\r
            10,x,2023-12-31 23:59:59.9799600,4808\r
            8,,2024-01-01 00:00:00,3180\r
            \r
            27,x,2024-01-01T00:00:00.00000000099,110
            14,x,2024-01-01 02:30:00.5+02:30,7433
            12,x,2023-12-31 23:00:01Z,34
            """
        let trace = try trace(text, .azure)
        // The last is the earliest: 58 min 58.97996 s before the first line.
        #expect(
            trace.entries == [
                Trace.Entry(offset: .zero, promptTokens: 34, outputTokens: 12),
                Trace.Entry(offset: .nanoseconds(3_598_979_960_000), promptTokens: 4808, outputTokens: 10),
                Trace.Entry(offset: .seconds(3599), promptTokens: 3180, outputTokens: 8),
                Trace.Entry(offset: .seconds(3599), promptTokens: 110, outputTokens: 27),
                Trace.Entry(offset: .milliseconds(3_599_500), promptTokens: 7433, outputTokens: 14),
            ])
        #expect(trace.outOfOrder == 1)
        #expect(trace.clampedOutputs == 0)
        #expect(trace.name == "azure:t")
    }

    @Test("dates are counted with leap years")
    func dates() throws {
        let text = """
            TIMESTAMP,ContextTokens,GeneratedTokens
            1970-01-01 00:00:00,1,1
            2000-02-29 12:00:00,1,1
            2000-03-01 12:00:00,1,1
            """
        let offsets = try trace(text, .azure).entries.map(\.offset)
        #expect(offsets == [.zero, .seconds(951_825_600), .seconds(951_912_000)])
    }

    @Test("Mooncake JSON lines: milliseconds, blocks, answers of no token, ties in file order")
    func mooncake() throws {
        let text = """
            {"timestamp": 1000, "input_length": 600, "output_length": 0, "hash_ids": [0, 7]}
            {"timestamp": 3000.5, "input_length": 3, "output_length": 2, "hash_ids": []}
            {"timestamp": 1000, "input_length": 513, "output_length": 4, "hash_ids": [0, 8], "more": {"x": null}}

            {"timestamp": 1027, "input_length": 9, "output_length": 5}
            """
        let trace = try trace(text, .mooncake)
        #expect(
            trace.entries == [
                Trace.Entry(offset: .zero, promptTokens: 600, outputTokens: 1, blocks: [0, 7]),
                Trace.Entry(offset: .zero, promptTokens: 513, outputTokens: 4, blocks: [0, 8]),
                Trace.Entry(offset: .milliseconds(27), promptTokens: 9, outputTokens: 5),
                Trace.Entry(offset: .microseconds(2_000_500), promptTokens: 3, outputTokens: 2),
            ])
        #expect(trace.outOfOrder == 1)
        #expect(trace.clampedOutputs == 1)
        #expect(trace.span == .microseconds(2_000_500))
    }

    @Test("plain JSON lines: seconds, from any zero, other fields ignored")
    func plain() throws {
        let text = """
            {"time": 1700000000.25, "prompt_tokens": 512, "output_tokens": 16, "user": ["a"]}
            {"time": 1700000001, "prompt_tokens": 10000000, "output_tokens": 10000000}
            """
        let entries = try trace(text, .jsonl).entries
        #expect(entries.map(\.offset) == [.zero, .milliseconds(750)])
        #expect(entries.map(\.promptTokens) == [512, 10_000_000])
    }

    @Test("sorting is stable for many equal times")
    func ties() throws {
        let lines = (0..<2000).map { #"{"time": \#($0 % 2), "prompt_tokens": \#($0 + 1), "output_tokens": 1}"# }
        let trace = try trace(lines.joined(separator: "\n"), .jsonl)
        #expect(trace.outOfOrder == 999)
        let expected = [Array(stride(from: 1, to: 2001, by: 2)), Array(stride(from: 2, to: 2001, by: 2))].joined()
        #expect(trace.entries.map(\.promptTokens) == Array(expected))
    }

    @Test(
        "a bad line is named by its number, with what was expected",
        arguments: [
            (.azure, "2023-11-16 18:17:03.9,48", "has 2 columns"), (.azure, "2023-11-16 18:17:03,1.5,1", "'1.5'"),
            (.azure, "2023-11-16 18:17:03,0,1", "ContextTokens 0"), (.azure, "2023-11-16 18:17:03,1,-1", "of 0 to"),
            (.azure, "2023-11-16 18:17:03,10000001,1", "10000000"), (.azure, "2023-11-16 18:17:03,,1", "''"),
            (.azure, "2023-11-16 18:17:03,99999999999999999999,1", "whole number"),
            (.azure, "2023-11-16,1,1", "such as 2023-11-16 18"), (.azure, "2023-02-29 18:17:03,1,1", "TIMESTAMP"),
            (.azure, "2023-11-16 24:17:03,1,1", "TIMESTAMP"), (.azure, "2023-11-16 18:17:03.,1,1", "TIMESTAMP"),
            (.azure, "2023-11-16 18:17:03 x,1,1", "TIMESTAMP"), (.azure, "-023-11-16 18:17:03,1,1", "TIMESTAMP"),
            (.azure, "1970-01-01 00:30:00+01:00,1,1", "1970"), (.azure, "9999-11-16 18:17:03,1,1", "2199"),
            (.mooncake, "{", "not valid JSON"), (.mooncake, "[1]", "not a JSON object"),
            (.mooncake, #"{"timestamp": 1, "input_length": 2}"#, "output_length"),
            (.mooncake, #"{"timestamp": -1, "input_length": 2, "output_length": 3}"#, "at least 0"),
            (.mooncake, #"{"timestamp": "1", "input_length": 2, "output_length": 3}"#, "must be a number"),
            (.mooncake, #"{"timestamp": 1e300, "input_length": 2, "output_length": 3}"#, "another unit"),
            (.mooncake, #"{"timestamp": 1e999, "input_length": 2, "output_length": 3}"#, "out of all range"),
            (.mooncake, #"{"timestamp": 1, "input_length": 2.5, "output_length": 3}"#, "input_length"),
            (.mooncake, #"{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": ["a"]}"#, "hash_ids"),
            (.mooncake, #"{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": 4}"#, "hash_ids"),
            (.jsonl, #"{"timestamp": 1, "input_length": 2, "output_length": 3}"#, "has no \"time\""),
            (.jsonl, #"{"time": 1, "prompt_tokens": 0, "output_tokens": 3}"#, "of 1 to 10000000"),
            (.jsonl, #"{"time": 1, "prompt_tokens": 1, "output_tokens": -3}"#, "of 0 to 10000000"),
            (.jsonl, #"{"time": 1, "prompt_tokens": 20000000, "output_tokens": 3}"#, "of 1 to 10000000"),
            (.jsonl, #"{"time": NaN, "prompt_tokens": 1, "output_tokens": 3}"#, "not valid JSON"),
            (.jsonl, #"{"time": null, "prompt_tokens": 1, "output_tokens": 3}"#, "must be a number"),
        ] as [(Trace.Format, String, String)])
    func badLines(format: Trace.Format, line: String, part: String) {
        let first =
            switch format {
            case .azure: "TIMESTAMP,ContextTokens,GeneratedTokens\n"
            case .mooncake: #"{"timestamp": 0, "input_length": 2, "output_length": 3}"# + "\n"
            case .jsonl: #"{"time": 0, "prompt_tokens": 2, "output_tokens": 3}"# + "\n"
            }
        let error = #expect(throws: LoadGeneratorError.self) { _ = try trace(first + "\n" + line + "\n", format) }
        #expect(error?.kind == .prompts)
        #expect(error?.place == "t:3")
        #expect(error?.problem.contains(part) == true, "\(String(describing: error))")
    }

    @Test(
        "what holds no request is refused",
        arguments: [
            (.azure, "", "t"), (.azure, "TIMESTAMP,ContextTokens,GeneratedTokens\r\n", "t"),
            (.azure, "TIMESTAMP,ContextTokens\n", "t:1"), (.azure, "\n2023-11-16 18:17:03,1,1\n", "t:2"),
            (.mooncake, " \n\n", "t"), (.jsonl, "", "t"),
        ] as [(Trace.Format, String, String)])
    func empty(format: Trace.Format, text: String, place: String) {
        let error = #expect(throws: LoadGeneratorError.self) { _ = try trace(text, format) }
        #expect(error?.place == place)
        #expect(error?.problem.contains("expected") == true)
    }

    @Test("a span of many years, bytes that are no text, and too many lines are refused")
    func wholeFile() {
        let far = """
            {"time": 0, "prompt_tokens": 1, "output_tokens": 3}
            {"time": 1700000000, "prompt_tokens": 1, "output_tokens": 3}
            """
        let error = #expect(throws: LoadGeneratorError.self) { _ = try trace(far, .jsonl) }
        #expect(error?.problem.contains("53 years") == true)
        var bytes = Data("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n\n".utf8)
        bytes += [0x31, 0xFF, 0x0A]
        let noText = #expect(throws: LoadGeneratorError.self) {
            _ = try Trace(contents: bytes, format: .azure, name: "t")
        }
        #expect(noText?.place == "t:4")
        let line = #"{"time": 0, "prompt_tokens": 1, "output_tokens": 3}"# + "\n"
        func limited(_ count: Int) throws -> Trace {
            try Trace(
                contents: Data(String(repeating: line, count: count).utf8), format: .jsonl, name: "t", maximumLines: 5)
        }
        #expect(throws: Never.self) { _ = try limited(5) }
        let tooMany = #expect(throws: LoadGeneratorError.self) { _ = try limited(6) }
        #expect(tooMany?.place == "t:6")
    }

    @Test(
        "texts that name no trace are refused",
        arguments: ["", "azure", "azure:", "csv:file", ":file", "AZURE:file", "azure:/nonexistent/a.csv", "jsonl:/"])
    func badNames(text: String) {
        let error = #expect(throws: LoadGeneratorError.self) { _ = try Trace(parsing: text) }
        #expect(error?.kind == .prompts)
    }

    @Test("a file is read by its name, colons and all")
    func file() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID()):1.jsonl").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let line = #"{"time": 3, "prompt_tokens": 1, "output_tokens": 3}"#
        try line.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try Trace(parsing: "jsonl:" + path).entries.count == 1)
    }

    @Test("a trace is scaled in time, and cut by time")
    func cuts() throws {
        let lines = [0, 1, 2.5, 10].map { #"{"time": \#($0), "prompt_tokens": 5, "output_tokens": 0}"# }
        let trace = try trace(lines.joined(separator: "\n"), .jsonl)
        #expect(
            try trace.scaled(by: 0.1).entries.map(\.offset)
                == [.zero, .milliseconds(100), .milliseconds(250), .seconds(1)])
        #expect(try trace.scaled(by: 1) == trace)
        #expect(try trace.prefix(within: .milliseconds(2500)).entries.count == 2)
        #expect(try trace.prefix(within: .milliseconds(2501)).entries.count == 3)
        #expect(try trace.prefix(within: .milliseconds(1)).clampedOutputs == 4)
        for factor in [0, -1, .nan, .infinity, 1e12] {
            #expect(throws: LoadGeneratorError.self) { _ = try trace.scaled(by: factor) }
        }
        #expect(throws: LoadGeneratorError.self) { _ = try trace.prefix(within: .zero) }
    }

    private func median(_ numbers: [Int]) -> Int { numbers.sorted()[numbers.count / 2] }

    @Test(.enabled(if: hasCode, "needs the Azure trace: set WINNOW_SHARED to the shared data folder"))
    func azureFile() throws {
        let trace = try Trace(parsing: "azure:" + code)
        #expect(trace.entries.count == 8819)
        #expect(median(trace.entries.map(\.promptTokens)) == 1469)
        #expect(median(trace.entries.map(\.outputTokens)) == 13)
        // From 18:17:03.97996 to 19:14:19.928016.
        #expect(trace.span == .microseconds(3_435_948_056))
        #expect(trace.clampedOutputs == 0 && trace.outOfOrder == 0)
    }

    @Test(.enabled(if: hasConversation, "needs the Mooncake trace: set WINNOW_SHARED to the shared data folder"))
    func mooncakeFile() throws {
        let trace = try Trace(parsing: "mooncake:" + conversation)
        #expect(trace.entries.count == 12_031)
        #expect(median(trace.entries.map(\.promptTokens)) == 6909)
        #expect(median(trace.entries.map(\.outputTokens)) == 350)
        #expect(trace.span == .milliseconds(3_536_999))
        #expect(trace.entries.allSatisfy { $0.blocks.count == ($0.promptTokens + 511) / 512 })
        #expect(trace.clampedOutputs == 0 && trace.outOfOrder == 0)
    }
}
