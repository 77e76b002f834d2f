// Damaged requests: whatever a client sends, it gets an answer, and so does the next one.

import Coordinator
import Testing

@Suite("Damaged requests", .timeLimit(.minutes(1)))
struct DamageTests {
    /// A small generator with a seed, so that a failure can be repeated.
    private struct Random: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ (state >> 29)) &* 0xBF58_476D_1CE4_E5B9
        }
    }

    private static let body = #"""
        {"model": "scripted", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type":
        "text", "text": "b"}]}], "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "stream": true, "stream_options":
        {"include_usage": true}, "logprobs": true, "top_logprobs": 2, "speculative_prefill": {"keep_rate": 0.5,
        "selection": "grid", "keep_spans": [[0, 2]]}}
        """#

    @Test("Any damage to a body is answered", arguments: [1, 2, 3, 4] as [UInt64])
    func damage(seed: UInt64) async throws {
        let service = try ScriptedService { $0.finish() }
        let splices = [
            "", "\"", "{", "}", "[", "]", ",", ":", "null", "-1", "1e400", "0.5", "true", "\\u0000", "\n", "💥", "[[[[",
        ]
        try await TestGateway.with(service) { gateway in
            var random = Random(state: seed)
            var accepted = 0
            for _ in 0..<100 {
                var damaged = Array(Self.body)
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let start = Int.random(in: 0..<damaged.count, using: &random)
                    let end = min(damaged.count, start + Int.random(in: 0...6, using: &random))
                    damaged.replaceSubrange(start..<end, with: splices.randomElement(using: &random) ?? "")
                }
                let body = String(damaged)
                let reply = try await gateway.chat(body)
                #expect([200, 400, 404].contains(reply.status), "\(body)\n\(reply.text)")
                if reply.status == 200 {
                    accepted += 1
                } else {
                    #expect(try reply.json["error"]?["message"]?.string?.isEmpty == false, "\(body)")
                }
            }
            // The damage was neither always fatal nor never.
            #expect(accepted < 100)
            #expect(try await gateway.chat(Self.body).status == 200)
        }
    }

    @Test("An error message repeats no more than a line of what was sent")
    func bounded() async throws {
        let service = try ScriptedService { $0.finish() }
        let long = String(repeating: "x", count: 100_000) + "\\n"
        try await TestGateway.with(service) { gateway in
            let bodies = [
                #"{"model": "\#(long)", "prompt": "x"}"#, #"{"model": "scripted", "\#(long)": 1}"#,
                #"{"model": "scripted", "prompt": "x", "speculative_prefill": {"selection": "a\nb\#(long)"}}"#,
            ]
            for body in bodies {
                let reply = try await gateway.complete(body)
                #expect(reply.text.utf8.count < 2000)
                #expect(!(try reply.json["error"]?["message"]?.string ?? "\n").contains("\n"))
            }
        }
    }
}
