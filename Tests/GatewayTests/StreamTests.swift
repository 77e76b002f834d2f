// What a stream says before, between and instead of tokens.

import AsyncHTTPClient
import Coordinator
import Foundation
import Gateway
import InMemoryLogging
import Logging
import NIOCore
import NIOHTTP1
import Testing
import Tokenizer

@Suite("Streams", .timeLimit(.minutes(1)))
struct StreamTests {
    @Test("Headers and a comment come at once, and a comment in every silence", arguments: ["completions", "chat"])
    func silence(endpoint: String) async throws {
        let service = try ScriptedService()
        let prompt = endpoint == "chat" ? #""messages": [{"role": "user", "content": "x"}]"# : #""prompt": "x""#
        let path = endpoint == "chat" ? "/v1/chat/completions" : "/v1/completions"
        try await TestGateway.with(service, limits: .init(silenceTime: .milliseconds(20))) { gateway in
            // Nobody has answered yet: this would wait for ever if the head waited for a token.
            let response = try await gateway.open(path, #"{"model": "scripted", \#(prompt), "stream": true}"#)
            #expect(response.status == .ok)
            #expect(response.headers.first(name: "content-type") == "text/event-stream")
            #expect(response.headers.first(name: "x-request-id")?.isEmpty == false)
            var body = response.body.makeAsyncIterator()
            var text = ""
            while Reply.comments(text).count < 4 { text += String(buffer: try #require(try await body.next())) }
            #expect(Reply.events(text).isEmpty)
            let hand = try #require(await service.submissions.first())
            hand.prompt()
            hand.say("x")
            hand.finish()
            while let buffer = try await body.next() { text += String(buffer: buffer) }
            #expect(Reply.events(text).last == "[DONE]")
            // Every line is a comment, data, or the end of an event.
            for line in text.split(separator: "\n") { #expect(line.hasPrefix(": ") || line.hasPrefix("data: ")) }
        }
    }

    @Test("A failure after the admission is an event, and the end")
    func failure() async throws {
        let lines = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in lines }
        let service = try ScriptedService()
        try await TestGateway.with(service, logger: logger) { gateway in
            let response = try await gateway.open(
                "/v1/completions", #"{"model": "scripted", "prompt": "x", "stream": true}"#)
            let hand = try #require(await service.submissions.first())
            hand.fail(RequestError(.workerLost, "worker 2 was lost"))
            let text = String(buffer: try await response.body.collect(upTo: 1 << 16))
            let events = Reply.events(text)
            #expect(events.count == 1)
            let error = try JSON(try #require(events.first))["error"]
            #expect(error?["type"] == .string("server_error"))
            #expect(error?["code"] == .string("worker_lost"))
            #expect(error?["param"] == .null)
            // The log has the status it would have had.
            let entry = lines.entries.first { $0.message == "request" }
            #expect(entry?.metadata["status"]?.description == "503")
        }
    }

    /// What `stream_options` may ask for, and what its events' usage is then.
    static let options: [(String, inEvents: Bool, atEnd: Bool, isNull: Bool)] = [
        ("", false, false, false),
        (#"{"include_usage": false, "continuous_usage_stats": false}"#, false, false, false),
        (#"{"include_usage": true}"#, false, true, true),
        (#"{"include_usage": true, "continuous_usage_stats": false}"#, false, true, true),
        (#"{"include_usage": true, "continuous_usage_stats": true}"#, true, true, false),
        (#"{"continuous_usage_stats": true}"#, true, false, false),
    ]

    @Test("Usage is told as asked", arguments: options)
    func usage(options: (String, inEvents: Bool, atEnd: Bool, isNull: Bool)) async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("one two three")
            submission.finish()
        }
        let tokens = Double(service.tokenizer.encode("one two three", addSpecialTokens: false).count)
        let field = options.0.isEmpty ? "" : #", "stream_options": \#(options.0)"#
        try await TestGateway.with(service) { gateway in
            let reply = try await gateway.complete(
                #"{"model": "scripted", "prompt": "x y", "max_tokens": 9, "stream": true\#(field)}"#)
            #expect(reply.status == 200, "\(reply.text)")
            var parts = try reply.events.dropLast().map { try JSON($0) }
            if options.atEnd {
                let last = parts.removeLast()
                #expect(last["choices"] == .array([]))
                #expect(last["usage"]?["completion_tokens"] == .number(tokens))
            }
            if options.inEvents {
                let counts = parts.compactMap { $0["usage"]?["completion_tokens"]?.number }
                #expect(counts.count == parts.count && counts == counts.sorted())
                #expect(counts.first == 1 && counts.last == tokens)
            } else {
                #expect(parts.allSatisfy { $0["usage"] == (options.isNull ? .null : nil) })
            }
            #expect(parts.last?["choices"]?[0]?["finish_reason"] == .string("length"))
        }
    }

    @Test("The fingerprint is the weights' and the release's")
    func fingerprint() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            let body = #"{"model": "scripted", "prompt": "x"}"#
            let first = try await gateway.complete(body).json["system_fingerprint"]?.string
            #expect(try await gateway.complete(body).json["system_fingerprint"]?.string == first)
            #expect(first?.wholeMatch(of: /fp_[0-9a-f]{16}/) != nil)
        }
    }
}
