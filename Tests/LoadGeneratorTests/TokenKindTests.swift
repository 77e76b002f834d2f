// What counts as a token: thinking, tool calls and refusals do, and a chunk may hold several.

import LoadGenerator
import Testing

@Suite("kinds of tokens")
struct TokenKindTests {
    private static let start = ContinuousClock.now

    private static func event(_ delta: String, finish: String? = nil, rest: String = "") -> String {
        let reason = finish.map { "\"\($0)\"" } ?? "null"
        return #"data: {"choices":[{"index":0,"delta":\#(delta),"finish_reason":\#(reason)}]\#(rest)}"# + "\n\n"
    }

    private static func usage(_ tokens: Int) -> String {
        #"data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":\#(tokens)}}"# + "\n\n"
    }

    /// Reads what came at each millisecond, and makes a record of it that was due at 0.
    private func record(_ parts: [(at: Int, text: String)]) -> (record: RequestRecord, stream: CompletionStream) {
        var stream = CompletionStream()
        for part in parts { stream.receive(part.text.utf8, at: Self.start + .milliseconds(part.at)) }
        stream.finish()
        return (
            RequestRecord(
                index: 0, scheduled: .zero, sent: .zero, firstToken: stream.firstToken.map { $0 - Self.start },
                end: (stream.end ?? Self.start) - Self.start, tokens: stream.tokens, firstTokens: stream.firstTokens,
                outcome: .completed), stream
        )
    }

    private static let role = (at: 0, text: event(#"{"role":"assistant","content":""}"#))

    @Test(
        "thinking comes before the answer, and its first token is the first",
        arguments: ["reasoning", "reasoning_content"])
    func thinking(field: String) {
        let (record, stream) = record(
            [Self.role] + [200, 300, 400].map { ($0, Self.event(#"{"\#(field)":"a"}"#)) } + [
                (800, Self.event(#"{"content":"d"}"#)),
                (
                    900,
                    Self.event(#"{"content":" e"}"#) + Self.event("{}", finish: "stop") + Self.usage(5) + Answer.done
                ),
            ])
        #expect(stream.failure == nil && stream.tokens == 5)
        #expect(record.timeToFirstToken == .milliseconds(200))
        #expect(record.timePerOutputToken == .milliseconds(175))
    }

    @Test("a tool call without any text is an answer")
    func toolCalls() {
        let call = #"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#
        let more = #"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#
        let (record, stream) = record([
            Self.role, (200, Self.event(call)),
            (300, Self.event(more) + Self.event("{}", finish: "tool_calls") + Self.usage(2) + Answer.done),
        ])
        #expect(stream.failure == nil && stream.tokens == 2)
        #expect(record.timeToFirstToken == .milliseconds(200) && record.timePerOutputToken == .milliseconds(100))
    }

    @Test(
        "every kind of delta is a token, and what holds none is not",
        arguments: [
            (#"{"refusal":"no"}"#, true), (#"{"function_call":{"name":"f"}}"#, true), (#"{"thinking":"hm"}"#, true),
            (#"{"content":[{"type":"thinking","thinking":"hm"}]}"#, true),
            (#"{"content":[{"type":"text","text":"a"}]}"#, true),
            (#"{"tool_calls":[{"function":{"arguments":{}}}]}"#, true),
            (#"{"role":"assistant","content":null,"refusal":null,"tool_calls":null,"function_call":null}"#, false),
            (#"{"content":"","reasoning":"","tool_calls":[]}"#, false), (#"{"content":7}"#, false), ("{}", false),
        ])
    func kinds(delta: String, isToken: Bool) {
        let (record, stream) = record([
            (100, Self.event(delta)), (300, Self.event("{}", finish: "stop") + Answer.done),
        ])
        #expect(stream.failure == nil)
        #expect(record.timeToFirstToken == .milliseconds(isToken ? 100 : 300))
        #expect(stream.tokens == (isToken ? 1 : 0))
    }

    @Test("thinking that is sent under two names at once is said once")
    func twice() {
        let stream = record([(1, Self.event(#"{"reasoning":"a","reasoning_content":"a"}"#) + Answer.done)]).stream
        #expect(stream.text == "a")
    }

    /// Chunks of these sizes, one each 10 ms a token, the first at 500 ms; `known` says how a chunk tells its size.
    private func chunked(_ sizes: [Int], known: (_ size: Int, _ soFar: Int) -> String = { _, _ in "" }) -> RequestRecord
    {
        var (soFar, at) = (0, 500)
        var parts: [(at: Int, text: String)] = [Self.role]
        for (index, size) in sizes.enumerated() {
            soFar += size
            if index > 0 { at += 10 * size }
            let text = String(repeating: "word ", count: size)
            parts.append((at, Self.event(#"{"content":"\#(text)"}"#, rest: known(size, soFar))))
        }
        parts[parts.count - 1].text += Self.event("{}", finish: "stop") + Self.usage(soFar) + Answer.done
        return record(parts).record
    }

    @Test(
        "TPOT does not hang on how many tokens a chunk holds",
        arguments: [[1, 1, 1, 1], [8, 8, 8, 8], [1, 8, 8], [30, 1, 1, 1, 1], [2, 5, 1, 7, 3]])
    func chunks(sizes: [Int]) {
        // By the server's count as it goes, and by the length of the text.
        let counted = chunked(sizes) { _, soFar in #","usage":{"completion_tokens":\#(soFar)}"# }
        #expect(counted.timePerOutputToken == .milliseconds(10) && counted.firstTokens == sizes[0])
        #expect(chunked(sizes).timePerOutputToken == .milliseconds(10))
    }

    @Test("tokens that a chunk lists are counted, without any usage", arguments: ["token_ids", "logprobs", "tokens"])
    func listed(field: String) {
        let lists = [
            "token_ids": #""token_ids":[1,2,3]"#, "logprobs": #""logprobs":{"content":[{"token":"a"},{},{}]}"#,
            "tokens": #""logprobs":{"tokens":["a","b","c"]}"#,
        ]
        let list = lists[field] ?? ""
        func chunk(_ finish: String) -> String {
            #"data: {"choices":[{"text":"abc",\#(list),"finish_reason":\#(finish)}]}"# + "\n\n"
        }
        let (record, stream) = record([
            (100, chunk("null")), (130, chunk("null")), (160, chunk("\"stop\"") + Answer.done),
        ])
        #expect(stream.tokens == 9 && stream.firstTokens == 3)
        #expect(record.timePerOutputToken == .milliseconds(10))
    }

    @Test("an answer that comes all at once, or says nothing, has no time per token")
    func noTime() {
        let whole = Self.event(#"{"content":"a b c"}"#) + Self.event("{}", finish: "stop") + Self.usage(3) + Answer.done
        #expect(record([(100, whole)]).record.timePerOutputToken == nil)
        let silent = Self.event("{}", finish: "stop") + Self.usage(3) + Answer.done
        #expect(record([(100, silent)]).record.timePerOutputToken == nil)
        #expect(record([(100, silent)]).record.timeToFirstToken == .milliseconds(100))
    }

    @Test(
        "what is no event stream is called what it is",
        arguments: [
            (#"{"choices":[{"text":"whole"}]}"#, "the answer is JSON, not an event stream"),
            ("\n  {\n  \"error\": {}}", "the answer is JSON"), ("<html>", "it begins with '<html>'"), ("", "is empty"),
            ("\u{1B}[2Jx", "it begins with '\\u{1B}[2Jx'"), (": ping\n\n", "before [DONE]"), ("da", "within an event"),
            ("data: {", "within an event"), (Answer.chunk("a") + "data: {", "within an event"),
        ])
    func otherAnswers(text: String, says: String) {
        var stream = CompletionStream()
        for byte in text.utf8 { stream.receive([byte], at: Self.start) }
        stream.finish()
        #expect(stream.failure?.kind == .brokenStream)
        #expect(stream.failure?.detail.contains(says) == true, "\(stream.failure?.detail ?? "")")
    }

    @Test("over HTTP: first the thinking, much later the answer")
    func overHTTP() async throws {
        let gate = Gate()
        let script: TestServer.Script = { _, _ in
            [
                Answer.streamHead, .text(Self.role.text + Self.event(#"{"reasoning":"a"}"#)), .pass(gate),
                .text(Self.event(#"{"content":"b"}"#)), .wait(.milliseconds(20)),
                .text(Self.event("{}", finish: "stop") + Self.usage(2) + Answer.done), .end,
            ]
        }
        let response = try await TestServer.run(script) { server in
            let prompt = Prompt(.messages([.object(["role": .string("user"), "content": .string("q")])]))
            let request = try RequestTemplate(model: "toy").request(for: prompt, variant: .asIs)
            return try await OpenAIClient.withClient(address: server.address, connectionLimit: 1) { client in
                // The answer's first word comes only after the first token has been told.
                await client.send(request, timeout: .seconds(20)) { _ in gate.open() }
            }
        }
        #expect(response.outcome == .completed && response.tokens == 2 && response.firstTokens == 1)
    }
}
