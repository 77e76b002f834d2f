// Event streams and completion chunks, cut at every place the network could cut them.

import LoadGenerator
import Testing

@Suite("event stream")
struct StreamParsingTests {
    static let stream =
        "\u{FEFF}: a comment\r\ndata: one\n\nevent: note\rdata:two\rdata:  three\r\r\n\nid: 4\nretry: 10\n\n"
        + "data\n\ndata: größe 🚀\r\n\r\ndata: left over"
    static let events = [
        ServerSentEvent("message", "one"), ServerSentEvent("note", "two\n three"), ServerSentEvent("message", ""),
        ServerSentEvent("message", "größe 🚀"),
    ]

    @Test("every pair of cuts gives the same events")
    func everySplit() throws {
        let bytes = Array(Self.stream.utf8)
        for first in 0...bytes.count {
            for second in stride(from: first, through: bytes.count, by: 3) {
                var parser = ServerSentEventParser()
                let events =
                    try parser.append(bytes[..<first]) + parser.append(bytes[first..<second])
                    + parser.append(bytes[second...])
                #expect(events == Self.events)
                #expect(parser.hasPartialEvent)
            }
        }
    }

    @Test("byte by byte, with any line end", arguments: ["\n", "\r", "\r\n"])
    func lineEnds(end: String) throws {
        var parser = ServerSentEventParser()
        var events: [ServerSentEvent] = []
        for byte in "data: x\(end)data: y\(end)\(end)data: z\(end)\(end)".utf8 { events += try parser.append([byte]) }
        #expect(events == [ServerSentEvent("message", "x\ny"), ServerSentEvent("message", "z")])
        #expect(!parser.hasPartialEvent)
    }

    @Test("a line, or many, over the limit end it")
    func limits() throws {
        var parser = ServerSentEventParser(limit: 100)
        #expect(throws: ServerSentEventError.self) { _ = try parser.append(Array(repeating: 0x61, count: 101)) }
        var lines = ServerSentEventParser(limit: 100)
        #expect(throws: ServerSentEventError.self) {
            for _ in 0..<30 { _ = try lines.append("data: 12345\n".utf8) }
        }
        var events = ServerSentEventParser(limit: 100)
        var count = 0
        for _ in 0..<30 { count += try events.append("data: 12345\n\n".utf8).count }
        #expect(count == 30)
    }
}

@Suite("completion stream")
struct CompletionStreamTests {
    private static let start = ContinuousClock.now

    private func read(_ parts: [String], finish: Bool = true) -> CompletionStream {
        var stream = CompletionStream()
        for (index, part) in parts.enumerated() {
            stream.receive(part.utf8, at: Self.start + .seconds(index))
        }
        if finish { stream.finish() }
        return stream
    }

    @Test("first token, end, text, usage and report of a completion")
    func completion() {
        let report =
            #"{"prompt_tokens":1000,"kept_tokens":100,"keep_rate":0.1,"speculation_ms":12.5,"kept_spans":[[0,1]]}"#
        let last =
            #"data: {"choices":[],"usage":{"completion_tokens":5},"speculative_prefill":\#(report)}"# + "\n\n"
        let stream = read([Answer.chunk(""), Answer.chunk("a"), Answer.chunk("b"), Answer.finish, last, Answer.done])
        #expect(stream.failure == nil)
        #expect(stream.firstToken == Self.start + .seconds(1))
        #expect(stream.end == Self.start + .seconds(3))
        #expect(stream.text == "ab")
        #expect(stream.tokens == 5)
        #expect(stream.report?.keptTokens == 100)
        #expect(stream.report?.speculationMilliseconds == 12.5)
    }

    @Test("a chat's role chunk is no token, its content is; chunks are counted without usage")
    func chat() {
        let role = #"data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"# + "\n\n"
        let text = #"data: {"choices":[{"delta":{"content":"hi"}}],"usage":null}"# + "\n\n"
        let end = #"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"# + "\n\n"
        let stream = read([role, text, text, end, Answer.done])
        #expect(stream.failure == nil)
        #expect(stream.firstToken == Self.start + .seconds(1))
        #expect(stream.text == "hihi")
        #expect(stream.tokens == 2)
    }

    @Test("an answer without text has its first token at the finish; one without [DONE] is whole after it")
    func edges() {
        let empty = read([Answer.finish, Answer.done])
        #expect(empty.failure == nil)
        #expect(empty.firstToken == Self.start)
        let unterminated = read([Answer.chunk("a"), Answer.finish])
        #expect(unterminated.failure == nil)
        let strange = #"data: {"choices":[{"text":"a"}],"speculative_prefill":"yes"}"# + "\n\n"
        #expect(read([strange, Answer.done]).failure == nil)
    }

    @Test(
        "what is not a whole answer says why",
        arguments: [
            ([Answer.chunk("a")], FailureKind.brokenStream), ([Answer.chunk("a"), "data: {"], .brokenStream),
            ([], .brokenStream), ([Answer.done], .brokenStream), (["data: {\"choices\"\n\n"], .badJSON),
            (["data: [1]\n\n"], .badJSON), ([Answer.chunk("a"), "data: {\"choices\":7}\n\n"], .badJSON),
            (["data: {\"error\":{\"message\":\"worker lost\"}}\n\n", Answer.done], .serverError),
            ([Answer.chunk("a"), "data: {\"error\":\"odd\"}\n\n"], .serverError),
        ])
    func failures(parts: [String], kind: FailureKind) {
        #expect(read(parts).failure?.kind == kind)
    }

    @Test("every cut gives the same answer")
    func everySplit() {
        let bytes = Array(
            (Answer.chunk("größe") + Answer.chunk("🚀") + Answer.finish + Answer.usage + Answer.done).utf8)
        for cut in 0...bytes.count {
            var stream = CompletionStream()
            stream.receive(bytes[..<cut], at: Self.start)
            stream.receive(bytes[cut...], at: Self.start + .seconds(1))
            stream.finish()
            #expect(stream.failure == nil)
            #expect(stream.text == "größe🚀")
            #expect(stream.tokens == 3)
            #expect(stream.firstToken == Self.start + (cut < Answer.chunk("größe").utf8.count ? .seconds(1) : .zero))
        }
    }
}

extension ServerSentEvent {
    init(_ name: String, _ text: String) {
        self.init(name: name, data: Array(text.utf8))
    }
}
