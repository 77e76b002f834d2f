// Where a model's templates come from, which one is taken, and what it is given.

import Checkpoint
import Foundation
import Testing
import Tokenizer

struct ChatTemplateTests {
    @Test func modelsWithoutTemplateHaveNoChat() throws {
        for name in ["gpt2", "metaspace"] {
            let tokenizer = try loadTokenizer(name)
            #expect(try tokenizer.chatTemplate.get() == nil)
            let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(chat: chatTurns) }
            #expect(error?.place == "chat_template" && error?.fix?.contains("/v1/completions") == true)
        }
        let needle = packageRoot.appendingPathComponent("cluster/models/needle-main-2m")
        let tokenizer = try Tokenizer(directory: needle.path)
        let messages = [ChatMessage(role: "user", content: "one"), ChatMessage(role: "assistant", content: "two\n")]
        #expect(try tokenizer.encode(chat: messages).tokens == tokenizer.encode("one\ntwo\n"))
    }

    @Test func aTemplateThatCannotBeReadFailsOnlyChats() throws {
        let tokenizer = try loadTokenizer("gpt2", template: "line one\n{% if messages %}")
        #expect(tokenizer.encode("Alice").isEmpty == false)
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(chat: chatTurns) }
        #expect(error?.problem.contains("line 2") == true && error?.fix?.contains("/v1/completions") == true)
    }

    @Test func variantsAreChosenAsTransformersDoes() throws {
        let listed =
            #"{"chat_template": [{"name": "tool_use", "template": "tools {{ tools | length }}"}, {"name": "default", "template": "plain"}, {"name": "rag", "template": "rag"}]}"#
        let tokenizer = try loadTokenizer("gpt2", template: nil, ["tokenizer_config.json": listed])
        #expect(try tokenizer.chatTemplate.get()?.names == ["tool_use", "default", "rag"])
        #expect(try tokenizer.render(chat: Conversation(chatTurns)) == "plain")
        #expect(try tokenizer.render(chat: Conversation(chatTurns, tools: [chatTool])) == "tools 1")
        let nameless = #"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "rag", "template": "r"}]}"#
        let other = try loadTokenizer("gpt2", template: nil, ["tokenizer_config.json": nameless])
        #expect(try other.render(chat: Conversation(chatTurns, tools: [chatTool])) == "t")
        #expect(throws: TokenizerError.self) { try other.encode(chat: chatTurns) }
        for empty in [#"{"chat_template": null}"#, #"{"chat_template": " \n"}"#, "{}"] {
            #expect(
                try loadTokenizer("gpt2", template: nil, ["tokenizer_config.json": empty]).chatTemplate.get() == nil)
        }
        #expect(throws: TokenizerError.self) {
            try loadTokenizer("gpt2", template: nil, ["tokenizer_config.json": #"{"chat_template": [1]}"#])
        }
    }

    @Test func filesGoBeforeTheConfiguration() throws {
        let config = #"{"chat_template": "configured"}"#
        let file = try loadTokenizer("gpt2", template: "filed", ["tokenizer_config.json": config])
        #expect(try file.render(chat: Conversation(chatTurns)) == "filed")
        let both = try loadTokenizer(
            "gpt2", template: "filed",
            ["tokenizer_config.json": config, "additional_chat_templates/tool_use.jinja": "tools"])
        #expect(try both.render(chat: Conversation(chatTurns)) == "filed")
        #expect(try both.render(chat: Conversation(chatTurns, tools: [chatTool])) == "tools")
    }

    @Test func specialTokensHaveNames() throws {
        let template = "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ image_token }}|{{ unk_token is defined }}"
        let config = #"""
            {"bos_token": {"content": "<|begin_of_text|>"}, "eos_token": "<|eot_id|>", "pad_token": null,
             "extra_special_tokens": {"image_token": "<|i|>"}}
            """#
        let map = #"{"eos_token": "other", "pad_token": "<|pad|>", "unk_token": "<u>"}"#
        let tokenizer = try loadTokenizer(
            "llama3", template: template, ["tokenizer_config.json": config, "special_tokens_map.json": map])
        #expect(try tokenizer.render(chat: Conversation(chatTurns)) == "<|begin_of_text|>|<|eot_id|>||<|i|>|True")
        // They are the template's own words.
        let tokens = try tokenizer.encode(chat: chatTurns).tokens
        let eos = try #require(tokenizer.eosToken)
        #expect(tokens.first == tokenizer.bosToken && tokens.contains(eos))
    }

    @Test func developersSpeakToTemplatesThatKnowThem() throws {
        let user = ChatMessage(role: "user", content: "x")
        let developer = [ChatMessage(role: "developer", content: "s"), user]
        let llama3 = try loadTokenizer("llama3")
        #expect(
            try llama3.encode(chat: developer)
                == llama3.encode(chat: [ChatMessage(role: "system", content: "s"), user]))
        let knows = try loadTokenizer(
            "llama3", template: "{% for m in messages %}{{ m.role if m.role == 'developer' }}{% endfor %}")
        #expect(try knows.render(chat: Conversation(developer)) == "developer")
    }

    @Test func partsAreGivenAsTheTemplateTakesThem() throws {
        func part(_ text: String) -> JSON {
            .object([(Array("type".utf8), .text("text")), (Array("text".utf8), .text(text))])
        }
        let parts = [
            ChatMessage(members: [("role", .text("user")), ("content", .array([part("One."), part("Two.")]))])
        ]
        let plain = [ChatMessage(role: "user", content: "One.")]
        func render(_ template: String, _ messages: [ChatMessage]) throws -> String {
            try loadTokenizer("gpt2", template: template).render(chat: Conversation(messages))
        }
        #expect(try render("{% for m in messages %}[{{ m.content }}]{% endfor %}", parts) == "[One.\nTwo.]")
        #expect(try render("{% for m in messages %}{{ '[' + m.content + ']' }}{% endfor %}", parts) == "[One.\nTwo.]")
        let loops = "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}"
        #expect(try render(loops, parts) == "[One.][Two.]")
        #expect(try render(loops, plain) == "[One.]")
        let both =
            "{% for m in messages %}{% if m.content is string %}<{{ m.content }}>{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}"
        #expect(try render(both, parts) == "[One.][Two.]")
        #expect(try render(both, plain) == "<One.>")
    }

    @Test func callsHaveObjectsAndReasoningBothNames() throws {
        let tokenizer = try loadTokenizer(
            "gpt2",
            template: """
                {%- for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments.port }}{{ c.function.arguments | tojson }}{% endfor %}
                {{- m.thinking }}|{{ m.reasoning_content }}|{{ m.content is defined }};{% endfor %}
                """)
        func call(_ arguments: JSON) -> ChatMessage {
            let function = JSON.object([(Array("name".utf8), .text("f")), (Array("arguments".utf8), arguments)])
            return ChatMessage(members: [
                ("role", .text("assistant")), ("content", .null),
                ("tool_calls", .array([.object([(Array("function".utf8), function)])])),
            ])
        }
        let messages = [
            call(.text(#"{"port": "Brest", "b": 1.0, "a": [2]}"#)), call(.text("")),
            call(.object([(Array("port".utf8), .text("x"))])),
            ChatMessage(members: [("role", .text("assistant")), ("reasoning", .text("hm")), ("content", .text("c"))]),
        ]
        #expect(
            try tokenizer.render(chat: Conversation(messages))
                == #"Brest{"port": "Brest", "b": 1.0, "a": [2]}||False;{}||False;x{"port": "x"}||False;hm|hm|True;"#)
    }
}
