// Every bad request gets an error that names the field, and a status its sender can act on.

import Coordinator
import Foundation
import NIOCore
import NIOHTTP1
import Testing

@Suite("Refusals", .timeLimit(.minutes(1)))
struct RefusalTests {
    /// One bad request and what must be said about it.
    struct Case: Sendable, CustomTestStringConvertible {
        var path = "/v1/completions"
        var body: String
        var status = 400
        var field: String?
        var says: String
        var testDescription: String { String("\(path) \(body)".prefix(120)) }

        /// A completion that is right but for the given fields.
        static func completion(_ fields: String, field: String?, says: String, status: Int = 400) -> Case {
            let prompt = fields.contains(#""prompt""#) ? "" : #""prompt": "x", "#
            return Case(
                body: #"{"model": "scripted", \#(prompt)\#(fields)}"#, status: status, field: field, says: says)
        }

        /// A chat that is right but for the given fields.
        static func chat(_ fields: String, field: String?, says: String) -> Case {
            let messages = fields.contains(#""messages""#) ? "" : #""messages": [{"role": "user", "content": "x"}], "#
            return Case(
                path: "/v1/chat/completions", body: #"{"model": "scripted", \#(messages)\#(fields)}"#, field: field,
                says: says)
        }
    }

    static let json: [Case] = [
        Case(body: "", says: "empty"),
        Case(body: "[1, 2]", field: "The request body", says: "a JSON object, found an array"),
        Case(body: "\"text\"", field: "The request body", says: "found a string"),
        Case(body: "{\"model\": \"scripted\",\n  \"prompt\" \"x\"}", says: "character 33"),
        Case(body: #"{"model": "scripted", "prompt": "x""#, says: "not valid JSON"),
        Case(body: #"{"model": "scripted", "prompt": "x", "temperature": NaN}"#, says: "not valid JSON"),
        Case(body: String(repeating: "[", count: 100_000), says: "nests deeper than"),
        Case(body: #"{"model": "scripted", "prompt": "a\ud800b"}"#, says: #"\ud800 at offset 34"#),
        Case(body: #"{"model": "scripted", "prompt": "a\udc00"}"#, says: "a lone surrogate"),
        Case(body: #"{"prompt": "x"}"#, field: "model", says: "missing"),
        Case(body: #"{"model": "other", "prompt": "x"}"#, status: 404, field: "model", says: "scripted"),
        Case(body: #"{"model": 7, "prompt": "x"}"#, field: "model", says: "a string, found the number 7"),
    ]

    static let prompts: [Case] = [
        .completion(#""prompt": """#, field: "prompt", says: "empty"),
        .completion(#""prompt": []"#, field: "prompt", says: "no tokens"),
        .completion(#""prompt": null"#, field: "prompt", says: "missing"),
        .completion(#""prompt": 5"#, field: "prompt", says: "found the number 5"),
        .completion(#""prompt": ["a", ""]"#, field: "prompt[1]", says: "empty"),
        .completion(#""prompt": ["a", 5]"#, field: "prompt[1]", says: "a string like the first, found the number 5"),
        .completion(#""prompt": [[1], []]"#, field: "prompt[1]", says: "no tokens"),
        .completion(#""prompt": [[1], "a"]"#, field: "prompt[1]", says: "like the first, found a string"),
        .completion(#""prompt": [[1], [2, 2048]]"#, field: "prompt[1][1]", says: "2048"),
        .completion(#""prompt": [[1], [2, 1.5]]"#, field: "prompt[1][1]", says: "the number 1.5"),
        .completion(
            #""prompt": [\#(Array(repeating: #""a""#, count: 129).joined(separator: ","))]"#, field: "prompt",
            says: "at most 128"),
        .completion(#""prompt": ["a", "b"], "n": 65"#, field: "n", says: "at most 128"),
        .completion(#""prompt": [1, -2, 3]"#, field: "prompt[1]", says: "-2"),
        .completion(#""prompt": [1, 4294967296]"#, field: "prompt[1]", says: "4294967296"),
        .completion(#""prompt": [1, 2, 1.5]"#, field: "prompt[2]", says: "the number 1.5"),
        .completion(#""prompt": [1, "x"]"#, field: "prompt[1]", says: "a string"),
        .completion(#""prompt": [1, 1e400]"#, field: "prompt[1]", says: "too large"),
        .completion(
            #""prompt": [\#(Array(repeating: "5", count: 3000).joined(separator: ","))]"#, field: "prompt",
            says: "3000"),
        .completion(#""max_tokens": 2047"#, field: "prompt", says: "2048"),
        .chat(#""messages": []"#, field: "messages", says: "at least one"),
        .chat(#""messages": {}"#, field: "messages", says: "found an object"),
        .chat(#""messages": ["x"]"#, field: "messages[0]", says: "found a string"),
        .chat(#""messages": [{"content": "x"}]"#, field: "messages[0].role", says: "missing"),
        .chat(#""messages": [{"role": "king", "content": "x"}]"#, field: "messages[0].role", says: "king"),
        .chat(#""messages": [{"role": "user"}]"#, field: "messages[0].content", says: "missing"),
        .chat(#""messages": [{"role": "user", "content": 1}]"#, field: "messages[0].content", says: "the number 1"),
        .chat(
            #""messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#,
            field: "messages[0].content[0].type", says: "image_url"),
        .chat(
            #""messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]"#,
            field: "messages[0].tool_calls[0].function", says: "missing"),
        .chat(
            #""messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1"}}]}]"#,
            field: "messages[0].tool_calls[0].function.arguments", says: "JSON of an object"),
        .chat(
            #""messages": [{"role": "assistant", "content": "x", "function_call": {}}]"#,
            field: "messages[0].function_call", says: "not supported"),
    ]

    static let fields: [Case] = [
        .completion(#""max_tokens": 0"#, field: "max_tokens", says: "at least 1"),
        .completion(#""max_tokens": -5"#, field: "max_tokens", says: "-5"),
        .completion(#""max_tokens": 1.5"#, field: "max_tokens", says: "an integer, found the number 1.5"),
        .completion(#""max_tokens": "8""#, field: "max_tokens", says: "an integer, found a string"),
        .completion(#""max_tokens": 1e400"#, field: "max_tokens", says: "too large"),
        .completion(#""max_tokens": true"#, field: "max_tokens", says: "found true"),
        .completion(#""temperature": -1"#, field: "temperature", says: "0 to 2"),
        .completion(#""temperature": 1e300"#, field: "temperature", says: "0 to 2"),
        .completion(#""temperature": "hot""#, field: "temperature", says: "a number, found a string"),
        .completion(#""top_p": -0.1"#, field: "top_p", says: "0 to 1"),
        .completion(#""top_k": -2"#, field: "top_k", says: "-2"),
        .completion(#""min_p": 2"#, field: "min_p", says: "0 to 1"),
        .completion(#""seed": 1e30"#, field: "seed", says: "an integer"),
        .completion(#""stream": "yes""#, field: "stream", says: "true or false"),
        .completion(#""stop": """#, field: "stop", says: "empty"),
        .completion(
            #""stop": [\#(Array(repeating: #""a""#, count: 65).joined(separator: ","))]"#, field: "stop",
            says: "at most 64"),
        .completion(
            #""stop": "\#(String(repeating: "a", count: 1025))""#, field: "stop", says: "at most 1024"),
        .completion(#""stop": [1]"#, field: "stop", says: "a string or an array"),
        .completion(#""logprobs": 21"#, field: "logprobs", says: "0 to 20"),
        .completion(#""stream_options": {"include_usage": true}"#, field: "stream_options", says: "'stream' is true"),
        .completion(
            #""stream": true, "stream_options": {"x": 1}"#, field: "stream_options.x", says: "Unrecognized"),
        .completion(#""temprature": 1"#, field: "temprature", says: "Unrecognized"),
        .completion(#""keep_rate": 0.1"#, field: "keep_rate", says: "inside 'speculative_prefill'"),
        .completion(#""n": 0"#, field: "n", says: "at least 1"),
        .completion(#""n": 129"#, field: "n", says: "at most 128"),
        .completion(#""best_of": 3"#, field: "best_of", says: "send 1"),
        .completion(#""echo": true, "max_tokens": -1"#, field: "max_tokens", says: "at least 0"),
        .completion(#""echo": 1"#, field: "echo", says: "true or false"),
        .completion(#""add_special_tokens": "no""#, field: "add_special_tokens", says: "true or false"),
        .chat(#""echo": true"#, field: "echo", says: "send false"),
        .chat(#""add_special_tokens": true"#, field: "add_special_tokens", says: "send false"),
        .completion(#""suffix": "end""#, field: "suffix", says: "leave it out"),
        .completion(#""presence_penalty": 0.5"#, field: "presence_penalty", says: "send 0"),
        .completion(#""logit_bias": {"5": 1}"#, field: "logit_bias", says: "empty"),
        .chat(#""tools": [{"type": "function"}]"#, field: "tools[0].function", says: "missing"),
        .chat(#""tools": [{"type": "function", "function": {}}]"#, field: "tools[0].function.name", says: "missing"),
        .chat(#""tools": [{"type": "web"}]"#, field: "tools[0].type", says: "function"),
        // The model served here is told of no tools: an answer without them would look right.
        .chat(
            #""tools": [{"type": "function", "function": {"name": "f"}}]"#, field: "tools",
            says: "does not write them"),
        .chat(#""tool_choice": "required""#, field: "tool_choice", says: "not supported"),
        .chat(
            #""tool_choice": {"type": "function", "function": {"name": "f"}}"#, field: "tool_choice",
            says: "not supported"),
        .chat(#""documents": {}"#, field: "documents", says: "found an object"),
        .chat(#""documents": ["x"]"#, field: "documents[0]", says: "an object"),
        .chat(#""chat_template_kwargs": [1]"#, field: "chat_template_kwargs", says: "found an array"),
        .chat(#""chat_template_kwargs": {"tools": 1}"#, field: "chat_template_kwargs", says: "leave it out"),
        .chat(
            #""continue_final_message": true, "add_generation_prompt": true"#, field: "continue_final_message",
            says: "send one of them"),
        .chat(#""chat_template": "x""#, field: "chat_template", says: "leave it out"),
        .completion(#""continue_final_message": true"#, field: "continue_final_message", says: "send false"),
        .chat(#""response_format": {"type": "json_object"}"#, field: "response_format", says: "text"),
        .chat(#""top_logprobs": 2"#, field: "top_logprobs", says: "'logprobs' is true"),
        .chat(#""logprobs": true, "top_logprobs": 21"#, field: "top_logprobs", says: "0 to 20"),
        .chat(#""logprobs": 3"#, field: "logprobs", says: "true or false"),
        .chat(#""max_tokens": 0, "max_completion_tokens": 4"#, field: "max_tokens", says: "at least 1"),
        .completion(
            #""stream": true, "stream_options": {"continuous_usage_stats": 1}"#,
            field: "stream_options.continuous_usage_stats", says: "true or false"),
    ]

    static let speculation: [Case] = [
        ("1", "speculative_prefill", "true, false or an object"),
        (#""on""#, "speculative_prefill", "found a string"),
        (#"{"keep_rat": 0.1}"#, "speculative_prefill.keep_rat", "Unrecognized"),
        (#"{"keep_rate": 0}"#, "speculative_prefill.keep_rate", "allowed"),
        (#"{"keep_rate": 1.5}"#, "speculative_prefill.keep_rate", "1.5"),
        (#"{"keep_rate": "NaN"}"#, "speculative_prefill.keep_rate", "a number, found a string"),
        (#"{"keep_rate": 1e400}"#, "speculative_prefill.keep_rate", "too large"),
        (#"{"look_ahead": 0}"#, "speculative_prefill.look_ahead", "allowed"),
        (#"{"chunk": -1}"#, "speculative_prefill.chunk", "allowed"),
        (#"{"pool": 4}"#, "speculative_prefill.pool", "allowed"),
        (#"{"selection": "best"}"#, "speculative_prefill.selection", "windows"),
        (#"{"enabled": "no"}"#, "speculative_prefill.enabled", "true or false"),
        (#"{"keep_spans": [[3, 1]]}"#, "speculative_prefill.keep_spans[0]", "start < end"),
        (#"{"keep_spans": [[0, 1], [1, 9999]]}"#, "speculative_prefill.keep_spans[1]", "9999"),
        (#"{"keep_spans": 3}"#, "speculative_prefill.keep_spans", "pairs"),
    ].map { .completion(#""speculative_prefill": \#($0.0)"#, field: $0.1, says: $0.2) }

    @Test("A bad request is refused by name", arguments: json + prompts + fields + speculation)
    func refused(bad: Case) async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.post(bad.path, bad.body)
            #expect(reply.status == bad.status)
            let error = try reply.json["error"]
            #expect(error?["type"] == .string("invalid_request_error"))
            #expect(error?["param"] == bad.field.map(JSON.string) ?? .null)
            #expect(error?["message"]?.string?.contains(bad.says) == true, "\(reply.text)")
            #expect(error?["code"]?.string?.isEmpty == false)
            // Nothing else suffers.
            #expect(try await gateway.complete(#"{"model": "scripted", "prompt": "x"}"#).status == 200)
        }
    }

    @Test("Bytes that are no UTF-8 are refused with their place")
    func notUTF8() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let bytes = Array(#"{"prompt": "é"#.utf8) + [0xFF, 0x22, 0x7D]
            let reply = try await gateway.send(
                .POST, "/v1/completions", headers: ["content-type": "application/json"],
                bytes: ByteBuffer(bytes: bytes))
            #expect(reply.status == 400)
            #expect(reply.text.contains("not UTF-8") && reply.text.contains("offset 14"), "\(reply.text)")
        }
    }

    @Test("Wrong paths, methods and types each have their status")
    func routes() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let unknown = try await gateway.get("/v1/nothing")
            #expect(unknown.status == 404)
            #expect(try unknown.json["error"]?["code"] == .string("unknown_url"))
            let wrong = try await gateway.get("/v1/completions")
            #expect(wrong.status == 405)
            #expect(wrong.headers["allow"] == "POST")
            #expect(try await gateway.post("/v1/models", "{}").status == 405)
            let type = try await gateway.post("/v1/completions", "prompt=x", type: "application/x-www-form-urlencoded")
            #expect(type.status == 415)
            #expect(type.text.contains("application/json"))
        }
    }

    static let failures: [(RequestError, status: Int, retryAfter: String?)] = [
        (RequestError(.invalidRequest, "no", field: "prompt"), 400, nil),
        (RequestError(.promptTooLong, "no"), 400, nil),
        (RequestError(.overloaded, "no", retryAfter: .milliseconds(2500)), 429, "3"),
        (RequestError(.unavailable, "no", retryAfter: .seconds(7)), 503, "7"),
        (RequestError(.workerLost, "no", retryAfter: .milliseconds(1)), 503, "1"),
        (RequestError(.deadlineExceeded, "no"), 504, nil),
        (RequestError(.internalError, "no"), 500, nil),
    ]

    @Test(
        "A coordinator's errors become statuses, of a stream until it is admitted", arguments: failures, [false, true])
    func failure(failure: (RequestError, status: Int, retryAfter: String?), stream: Bool) async throws {
        let refused = try ScriptedService { _ throws(RequestError) in throw failure.0 }
        let failed = try ScriptedService { submission in
            submission.prompt()
            submission.fail(failure.0)
        }
        for (service, isAdmitted) in [(refused, false), (failed, true)] {
            try await TestGateway.with(service) { gateway in
                let reply = try await gateway.complete(
                    #"{"model": "scripted", "prompt": "x", "stream": \#(stream)}"#)
                guard !stream || !isAdmitted else {
                    #expect(reply.status == 200)
                    #expect(reply.events.count == 1)
                    #expect(try JSON(try #require(reply.events.first))["error"]?["message"] == .string("no"))
                    return
                }
                #expect(reply.status == failure.status)
                #expect(reply.headers["retry-after"] == failure.retryAfter)
                #expect(try reply.json["error"]?["message"] == .string("no"))
            }
        }
    }

    @Test("A failure after the first token ends the stream with an error event")
    func lateFailure() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("one")
            submission.fail(RequestError(.workerLost, "worker 2 was lost"))
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "x", "stream": true}"#)
            #expect(reply.status == 200)
            let last = try JSON(try #require(reply.events.last))
            #expect(last["error"]?["code"] == .string("worker_lost"))
            #expect(last["error"]?["message"] == .string("worker 2 was lost"))
            #expect(!reply.events.contains("[DONE]"))
        }
    }
}
