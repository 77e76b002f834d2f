// Prompt files, request bodies, and what counts as a right answer.

import Foundation
import LoadGenerator
import Testing

@Suite("prompts and requests")
struct PromptTests {
    private func prompts(_ text: String, name: String = "p.jsonl") throws -> [Prompt] {
        try PromptSet(contents: Data(text.utf8), name: name).prompts
    }

    @Test("JSON lines: prompts, chats, options, other fields, blank lines")
    func lines() throws {
        let text = """
            {"prompt": "a\\nb", "max_tokens": 3, "expected": "x", "source": {"any": [1, null]}}

            {"messages": [{"role": "user", "content": "hi"}], "expected": 12}\r
            {"prompt": "c", "max_tokens": null}
            """
        let message = JSONValue.object(["role": .string("user"), "content": .string("hi")])
        #expect(
            try prompts(text) == [
                Prompt(.text("a\nb"), maxTokens: 3, expected: "x"), Prompt(.messages([message]), expected: "12"),
                Prompt(.text("c")),
            ])
        #expect(try prompts(text, name: "any.txt").count == 3)
    }

    @Test("any other text is one prompt")
    func plainText() throws {
        #expect(try prompts("two\nlines\n", name: "book.txt") == [Prompt(.text("two\nlines\n"))])
        #expect(try prompts("{ not json", name: "book.txt") == [Prompt(.text("{ not json"))])
    }

    @Test(
        "a bad line is named by its number",
        arguments: [
            "{", "[1]", "{}", #"{"prompt": 3}"#, #"{"prompt": ""}"#, #"{"messages": []}"#, #"{"messages": "hi"}"#,
            #"{"messages": [{"content": "no role"}]}"#, #"{"prompt": "a", "messages": []}"#,
            #"{"prompt": "a", "max_tokens": 0}"#, #"{"prompt": "a", "max_tokens": 1.5}"#,
            #"{"prompt": "a", "expected": " "}"#, #"{"prompt": "a", "expected": [1]}"#,
        ])
    func badLines(line: String) {
        let error = #expect(throws: LoadGeneratorError.self) {
            _ = try prompts("{\"prompt\": \"fine\"}\n\n" + line + "\n")
        }
        #expect(error?.kind == .prompts)
        #expect(error?.place == "p.jsonl:3")
    }

    @Test(
        "files that hold no prompt are refused", arguments: [("p.jsonl", ""), ("p.jsonl", "\n \n"), ("p.txt", " \n")])
    func noPrompt(name: String, text: String) {
        #expect(throws: LoadGeneratorError.self) { _ = try prompts(text, name: name) }
    }

    @Test("a missing file, a folder and bytes that are no text are refused")
    func unreadable() {
        for path in ["/nonexistent/prompts.jsonl", FileManager.default.temporaryDirectory.path] {
            let error = #expect(throws: LoadGeneratorError.self) { _ = try PromptSet(file: path) }
            #expect(error?.kind == .prompts)
        }
        #expect(throws: LoadGeneratorError.self) {
            _ = try PromptSet(contents: Data([0xFF, 0xFE, 0x00]), name: "p.txt")
        }
    }

    private func body(
        _ prompt: Prompt, _ variant: RequestVariant = .asIs, maxTokens: Int? = nil, extra: [String: JSONValue] = [:]
    ) throws -> (endpoint: String, fields: [String: JSONValue]) {
        let template = try RequestTemplate(model: "toy", maxTokens: maxTokens, extraBody: extra)
        let request = template.request(for: prompt, variant: variant)
        let text = String(decoding: request.body, as: UTF8.self)
        return (request.endpoint, try JSONValue.object(parsing: text, place: "body"))
    }

    @Test(
        "a body has the prompt, the stream options and greedy sampling; the run's token count goes before the prompt's")
    func bodies() throws {
        let plain = try body(Prompt(.text("q"), maxTokens: 3))
        #expect(plain.endpoint == "/v1/completions")
        #expect(plain.fields["prompt"] == .string("q"))
        #expect(plain.fields["max_tokens"] == .integer(3))
        #expect(plain.fields["temperature"] == .integer(0))
        #expect(plain.fields["stream"] == .bool(true))
        #expect(plain.fields["stream_options"] == .object(["include_usage": .bool(true)]))
        #expect(plain.fields["speculative_prefill"] == nil)
        #expect(try body(Prompt(.text("q"), maxTokens: 3), maxTokens: 9).fields["max_tokens"] == .integer(9))
        let chat = try body(Prompt(.messages([.object(["role": .string("user"), "content": .string("hi")])])))
        #expect(chat.endpoint == "/v1/chat/completions")
        #expect(chat.fields["messages"] != nil && chat.fields["prompt"] == nil)
    }

    @Test("modes lie over extra fields, field by field")
    func variants() throws {
        let extra = ["speculative_prefill": JSONValue.object(["look_ahead": .integer(4)]), "top_p": .number(0.5)]
        let kept = try body(Prompt(.text("q")), .keep(0.25), extra: extra).fields
        #expect(kept["top_p"] == .number(0.5))
        #expect(
            kept["speculative_prefill"]
                == .object(["look_ahead": .integer(4), "enabled": .bool(true), "keep_rate": .number(0.25)]))
        let dense = try body(Prompt(.text("q")), .dense).fields
        #expect(dense["speculative_prefill"] == .object(["enabled": .bool(false)]))
        #expect(try RequestVariant(parsing: "0.1") == .keep(0.1))
        #expect(try RequestVariant(parsing: "dense") == .dense)
    }

    @Test("modes, token counts and extra fields out of range are refused")
    func badRequests() {
        for text in ["0", "1.01", "-0.1", "nan", "sparse", ""] {
            #expect(throws: LoadGeneratorError.self) { _ = try RequestVariant(parsing: text) }
        }
        #expect(throws: LoadGeneratorError.self) { _ = try RequestTemplate(model: "m", maxTokens: 0) }
        #expect(throws: LoadGeneratorError.self) {
            _ = try RequestTemplate(model: "m", extraBody: ["stream": .bool(false)])
        }
        for text in ["", "{", "[]", "3"] {
            #expect(throws: LoadGeneratorError.self) { _ = try JSONValue.object(parsing: text, place: "x") }
        }
    }

    @Test(
        "a right answer holds the expected words, and not as part of longer ones",
        arguments: [
            (" 48213", "48213", true), ("The number is 48213.", "48213", true), ("48213Next", "48213", true),
            ("482134", "48213", false), ("148213", "48213", false), ("4821", "48213", false), ("", "a", false),
            ("in\n  Paris, France", "Paris,  France", true), ("parisian", "paris", false), ("abcabc ab", "ab", true),
            ("-12", "-12", true), ("größer", "größe", false),
        ])
    func answers(answer: String, expected: String, isRight: Bool) {
        #expect(RequestRecord.isCorrect(answer, expected: expected) == isRight)
    }
}
