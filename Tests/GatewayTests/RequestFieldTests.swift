// Fields that other servers' clients send, and what becomes of them.

import Coordinator
import Foundation
import Gateway
import Testing
import Tokenizer
import Transformer

@Suite("Request fields", .timeLimit(.minutes(1)))
struct RequestFieldTests {
    private static let bos = "<|begin_of_text|>"

    /// The request that a body becomes.
    private func request(_ fields: String, path: String = "/v1/completions") throws -> GenerationRequest {
        try call(fields, path: path).request
    }

    private func call(_ fields: String, path: String = "/v1/completions") throws -> InProcessCall {
        let service = try ScriptedService()
        return try InProcessRequest.parse(
            path: path, body: Array(#"{"model": "scripted", \#(fields)}"#.utf8), for: service)
    }

    @Test(
        "Where both limits are there, max_completion_tokens counts",
        arguments: [
            (#""max_tokens": 4"#, 4), (#""max_completion_tokens": 5"#, 5),
            (#""max_tokens": 4, "max_completion_tokens": 4"#, 4), (#""max_tokens": 4, "max_completion_tokens": 9"#, 9),
            (#""max_tokens": null, "max_completion_tokens": 9"#, 9),
            (#""max_tokens": 4, "max_completion_tokens": null"#, 4),
        ])
    func limits(fields: String, expected: Int) throws {
        let messages = #""messages": [{"role": "user", "content": "x"}]"#
        #expect(try request("\(messages), \(fields)", path: "/v1/chat/completions").maxTokens == expected)
    }

    @Test("In process and over HTTP, an answer has the same length unless told")
    func defaults() async throws {
        let service = try ScriptedService { $0.finish() }
        let chat = #"{"model": "scripted", "messages": [{"role": "user", "content": "x"}]}"#
        let completion = #"{"model": "scripted", "prompt": "x"}"#
        try await TestGateway.with(service) { gateway in
            for (path, body, expected) in [
                ("/v1/chat/completions", chat, 512), ("/v1/completions", completion, 16),
            ] {
                _ = try await gateway.post(path, body)
                let outside = try #require(await service.submissions.first()).request
                let inside = try InProcessRequest.parse(path: path, body: Array(body.utf8), for: service).request
                #expect(outside.maxTokens == expected && inside.maxTokens == expected)
                #expect(outside.prompt == inside.prompt)
            }
        }
    }

    @Test("In process, one answer is given per request, and its stops are told")
    func inProcess() throws {
        #expect(try call(#""prompt": ["x"], "stop": ["a", "b"]"#).stop == ["a", "b"])
        for fields in [#""prompt": ["x", "y"]"#, #""prompt": "x", "n": 2"#] {
            let refusal = #expect(throws: InProcessRefusal.self) { try call(fields) }
            #expect(refusal?.status == 400 && refusal?.description.contains("2 answers") == true)
        }
    }

    @Test("A text has one BOS, however it got it, and none where none is wanted")
    func bos() throws {
        let tokenizer = try ScriptedService().tokenizer
        let plain = tokenizer.encode("Call me", addSpecialTokens: false)
        let one = [try #require(tokenizer.bosToken)] + plain
        #expect(tokenizer.encode("Call me") == one)
        #expect(tokenizer.encode(Self.bos + "Call me") == one)
        #expect(tokenizer.encode(Self.bos + Self.bos + "Call me").count == one.count + 1)
        // What merely looks like the mark is text.
        #expect(tokenizer.encode(Self.bos, parseSpecialTokens: false).first == tokenizer.bosToken)
        let cases: [(String, [Int32])] = [
            (#""prompt": "Call me""#, one), (#""prompt": "\#(Self.bos)Call me""#, one),
            (#""prompt": "Call me", "add_special_tokens": false"#, plain),
            (#""prompt": "\#(Self.bos)Call me", "add_special_tokens": false"#, one),
            (#""prompt": "Call me", "add_special_tokens": true"#, one),
            // Token ids are taken as they are.
            (#""prompt": \#(plain)"#, plain),
        ]
        for (fields, expected) in cases { #expect(try request(fields).prompt == expected, "\(fields)") }
    }

    @Test("A rendered conversation is the same prompt as its text")
    func renderedChat() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.post("/tokenize", #"{"prompt": "\#(Self.bos)Call me"}"#)
            let one = service.tokenizer.encode("Call me")
            #expect(try reply.json["tokens"]?.array?.compactMap(\.number) == one.map { Double($0) })
            let bare = try await gateway.post(
                "/tokenize", #"{"prompt": "\#(Self.bos)Call me", "add_special_tokens": false}"#)
            #expect(try bare.json["tokens"] == reply.json["tokens"])
        }
    }

    @Test("top_p of 0 is taken as greedy, and 32 stops are taken")
    func tolerance() throws {
        #expect(try request(#""prompt": "x", "top_p": 0"#).sampling.topP == 0)
        let stops = (0..<32).map { "stop \($0)" }
        let field = stops.map { "\"\($0)\"" }.joined(separator: ", ")
        #expect(try call(#""prompt": "x", "stop": [\#(field)]"#).stop == stops)
    }

    @Test("Text in an answer survives JSON, whatever it is made of")
    func escapes() async throws {
        let text = "quote \" slash \\ / line\nreturn\r tab\t bell\u{7} nul\u{0} é 😀 \u{2028}"
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say(text)
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            for stream in [false, true] {
                let reply = try await gateway.complete(
                    #"{"model": "scripted", "prompt": "x", "max_tokens": 99, "stream": \#(stream)}"#)
                let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
                #expect(parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == text)
            }
        }
    }
}
