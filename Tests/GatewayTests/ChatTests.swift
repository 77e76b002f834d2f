// What a chat says, and which of its messages pruning must keep.

import Coordinator
import Gateway
import Testing
import Tokenizer
import Transformer

@Suite("Chat completions", .timeLimit(.minutes(1)))
struct ChatTests {
    private static let conversation = #"""
        [{"role": "system", "content": "Be brief."},
         {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
         {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "What now?"}]
        """#

    @Test("A whole answer is a message")
    func whole() async throws {
        let service = try ScriptedService { submission in
            submission.prompt(fallback: "no speculator")
            submission.say("well then")
            submission.finish(.stop)
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(#"{"model": "scripted", "messages": \#(Self.conversation)}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let json = try reply.json
            #expect(json["object"] == .string("chat.completion"))
            #expect(json["id"]?.string?.hasPrefix("chatcmpl-") == true)
            #expect(json["choices"]?[0]?["message"]?["role"] == .string("assistant"))
            #expect(json["choices"]?[0]?["message"]?["content"] == .string("well then"))
            #expect(json["choices"]?[0]?["finish_reason"] == .string("stop"))
            #expect(json["speculative_prefill"]?["fallback"] == .string("no speculator"))
            #expect(json["speculative_prefill"]?["speculation_ms"] == .null)
        }
    }

    @Test("The conversation is rendered by the model's template; system messages are protected")
    func rendering() async throws {
        let service = try ScriptedService { $0.finish() }
        let expected = try service.tokenizer.encode(chat: [
            ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "Hello\nthere"),
            ChatMessage(role: "assistant", content: "Hi."), ChatMessage(role: "user", content: "What now?"),
        ])
        try await TestGateway.with(service, limits: .init(defaultChatTokens: 77)) { gateway in
            let reply = try await gateway.chat(#"{"model": "scripted", "messages": \#(Self.conversation)}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(request.prompt == expected.tokens)
            #expect(request.protected == [expected.messageSpans[0]])
            #expect(request.maxTokens == 77)
        }
    }

    @Test("An answer without a maximum ends with the context")
    func defaultMaximum() async throws {
        let service = try ScriptedService(contextLength: 60) { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(
                #"{"model": "scripted", "messages": [{"role": "user", "content": "x"}]}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(request.maxTokens == 60 - request.prompt.count)
        }
    }

    @Test("A stream names the speaker once and ends with a bare reason")
    func stream() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("one two")
            submission.finish(.stop)
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(
                #"""
                {"model": "scripted", "messages": \#(Self.conversation), "stream": true, "max_completion_tokens": 9,
                 "stream_options": {"include_usage": true}}
                """#)
            var events = reply.events
            #expect(events.popLast() == "[DONE]")
            let parts = try events.map { try JSON($0) }
            #expect(parts.allSatisfy { $0["object"] == .string("chat.completion.chunk") })
            let deltas = parts.compactMap { $0["choices"]?[0]?["delta"] }
            #expect(deltas.map { $0["role"]?.string } == ["assistant"] + deltas.dropFirst().map { _ in nil })
            #expect(deltas.compactMap { $0["content"]?.string }.joined() == "one two")
            #expect(deltas.last == .object([:]))
            #expect(parts.dropLast().last?["choices"]?[0]?["finish_reason"] == .string("stop"))
            #expect(parts.last?["usage"]?["completion_tokens"]?.number != nil)
            #expect(parts.last?["speculative_prefill"]?["kept_tokens"]?.number != nil)
        }
    }

    @Test("Log-probabilities of a chat are one object per token")
    func logProbabilities() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            let token = submission.tokenizer.encode("é", addSpecialTokens: false)[0]
            submission.say(
                token: token, logProbability: -1, top: [TokenLogProbability(token: token, logProbability: -1)])
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(
                #"{"model": "scripted", "messages": \#(Self.conversation), "logprobs": true, "top_logprobs": 1}"#)
            let request = try #require(await service.submissions.first()).request
            #expect(request.sampling.topLogProbabilities == 1)
            let entry = try reply.json["choices"]?[0]?["logprobs"]?["content"]?[0]
            let token = service.tokenizer.encode("é", addSpecialTokens: false)[0]
            let bytes = JSON.array(service.tokenizer.bytes(of: token).map { .number(Double($0)) })
            #expect(entry?["logprob"] == .number(-1))
            #expect(entry?["bytes"] == bytes)
            #expect(entry?["top_logprobs"]?[0]?["bytes"] == bytes)
        }
    }
}
