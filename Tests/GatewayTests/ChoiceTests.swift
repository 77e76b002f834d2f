// Several answers to one request: several prompts, several answers to a prompt, and want of room.

import AsyncHTTPClient
import Coordinator
import Foundation
import Gateway
import NIOCore
import Synchronization
import Testing
import Tokenizer
import Transformer

@Suite("Choices", .timeLimit(.minutes(1)))
struct ChoiceTests {
    /// Answers each prompt of token ids with the text of its second token on.
    private static func echoing() throws -> ScriptedService {
        try ScriptedService { submission in
            submission.prompt(kept: [0..<1])
            for token in submission.request.prompt.dropFirst() { submission.say(token: token) }
            submission.finish()
        }
    }

    @Test("Several prompts are answered in order, whatever their kind", arguments: [false, true])
    func prompts(areTexts: Bool) async throws {
        let service = try Self.echoing()
        let texts = ["one two three", "four", "five six"]
        let prompts = texts.map { service.tokenizer.encode($0) }
        let field =
            areTexts
            ? "[" + texts.map { "\"\($0)\"" }.joined(separator: ", ") + "]"
            : "[" + prompts.map { "\($0)" }.joined(separator: ", ") + "]"
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": \#(field), "max_tokens": 9}"#)
            #expect(reply.status == 200, "\(reply.text)")
            let choices = try #require(try reply.json["choices"]?.array)
            #expect(choices.map { $0["index"] } == [.number(0), .number(1), .number(2)])
            #expect(choices.map { $0["text"]?.string } == texts)
            // Each says what was done to its own prompt; the usage is that of all.
            let facts = choices.map { $0["speculative_prefill"]?["prompt_tokens"]?.number }
            #expect(facts == prompts.map { Double($0.count) })
            #expect(try reply.json["speculative_prefill"] == nil)
            let total = prompts.map(\.count).reduce(0, +)
            #expect(try reply.json["usage"]?["prompt_tokens"]?.number == Double(total))
            #expect(try reply.json["usage"]?["completion_tokens"]?.number == Double(total - 3))
            #expect(try reply.json["usage"]?["prompt_tokens_details"]?["kept_tokens"] == .number(3))
        }
    }

    @Test("A stream of several choices is interleaved as they come, each with its index")
    func stream() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            async let opening = gateway.open(
                "/v1/completions",
                #"""
                {"model": "scripted", "prompt": ["a", "b"], "stream": true, "max_tokens": 9,
                 "stream_options": {"include_usage": true, "continuous_usage_stats": true}}
                """#)
            var submissions = service.submissions.makeAsyncIterator()
            let first = try #require(await submissions.next())
            let second = try #require(await submissions.next())
            let response = try await opening
            var body = response.body.makeAsyncIterator()
            var text = ""
            func events(_ count: Int) async throws -> [JSON] {
                while Reply.events(text).count < count { text += String(buffer: try #require(try await body.next())) }
                return try Reply.events(text).filter { $0 != "[DONE]" }.map { try JSON($0) }
            }
            first.prompt()
            second.prompt()
            second.say("zwei")
            let tokens = service.tokenizer.encode("zwei", addSpecialTokens: false).count
            _ = try await events(tokens)
            first.say("eins")
            first.finish()
            second.finish(.stop)
            let all = service.tokenizer.encode("eins", addSpecialTokens: false).count + tokens
            // Two ends, the usage, and the mark.
            let parts = try await events(all + 4)
            #expect(parts.prefix(tokens).allSatisfy { $0["choices"]?[0]?["index"] == .number(1) })
            for (index, expected, reason) in [(0.0, "eins", "length"), (1.0, "zwei", "stop")] {
                let own = parts.compactMap { $0["choices"]?[0] }.filter { $0["index"] == .number(index) }
                #expect(own.compactMap { $0["text"]?.string }.joined() == expected)
                #expect(own.compactMap { $0["finish_reason"]?.string } == [reason])
                #expect(own.last?["speculative_prefill"]?["kept_tokens"]?.number != nil)
                #expect(own.dropLast().allSatisfy { $0["speculative_prefill"] == nil })
            }
            // The usage so far is in every event and never falls.
            let counts = try parts.map { try #require($0["usage"]?["completion_tokens"]?.number) }
            #expect(counts == counts.sorted() && counts.last == Double(all))
            #expect(parts.last?["choices"] == .array([]))
            #expect(Reply.events(text).last == "[DONE]")
        }
    }

    @Test("n answers to a prompt have the seeds that follow the first", arguments: ["completions", "chat"])
    func answers(endpoint: String) async throws {
        let service = try Self.echoing()
        let prompt = endpoint == "chat" ? #""messages": [{"role": "user", "content": "x"}]"# : #""prompt": ["x", "y"]"#
        let path = endpoint == "chat" ? "/v1/chat/completions" : "/v1/completions"
        try await TestGateway.with(service) { gateway in
            let body = #"{"model": "scripted", \#(prompt), "n": 3, "best_of": 3, "seed": 40}"#
            let reply = try await gateway.post(path, body)
            #expect(reply.status == 200, "\(reply.text)")
            let expected: [UInt64] = endpoint == "chat" ? [40, 41, 42] : [40, 41, 42, 40, 41, 42]
            #expect(try reply.json["choices"]?.array?.count == expected.count)
            var seeds: [UInt64] = []
            var prompts: [[Int32]] = []
            var submissions = service.submissions.makeAsyncIterator()
            for _ in expected {
                let request = try #require(await submissions.next()).request
                seeds.append(request.sampling.seed)
                prompts.append(request.prompt)
            }
            #expect(seeds == expected)
            // A prompt counts once, however many answers it gets.
            let distinct = stride(from: 0, to: prompts.count, by: 3).map { prompts[$0].count }.reduce(0, +)
            #expect(try reply.json["usage"]?["prompt_tokens"]?.number == Double(distinct))
        }
    }

    @Test("Without a seed, equal prompts get answers of their own")
    func ownSeeds() async throws {
        let service = try Self.echoing()
        try await TestGateway.with(service) { gateway in
            _ = try await gateway.complete(#"{"model": "scripted", "prompt": ["x", "x"], "n": 2}"#)
            var submissions = service.submissions.makeAsyncIterator()
            var seeds: Set<UInt64> = []
            for _ in 0..<4 { seeds.insert(try #require(await submissions.next()).request.sampling.seed) }
            #expect(seeds.count == 4)
        }
    }

    @Test("Choices the coordinator has no room for wait for those before them", arguments: [false, true])
    func waiting(stream: Bool) async throws {
        let running = Mutex(0)
        let most = Mutex(0)
        let service = try ScriptedService { submission throws(RequestError) in
            let count = running.withLock { running in
                running += 1
                return running
            }
            guard count <= 2 else {
                running.withLock { $0 -= 1 }
                throw RequestError(.overloaded, "full", retryAfter: .seconds(1))
            }
            most.withLock { $0 = max($0, count) }
            submission.prompt()
            submission.say("\(submission.request.prompt.count)")
            running.withLock { $0 -= 1 }
            submission.finish()
        }
        let full = try ScriptedService { _ throws(RequestError) in
            throw RequestError(.overloaded, "full", retryAfter: .seconds(1))
        }
        let body = #"{"model": "scripted", "prompt": [[5], [5, 6], [5, 6, 7], [5, 6, 7, 8]], "stream": \#(stream)}"#
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(body)
            #expect(reply.status == 200, "\(reply.text)")
            let parts = stream ? try reply.events.dropLast().map { try JSON($0) } : [try reply.json]
            var texts: [Int: String] = [:]
            for choice in parts.flatMap({ $0["choices"]?.array ?? [] }) {
                texts[Int(choice["index"]?.number ?? -1), default: ""] += choice["text"]?.string ?? ""
            }
            #expect(texts == [0: "1", 1: "2", 2: "3", 3: "4"])
            #expect(most.withLock { $0 } <= 2)
        }
        // With nothing of its own under way there is nothing to wait for.
        try await TestGateway.with(full) { gateway in
            let reply = try await gateway.complete(body)
            #expect(reply.status == 429)
        }
    }

    @Test("A choice waits until one of its own has ended, and no longer")
    func waitsForItsOwn() async throws {
        let isFull = Mutex(false)
        let service = try ScriptedService { submission throws(RequestError) in
            let refused = isFull.withLock { full in
                defer { full = true }
                return full
            }
            if refused { throw RequestError(.overloaded, "full", retryAfter: .seconds(1)) }
        }
        try await TestGateway.with(service) { gateway in
            async let reply = gateway.complete(#"{"model": "scripted", "prompt": ["a", "b"]}"#)
            var submissions = service.submissions.makeAsyncIterator()
            let first = try #require(await submissions.next())
            first.prompt()
            first.say("eins")
            isFull.withLock { $0 = false }
            first.finish()
            let second = try #require(await submissions.next())
            second.prompt()
            second.say("zwei")
            second.finish()
            let texts = try await reply.json["choices"]?.array?.map { $0["text"]?.string }
            #expect(texts == ["eins", "zwei"])
        }
    }

    @Test("One choice that fails ends them all, and is named", arguments: [false, true])
    func failure(stream: Bool) async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            if submission.request.prompt == [6] {
                submission.fail(RequestError(.promptTooLong, "too long for the workers"))
            }
        }
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": [[5], [6], [7]], "stream": \#(stream)}"#)
            let error = stream ? try JSON(try #require(reply.events.last))["error"] : try reply.json["error"]
            #expect(reply.status == (stream ? 200 : 400))
            #expect(error?["param"] == .string("prompt[1]"))
            #expect(error?["message"] == .string("too long for the workers"))
            var cancelled: Set<UInt64> = []
            for await id in service.cancellations where [1, 3].contains(id) {
                cancelled.insert(id)
                if cancelled.count == 2 { break }
            }
            #expect(try await gateway.get("/health/live").status == 200)
        }
    }

    @Test("A client that leaves cancels every choice")
    func leave() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post(
                    "/v1/completions", #"{"model": "scripted", "prompt": ["x", "y"], "stream": true}"#)
                var submissions = service.submissions.makeAsyncIterator()
                _ = await submissions.next()
                _ = await submissions.next()
                try await connection.close()
            }
            var cancelled: Set<UInt64> = []
            for await id in service.cancellations {
                cancelled.insert(id)
                if cancelled.count == 2 { break }
            }
            #expect(cancelled == [1, 2])
        }
    }
}
