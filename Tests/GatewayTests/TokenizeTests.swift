// POST /tokenize gives the very tokens that answers are made from.

import Coordinator
import Gateway
import Testing
import Tokenizer

@Suite("Tokenize", .timeLimit(.minutes(1)))
struct TokenizeTests {
    private func tokens(_ reply: Reply) throws -> [Int32] {
        try #require(reply.json["tokens"]?.array).map { Int32(try #require($0.number)) }
    }

    @Test("A text with special tokens, or without; with a model's name, or without")
    func text() async throws {
        let service = try ScriptedService(contextLength: 1234)
        let text = "Call me Ishmael.\nSome \u{1F40B} years ago"
        let escaped = text.replacing("\n", with: #"\n"#)
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.post("/tokenize", #"{"prompt": "\#(escaped)"}"#)
            #expect(reply.status == 200)
            let expected = service.tokenizer.encode(text)
            #expect(try tokens(reply) == expected)
            #expect(try reply.json["count"] == .number(Double(expected.count)))
            #expect(try reply.json["max_model_len"] == .number(1234))
            let named = try await gateway.post(
                "/tokenize", #"{"model": "scripted", "prompt": "\#(escaped)", "add_special_tokens": true}"#)
            #expect(named.text == reply.text)
            let bare = try await gateway.post(
                "/tokenize", #"{"prompt": "\#(escaped)", "add_special_tokens": false}"#)
            #expect(try tokens(bare) == service.tokenizer.encode(text, addSpecialTokens: false))
            #expect(try tokens(bare).count < expected.count)
            let empty = try await gateway.post("/tokenize", #"{"prompt": "", "add_special_tokens": false}"#)
            #expect(empty.text == #"{"count":0,"max_model_len":1234,"tokens":[]}"#)
        }
    }

    @Test("What it says is what a completion and a chat get")
    func same() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let text = try await gateway.post("/tokenize", #"{"prompt": "one two"}"#)
            _ = try await gateway.complete(#"{"model": "scripted", "prompt": "one two"}"#)
            let counted = try tokens(text)
            #expect(await service.submissions.first()?.request.prompt == counted)
            let messages = #""messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]"#
            let chat = try await gateway.post("/tokenize", #"{\#(messages), "add_generation_prompt": true}"#)
            _ = try await gateway.chat(#"{"model": "scripted", \#(messages)}"#)
            let rendered = try tokens(chat)
            #expect(await service.submissions.first()?.request.prompt == rendered)
        }
    }

    @Test(
        "What is wrong is named",
        arguments: [
            (#"{}"#, 400, "prompt"), (#"{"prompt": 5}"#, 400, "prompt"), (#"{"prompt": ["a"]}"#, 400, "prompt"),
            (#"{"messages": []}"#, 400, "messages"), (#"{"messages": [{"role": "user"}]}"#, 400, "messages[0].content"),
            (#"{"prompt": "x", "messages": [{"role": "user", "content": "x"}]}"#, 400, "messages"),
            (#"{"prompt": "x", "model": "other"}"#, 404, "model"),
            (#"{"prompt": "x", "add_special_tokens": "no"}"#, 400, "add_special_tokens"),
            (
                #"{"messages": [{"role": "user", "content": "x"}], "add_special_tokens": true}"#, 400,
                "add_special_tokens"
            ),
            (#"{"prompt": "x", "tools": []}"#, 400, "tools"),
            (#"{"prompt": "x", "continue_final_message": true}"#, 400, "continue_final_message"),
            (
                #"{"messages": [{"role": "user", "content": "x"}], "tool_choice": "none"}"#, 400, "tool_choice"
            ),
            (#"{"prompt": "x", "return_token_strs": true}"#, 400, "return_token_strs"),
            (#"{"prompt": "x", "promt": 1}"#, 400, "promt"),
        ])
    func refusals(body: String, status: Int, field: String) async throws {
        try await TestGateway.with(try ScriptedService()) { gateway in
            let reply = try await gateway.post("/tokenize", body)
            #expect(reply.status == status)
            #expect(try reply.json["error"]?["param"] == .string(field), "\(reply.text)")
        }
    }

    @Test("A body is bounded and of JSON, as everywhere")
    func bodies() async throws {
        try await TestGateway.with(try ScriptedService(), limits: .init(bodyBytes: 100)) { gateway in
            let long = #"{"prompt": "\#(String(repeating: "x", count: 100))"}"#
            let statuses = [
                try await gateway.post("/tokenize", long).status,
                try await gateway.post("/tokenize", "{", type: "text/plain").status,
                try await gateway.post("/tokenize", "{").status, try await gateway.get("/tokenize").status,
            ]
            #expect(statuses == [413, 415, 400, 405])
        }
    }
}
