// Answers that begin with their prompt, and what the model thought of it.

import Coordinator
import Foundation
import Gateway
import Testing
import Tokenizer
import Transformer

@Suite("Echo", .timeLimit(.minutes(1)))
struct EchoTests {
    private static let bos = "<|begin_of_text|>"

    /// Scores the prompt in two parts, then says two words.
    private static func scoring() throws -> ScriptedService {
        try ScriptedService { submission in
            let count = submission.request.prompt.count
            submission.prompt()
            if submission.request.promptLogProbabilities != nil, count > 1 {
                let half = 1 + (count - 1) / 2
                submission.score(1..<half, logProbability: -0.5)
                submission.score(half..<count, logProbability: -0.25)
            }
            if submission.request.maxTokens > 0 { submission.say(" and more") }
            submission.finish()
        }
    }

    @Test(
        "The prompt's text comes back ahead of the answer", arguments: [false, true],
        ["Call me Ishmael.", "naïve 😀 日本", "<|begin_of_text|>Call me"])
    func text(stream: Bool, prompt: String) async throws {
        let service = try Self.scoring()
        let ids = service.tokenizer.encode(prompt)
        try await TestGateway.with(service) { gateway in
            for field in ["\"\(prompt)\"", "\(ids)"] {
                let reply = try await gateway.complete(
                    #"{"model": "scripted", "prompt": \#(field), "echo": true, "max_tokens": 8, "stream": \#(stream)}"#)
                #expect(reply.status == 200, "\(reply.text)")
                let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
                let text = parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined()
                // Token ids spell out the BOS that a text was given.
                let shown = field.hasPrefix("[") && !prompt.hasPrefix(Self.bos) ? Self.bos + prompt : prompt
                #expect(text == shown + " and more")
                // Nobody asked for log-probabilities.
                #expect(try #require(await service.submissions.first()).request.promptLogProbabilities == nil)
            }
        }
    }

    @Test("Log-probabilities cover prompt and answer, and offsets lead to the tokens", arguments: [false, true])
    func logProbabilities(stream: Bool) async throws {
        let service = try Self.scoring()
        let prompt = "Call me 日本 Ishmael."
        let ids = service.tokenizer.encode(prompt)
        let answer = service.tokenizer.encode(" and more", addSpecialTokens: false)
        #expect(ids.first == service.tokenizer.bosToken)
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"""
                {"model": "scripted", "prompt": "\#(prompt)", "echo": true, "logprobs": 1, "max_tokens": 8,
                 "stream": \#(stream)}
                """#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(request.promptLogProbabilities == 1)
            let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
            let text = parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined()
            let all = parts.compactMap { $0["choices"]?[0]?["logprobs"] }
            func member(_ name: String) -> [JSON] { all.flatMap { $0[name]?.array ?? [] } }
            let tokens = member("tokens").compactMap(\.string)
            #expect(tokens.count == ids.count + answer.count)
            // Nothing says how likely the first token is.
            let values = member("token_logprobs")
            #expect(values.first == .null && member("top_logprobs").first == .null)
            #expect(values.dropFirst().prefix(ids.count - 1).allSatisfy { [-0.5, -0.25].contains($0.number) })
            #expect(values.suffix(answer.count).allSatisfy { $0 == .number(-0.5) })
            #expect(values.count == tokens.count && member("top_logprobs").count == tokens.count)
            // A token's text stands where its offset says; the BOS that was added has none of its own.
            let offsets = member("text_offset").compactMap { $0.number.map { Int($0) } }
            #expect(offsets.prefix(2) == [0, 0])
            let scalars = Array(text.unicodeScalars)
            for (token, offset) in zip(tokens, offsets).dropFirst() where !token.hasPrefix("bytes:") {
                var found = String.UnicodeScalarView()
                found.append(contentsOf: scalars[offset..<min(offset + token.unicodeScalars.count, scalars.count)])
                #expect(String(found) == token)
            }
            #expect(offsets == offsets.sorted())
            #expect(offsets[ids.count] == prompt.unicodeScalars.count)
        }
    }

    @Test("A prompt may be echoed with no token after it, and fill the context")
    func noTokens() async throws {
        let service = try Self.scoring()
        let full = Array(repeating: 5, count: 2048)
        try await TestGateway.with(service) { gateway in
            for prompt in [full, [5]] {
                let reply = try await gateway.complete(
                    #"{"model": "scripted", "prompt": \#(prompt), "echo": true, "logprobs": 0, "max_tokens": 0}"#)
                #expect(reply.status == 200, "\(reply.text)")
                let choice = try #require(try reply.json["choices"]?[0])
                #expect(choice["logprobs"]?["tokens"]?.array?.count == prompt.count)
                #expect(choice["finish_reason"] == .string("length"))
                #expect(try reply.json["usage"]?["completion_tokens"] == .number(0))
                #expect(try #require(await service.submissions.first()).request.maxTokens == 0)
            }
            // Without an echo there would be nothing to say.
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "x", "max_tokens": 0}"#)
            #expect(reply.status == 400)
        }
    }

    @Test("A stop string in the prompt stops nothing")
    func stop() async throws {
        let service = try Self.scoring()
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "one and two", "echo": true, "stop": ["and", "more"]}"#)
            #expect(try reply.json["choices"]?[0]?["text"] == .string("one and two "))
            #expect(try reply.json["choices"]?[0]?["finish_reason"] == .string("stop"))
        }
    }

    @Test(
        "The chosen token is always among the alternatives, which go from the likeliest down",
        arguments: [(0, -3.0), (1, -3), (2, -0.5), (3, -2)])
    func alternatives(count: Int, chosen: Double) async throws {
        let service = try ScriptedService { submission in
            let words = [" a", " b", " c", " d"].map { submission.tokenizer.encode($0, addSpecialTokens: false)[0] }
            let top = zip(words, [-0.25, -1, -1.5]).prefix(count).map {
                TokenLogProbability(token: $0, logProbability: $1)
            }
            submission.prompt()
            submission.say(token: words[3], logProbability: Float(chosen), top: top)
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "x", "temperature": 2, "logprobs": \#(count)}"#)
            let tops = try reply.json["choices"]?[0]?["logprobs"]?["top_logprobs"]?[0]
            guard case .object(let members) = tops else {
                Issue.record("\(reply.text)")
                return
            }
            #expect(members.count == count + 1)
            #expect(members[" d"] == .number(chosen))
            // The order is the text's own: a parsed object has none.
            let object = try #require(reply.text.firstMatch(of: /"top_logprobs":\[\{([^}]*)\}/)).output.1
            let values = object.split(separator: ",").compactMap {
                $0.split(separator: ":").last.flatMap { Double($0) }
            }
            #expect(values == values.sorted(by: >) && values.count == count + 1)
        }
    }

    @Test(
        "A completion's log-probabilities end with the token that ended it; a chat's do not", arguments: [false, true])
    func endToken(stream: Bool) async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("one")
            submission.end(token: 2, logProbability: -0.125)
            submission.finish(.stop)
        }
        let said = service.tokenizer.encode("one", addSpecialTokens: false).count
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "x", "logprobs": 0, "stream": \#(stream)}"#)
            let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
            #expect(parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == "one")
            let all = parts.compactMap { $0["choices"]?[0]?["logprobs"] }
            let values = all.flatMap { $0["token_logprobs"]?.array ?? [] }
            #expect(values.count == said + 1 && values.last == .number(-0.125))
            #expect(all.flatMap { $0["text_offset"]?.array ?? [] }.last == .number(3))
            let chat = try await gateway.chat(
                #"{"model": "scripted", "messages": [{"role": "user", "content": "x"}], "logprobs": true}"#)
            let entries = try chat.json["choices"]?[0]?["logprobs"]?["content"]?.array
            #expect(entries?.count == said)
            #expect(try chat.json["usage"]?["completion_tokens"] == .number(Double(said)))
        }
    }

    @Test("Halves of a character are spelled as their bytes")
    func halves() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("日")
            submission.finish()
        }
        let ids = service.tokenizer.encode("日", addSpecialTokens: false)
        try #require(ids.count > 1, "the vocabulary has the character as one token")
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "x", "logprobs": 0}"#)
            let tokens = try reply.json["choices"]?[0]?["logprobs"]?["tokens"]?.array?.compactMap(\.string) ?? []
            let expected = ids.map { id in
                "bytes:" + service.tokenizer.bytes(of: id).map { "\\x" + String($0, radix: 16) }.joined()
            }
            #expect(tokens == expected)
        }
    }
}
