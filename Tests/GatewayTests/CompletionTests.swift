// What a completion says, whole and streamed.

import AsyncHTTPClient
import Coordinator
import Foundation
import NIOCore
import NIOHTTP1
import Speculation
import Testing
import Tokenizer
import Transformer

@Suite("Completions", .timeLimit(.minutes(1)))
struct CompletionTests {
    @Test("A whole completion has the text, the usage and what was done to the prompt")
    func whole() async throws {
        let service = try ScriptedService { submission in
            submission.prompt(kept: [0..<2, 3..<4])
            submission.say(" the answer")
            submission.finish(.stop)
        }
        let prompt = "a prompt of some words"
        let count = service.tokenizer.encode(prompt).count
        let answered = service.tokenizer.encode(" the answer", addSpecialTokens: false).count
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "\#(prompt)"}"#)
            #expect(reply.status == 200)
            #expect(reply.headers["content-type"] == "application/json")
            let json = try reply.json
            #expect(json["object"] == .string("text_completion"))
            #expect(json["model"] == .string("scripted"))
            #expect(json["id"]?.string?.hasPrefix("cmpl-") == true)
            #expect(json["id"]?.string == reply.headers["x-request-id"])
            #expect(
                try json["choices"]?[0]
                    == JSON(#"{"index": 0, "text": " the answer", "logprobs": null, "finish_reason": "stop"}"#))
            #expect(json["usage"]?["prompt_tokens"] == .number(Double(count)))
            #expect(json["usage"]?["completion_tokens"] == .number(Double(answered)))
            #expect(json["usage"]?["total_tokens"] == .number(Double(count + answered)))
            #expect(json["usage"]?["prompt_tokens_details"]?["kept_tokens"] == .number(3))
            #expect(json["usage"]?["prompt_tokens_details"]?["cached_tokens"] == .number(0))
            #expect(json["system_fingerprint"]?.string?.hasPrefix("fp_") == true)
            let facts = json["speculative_prefill"]
            #expect(facts?["prompt_tokens"] == .number(Double(count)))
            #expect(facts?["kept_tokens"] == .number(3))
            #expect(facts?["keep_rate"] == .number(3 / Double(count)))
            #expect(facts?["speculation_ms"] == .number(12))
            #expect(try facts?["kept_spans"] == JSON("[[0, 2], [3, 4]]"))
            #expect(facts?["fallback"] == .null)
        }
    }

    @Test("Every field reaches the coordinator")
    func fields() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"""
                {"model": "scripted", "prompt": [5, 6, 7, 8, 9, 10], "max_tokens": 33, "temperature": 0.5, "top_p": 0.9,
                 "top_k": 40, "min_p": 0.05, "seed": -1, "stop": ["x", "y"], "ignore_eos": true, "logprobs": 3,
                 "user": "someone", "n": 1, "presence_penalty": 0.0, "logit_bias": {}, "echo": false, "suffix": null,
                 "speculative_prefill": {"keep_rate": 0.4, "look_ahead": 4, "selection": "grid", "chunk": 16,
                   "stride": 4, "pool": 5, "tail": 8, "threshold": 2, "keep_head": false, "keep_spans": [[1, 3]]}}
                """#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(request.prompt == [5, 6, 7, 8, 9, 10])
            #expect(request.maxTokens == 33)
            #expect(request.ignoreEOS)
            #expect(request.protected == [1..<3])
            let sampling = SamplingParameters(
                temperature: 0.5, topK: 40, topP: 0.9, minP: 0.05, seed: .max, topLogProbabilities: 3)
            #expect(request.sampling == sampling)
            var speculation = SpeculationParameters()
            speculation.enabled = true
            speculation.keepRate = 0.4
            speculation.lookAhead = 4
            speculation.selection = .grid
            speculation.chunk = 16
            speculation.stride = 4
            speculation.pool = 5
            speculation.tail = 8
            speculation.threshold = 2
            speculation.keepHead = false
            #expect(request.speculation == speculation)
        }
    }

    @Test(
        "A request may switch pruning, and says nothing by default",
        arguments: [("", true), (#", "speculative_prefill": false"#, false), (#", "speculative_prefill": true"#, true)])
    func switches(field: String, enabled: Bool) async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": ["one prompt"]\#(field)}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let request = try #require(await service.submissions.first()).request
            #expect(request.speculation.enabled == enabled)
            #expect(request.maxTokens == 16)
            #expect(request.sampling.temperature == 1)
            #expect(request.sampling.topLogProbabilities == nil)
        }
    }

    @Test("Requests without a seed get one of their own")
    func seeds() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            var seeds: Set<UInt64> = []
            for _ in 0..<3 {
                _ = try await gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
                seeds.insert(try #require(await service.submissions.first()).request.sampling.seed)
            }
            #expect(seeds.count == 3)
        }
    }

    @Test("A stream has an event per token, sent at once, and ends with what was done", arguments: [false, true])
    func stream(includeUsage: Bool) async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            let options = includeUsage ? #", "stream_options": {"include_usage": true}"# : ""
            async let opening = gateway.open(
                "/v1/completions", #"{"model": "scripted", "prompt": "a b c", "stream": true\#(options)}"#)
            let hand = try #require(await service.submissions.first())
            let tokens = service.tokenizer.encode("one two three", addSpecialTokens: false)
            hand.prompt(kept: [0..<1])
            // The response is here before the first token.
            let response = try await opening
            hand.say(token: tokens[0])
            #expect(response.status == .ok)
            #expect(response.headers.first(name: "content-type") == "text/event-stream")
            var body = response.body.makeAsyncIterator()
            var text = ""
            var seen = 0
            for token in tokens.dropFirst() {
                // Each event must be here before the next token exists.
                while Reply.events(text).count == seen { text += String(buffer: try #require(try await body.next())) }
                seen += 1
                #expect(Reply.events(text).count == seen)
                hand.say(token: token)
            }
            hand.finish(.length)
            while let buffer = try await body.next() { text += String(buffer: buffer) }
            var events = Reply.events(text)
            #expect(events.count == tokens.count + (includeUsage ? 3 : 2))
            #expect(events.popLast() == "[DONE]")
            let parts = try events.map { try JSON($0) }
            #expect(parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == "one two three")
            #expect(Set(parts.map { $0["id"] }).count == 1)
            let facts = parts.map { $0["speculative_prefill"]?["kept_tokens"] }
            #expect(facts.last == .number(1))
            #expect(facts.dropLast().allSatisfy { $0 == nil })
            let reasons = parts.compactMap { $0["choices"]?[0]?["finish_reason"]?.string }
            #expect(reasons == ["length"])
            let usage = parts.last?["usage"]?["completion_tokens"]
            #expect(usage == (includeUsage ? .number(Double(tokens.count)) : nil))
            #expect(parts.dropLast().allSatisfy { $0["usage"] == (includeUsage ? .null : nil) })
            #expect(Set(parts.map { $0["system_fingerprint"] }).count == 1)
            if includeUsage { #expect(parts.last?["choices"] == .array([])) }
        }
    }

    @Test("A stop string ends the answer before it, wherever the tokens break", arguments: [false, true])
    func stop(stream: Bool) async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            // Never finishes by itself: the stop string has to end it.
            submission.say("alpha beta STOP gamma")
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "x", "stop": "a STO", "max_tokens": 99, "stream": \#(stream)}"#)
            let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
            #expect(parts.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == "alpha bet")
            #expect(parts.last?["choices"]?[0]?["finish_reason"] == .string("stop"))
            // The request is complete, not given up.
            #expect(await service.conclusions.first() == 1)
        }
    }

    @Test("No event holds half a character")
    func characters() async throws {
        let text = "naïve 😀 日本"
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say(text)
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "x", "stream": true}"#)
            let parts = try reply.events.dropLast().map { try JSON($0)["choices"]?[0]?["text"]?.string ?? "" }
            #expect(parts.joined() == text)
            #expect(!parts.contains { $0.contains("\u{FFFD}") })
        }
    }

    @Test("Log-probabilities of a completion are parallel arrays", arguments: [false, true])
    func logProbabilities(stream: Bool) async throws {
        let service = try ScriptedService { submission in
            let tokens = submission.tokenizer.encode("one two", addSpecialTokens: false)
            submission.prompt()
            for token in tokens {
                let top = [
                    TokenLogProbability(token: token, logProbability: -0.25),
                    TokenLogProbability(token: 7, logProbability: -.infinity),
                ]
                submission.say(token: token, logProbability: -0.25, top: top)
            }
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "x", "logprobs": 2, "stream": \#(stream)}"#)
            let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
            let all = parts.compactMap { $0["choices"]?[0]?["logprobs"] }
            let tokens = all.flatMap { $0["tokens"]?.array ?? [] }
            #expect(tokens.compactMap(\.string).joined() == "one two")
            #expect(all.flatMap { $0["token_logprobs"]?.array ?? [] } == tokens.map { _ in .number(-0.25) })
            let offsets = all.flatMap { $0["text_offset"]?.array ?? [] }.compactMap(\.number)
            var expected = 0.0
            for (token, offset) in zip(tokens, offsets) {
                #expect(offset == expected)
                expected += Double(token.string?.unicodeScalars.count ?? 0)
            }
            let tops = all.flatMap { $0["top_logprobs"]?.array ?? [] }
            #expect(tops.count == tokens.count)
            for case .object(let top) in tops {
                #expect(Set(top.values) == [.number(-0.25), .number(-9999)])
            }
        }
    }
}
