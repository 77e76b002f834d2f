// What a chat says, and which of its messages pruning must keep.

import Coordinator
import Foundation
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
            #expect(request.protected == expected.messageSpans[0])
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

    /// A service whose model has the template given.
    private func service(_ template: String) throws -> (ScriptedService, folder: URL) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                at: URL(filePath: ScriptedService.modelDirectory).appending(path: file),
                to: folder.appending(path: file))
        }
        try Data(template.utf8).write(to: folder.appending(path: "chat_template.jinja"))
        let service = try ScriptedService(modelDirectory: folder.path) { submission in
            submission.prompt()
            submission.finish()
        }
        return (service, folder)
    }

    private static let template = """
        {%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}
        {%- for doc in documents or [] %}<doc>{{ doc.text }}</doc>{% endfor %}
        {%- for m in messages %}<{{ m.role }}>{{ m.content }}
        {%- for call in m.tool_calls %}[{{ call.function.name }}:{{ call.function.arguments.port }}]{% endfor %}
        {%- if m.name %}({{ m.name }}, {{ m.tool_call_id }}){% endif %}{{ m.reasoning_content }}</>{% endfor %}
        {%- if add_generation_prompt %}<assistant>{% if shout %}{{ shout }}{% endif %}{% endif %}
        """

    @Test("The template gets tools, documents, calls and its own variables; tools and their results are protected")
    func everything() async throws {
        let (service, folder) = try service(Self.template)
        defer { try? FileManager.default.removeItem(at: folder) }
        let conversation = #"""
            "messages": [
              {"role": "user", "content": "Tide?"},
              {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{\"port\": \"Brest\"}"}}]},
              {"role": "tool", "name": "tide", "tool_call_id": "c1", "content": "4.5"},
              {"role": "developer", "content": "Be brief."}],
            "tools": [{"type": "function", "function": {"name": "tide", "z": 1, "a": 2.0}}],
            "documents": [{"title": "t", "text": "words"}], "chat_template_kwargs": {"shout": "loud"}
            """#
        let text = [
            #"<tools>{"type": "function", "function": {"name": "tide", "z": 1, "a": 2.0}}</tools><doc>words</doc>"#,
            "<user>Tide?</><assistant>[tide:Brest]hm</>", "<tool>4.5(tide, c1)</>", "<system>Be brief.</>",
            "<assistant>loud",
        ]
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(#"{"model": "scripted", "tool_choice": "auto", \#(conversation)}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(service.tokenizer.decode(request.prompt, skipSpecialTokens: false) == text.joined())
            let kept = request.protected.map { service.tokenizer.decode(Array(request.prompt[$0])) }.joined()
            // A token that two texts share is the first one's, so that the ends may differ by a character or two.
            for words in ["tide\", \"z\": 1", "4.5(tide, c1)", "Be brief."] { #expect(kept.contains(words), "\(kept)") }
            #expect(!kept.contains("Tide?") && !kept.contains("words") && !kept.contains("Brest"), "\(kept)")
            let counted = try await gateway.post("/tokenize", "{\(conversation)}")
            #expect(try counted.json["count"]?.number == Double(request.prompt.count))
            // Who forbids calls wants no word of tools.
            let none = try await gateway.chat(#"{"model": "scripted", "tool_choice": "none", \#(conversation)}"#)
            #expect(none.status == 200)
            let second = try #require(await service.submissions.first()).request
            #expect(!service.tokenizer.decode(second.prompt).contains("<tools>"))
        }
    }

    @Test("The last message may stay open, or end without the header of an answer")
    func openEnds() async throws {
        let (service, folder) = try service(Self.template)
        defer { try? FileManager.default.removeItem(at: folder) }
        let messages = #""messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "It is "}]"#
        try await TestGateway.with(service) { gateway in
            for (fields, tail) in [
                (#""continue_final_message": true"#, "<assistant>It is "),
                (#""continue_final_message": true, "add_generation_prompt": false"#, "<assistant>It is "),
                (#""add_generation_prompt": false"#, "<assistant>It is </>"),
                (#""add_generation_prompt": true"#, "<assistant>It is </><assistant>"),
            ] {
                let reply = try await gateway.chat(#"{"model": "scripted", \#(messages), \#(fields)}"#)
                #expect(reply.status == 200, "\(reply.text)")
                let prompt = try #require(await service.submissions.first()).request.prompt
                #expect(service.tokenizer.decode(prompt, skipSpecialTokens: false) == "<user>Q</>" + tail)
                let counted = try await gateway.post("/tokenize", "{\(messages), \(fields)}")
                #expect(try counted.json["count"]?.number == Double(prompt.count))
            }
        }
    }

    @Test("What the template refuses, and a model without one, are 400 with the cause")
    func refusals() async throws {
        let (service, folder) = try service("\n{{ raise_exception('only on Sundays') }}")
        defer { try? FileManager.default.removeItem(at: folder) }
        let body = #"{"model": "scripted", "messages": [{"role": "user", "content": "x"}]}"#
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.chat(body)
            #expect(reply.status == 400)
            #expect(reply.text.contains("only on Sundays"))
            #expect(try reply.json["error"]?["code"] == .string("chat_template"))
            #expect(try await gateway.complete(#"{"model": "scripted", "prompt": "x"}"#).status == 200)
        }
        let stories = URL(filePath: ScriptedService.modelDirectory).deletingLastPathComponent()
            .appending(path: "stories260K").path
        try await TestGateway.with(try ScriptedService(modelDirectory: stories) { $0.finish() }) { gateway in
            let reply = try await gateway.chat(body)
            #expect(reply.status == 400)
            #expect(reply.text.contains("/v1/completions"), "\(reply.text)")
        }
    }

    @Test("What a template repeats is bounded by what was sent, before it is written")
    func repetition() async throws {
        let (service, folder) = try service("{% for i in range(1000) %}{{ messages[0].content }}{% endfor %}")
        defer { try? FileManager.default.removeItem(at: folder) }
        try await TestGateway.with(service) { gateway in
            for path in ["/tokenize", "/v1/chat/completions"] {
                func reply(_ letters: Int) async throws -> Reply {
                    let text = String(repeating: "x", count: letters)
                    return try await gateway.post(
                        path, #"{"model": "scripted", "messages": [{"role": "user", "content": "\#(text)"}]}"#)
                }
                #expect(try await reply(1).status == 200)
                // 20 MB are never made of 20 KB.
                let refused = try await reply(20_000)
                #expect(refused.status == 400)
                #expect(try refused.json["error"]?["code"] == .string("chat_template"))
                #expect(refused.text.contains("send a shorter conversation"), "\(refused.text)")
            }
        }
    }
}
