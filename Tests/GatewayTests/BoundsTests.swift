// What is bounded before any work: JSON's shape, memory for bodies, the queue of work, the length of a text.

import Coordinator
import Foundation
import Gateway
import Synchronization
import Testing
import Tokenizer

@Suite("Bounds", .timeLimit(.minutes(1)))
struct BoundsTests {
    private func fault(_ text: String, _ limits: JSONShape.Limits = .init()) -> JSONShape.Fault? {
        do {
            try JSONShape.check(Data(text.utf8).span, limits)
            return nil
        } catch {
            return error
        }
    }

    @Test("Depth and number of values are bounded; what stands in strings does not count")
    func shape() {
        let limits = JSONShape.Limits(depth: 2, values: 6)
        #expect(fault(#"{"a": [1, 2]}"#, limits) == nil)
        #expect(fault(#"{"a": [[1]]}"#, limits) == .tooDeep(offset: 7, most: 2))
        #expect(fault("[1,2,3,4,5,6]", limits) == .tooMany(most: 6))
        #expect(fault(#"["[[[[,,,,,,,,\"[[[,,,,\\"]"#, limits) == nil)
        #expect(fault(#"["\\",[[1]]]"#, limits) == .tooDeep(offset: 7, most: 2))
        // What is no JSON is the decoder's to say.
        for text in ["", "\"", "\"\\", "\"\\u", "\"\\u12", "]]]]", "\"\\uD800"] { _ = fault(text, limits) }
    }

    @Test("Half a surrogate pair is found wherever it stands")
    func surrogates() {
        #expect(fault(#"["\ud83d\ude00 \u0041"]"#) == nil)
        #expect(fault(#"["a\ud800b"]"#) == .loneSurrogate(offset: 3, escape: "\\ud800"))
        #expect(fault(#"["\uDC00"]"#) == .loneSurrogate(offset: 2, escape: "\\udc00"))
        #expect(fault(#"["\ud83d\ud83d\ude00"]"#) == .loneSurrogate(offset: 2, escape: "\\ud83d"))
        #expect(fault(#"["\ud83d\n"]"#) == .loneSurrogate(offset: 2, escape: "\\ud83d"))
        // An escaped backslash before a u is no escape of a code unit.
        #expect(fault(#"["\\ud800"]"#) == nil)
        #expect(fault(#"{"\ud800": 1}"#) == .loneSurrogate(offset: 2, escape: "\\ud800"))
    }

    @Test("Memory for bodies is shared, and given back")
    func budget() {
        let budget = BodyBudget(total: 100, largest: 10)
        let one = budget.share(of: "a")
        #expect(one.grow(by: 50))
        #expect(!one.grow(by: 1))
        do {
            let other = budget.share(of: "b")
            #expect(other.grow(by: 40))
            #expect(!other.grow(by: 11))
            #expect(budget.bytes == 90)
        }
        #expect(budget.bytes == 50)
        #expect(budget.share(of: "a").grow(by: 1) == false)
        // What is held already counts though there is no room for it, and nobody gets more until it is gone.
        do {
            let answer = budget.share(of: "c")
            #expect(answer.grow(by: 5))
            answer.grow(anywayTo: 500)
            answer.grow(anywayTo: 20)
            #expect(budget.bytes == 550)
            #expect(!budget.share(of: "d").grow(by: 1))
        }
        #expect(budget.bytes == 50)
        // One body of the largest size is always possible.
        #expect(BodyBudget(total: 5, largest: 10).share(of: "a").grow(by: 10))
    }

    @Test("Work runs beside its callers, and a full queue says so at once")
    func threads() async throws {
        let threads = WorkThreads(name: "test", threads: 1, queue: 2)
        defer { threads.stop() }
        let (started, tellStart) = AsyncStream<Void>.makeStream()
        let gate = DispatchSemaphore(value: 0)
        async let first = threads.run {
            tellStart.yield()
            gate.wait()
            return 1
        }
        _ = await started.first()
        // The thread is taken: two pieces of work wait, and a third finds no room.
        let done = Count()
        await withTaskGroup(of: Int?.self) { group in
            for _ in 0..<3 { group.addTask { await threads.run { done.next() } } }
            #expect(await group.next() == .some(nil))
            for _ in 0..<3 { gate.signal() }
            #expect(Set([await group.next(), await group.next()].compactMap { $0 ?? nil }) == [1, 2])
        }
        #expect(await first == 1)
        let name = await threads.run { try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8) }
        #expect(name == "test-0\n")
        let nice = WorkThreads(name: "nice", threads: 1, queue: 1, niceness: 5)
        defer { nice.stop() }
        // The nineteenth field is the niceness; the second, the name, stands in brackets.
        let status = await nice.run { try? String(contentsOfFile: "/proc/thread-self/stat", encoding: .utf8) }
        let fields = try #require(status ?? nil).split(separator: ") ").last?.split(separator: " ")
        #expect(fields?[16] == "5")
    }

    @Test("A text that can't fit the context is refused for its bytes", arguments: ["completions", "chat", "tokenize"])
    func longText(endpoint: String) async throws {
        let service = try ScriptedService(contextLength: 64) { $0.finish() }
        let most = 64 * service.tokenizer.longestToken
        try await TestGateway.with(service) { gateway in
            let text = String(repeating: "x", count: most + 1)
            let reply =
                switch endpoint {
                case "completions": try await gateway.complete(#"{"model": "scripted", "prompt": "\#(text)"}"#)
                case "chat":
                    try await gateway.chat(
                        #"{"model": "scripted", "messages": [{"role": "user", "content": "\#(text)"}]}"#)
                default: try await gateway.post("/tokenize", #"{"prompt": "\#(text)"}"#)
                }
            #expect(reply.status == 400)
            #expect(try reply.json["error"]?["code"] == .string("context_length_exceeded"))
            #expect(reply.text.contains("\(most) bytes"), "\(reply.text)")
        }
    }

    @Test("A body that no text of the context needs is refused before it is read")
    func longBody() async throws {
        let service = try ScriptedService(contextLength: 64) { $0.finish() }
        try await TestGateway.with(service) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                // Not a byte of the body is sent.
                try await connection.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                        + "Content-Length: 15000000\r\nExpect: 100-continue\r\n\r\n")
                let answer = try await connection.receive(until: "}}")
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(answer)")
                #expect(answer.contains("context_length_exceeded") && answer.contains("connection: close"))
            }
            // And where all of it is sent before anything is read, the answer is not lost.
            for headers in ["", "Connection: close\r\n"] {
                try await RawConnection.with(port: gateway.port) { connection in
                    try await connection.post(
                        "/v1/completions", String(repeating: " ", count: 15_000_000), headers: headers)
                    #expect(try await connection.receive().hasPrefix("HTTP/1.1 400"))
                }
            }
        }
    }

    @Test("More values than any use needs are refused before they are built")
    func manyValues() async throws {
        try await TestGateway.with(try ScriptedService { $0.finish() }) { gateway in
            let ids = repeatElement("1", count: 300_000).joined(separator: ",")
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": [\#(ids)]}"#)
            #expect(reply.status == 400)
            #expect(reply.text.contains("262144 values"), "\(reply.text)")
        }
    }

    @Test("Bodies over the memory for all of them get 503 and a time to come again")
    func memory() async throws {
        let limits = GatewayLimits(bodyBytes: 1000, bodyBudget: 1000)
        try await TestGateway.with(try ScriptedService { $0.finish() }, limits: limits) { gateway in
            let head = "POST /tokenize HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            var reply: Reply?
            // Whichever arrives first has the memory; a slow body that came too late is sent once more.
            while reply == nil {
                try await RawConnection.with(port: gateway.port) { slow in
                    try await slow.send(head + "Content-Length: 1000\r\n\r\n" + String(repeating: " ", count: 900))
                    for _ in 0..<50 where reply == nil {
                        let next = try await gateway.post("/tokenize", "{}" + String(repeating: " ", count: 600))
                        if next.status == 503 { reply = next }
                    }
                    try await slow.close()
                }
            }
            #expect(reply?.headers["retry-after"] == "1")
            // Given back when its client is gone.
            let last = #"{"prompt": "x"}"# + String(repeating: " ", count: 900)
            while try await gateway.post("/tokenize", last).status == 503 {}
        }
    }
}

/// Counts up.
private final class Count: Sendable {
    private let value = Atomic(0)

    func next() -> Int { value.add(1, ordering: .relaxed).newValue }
}
