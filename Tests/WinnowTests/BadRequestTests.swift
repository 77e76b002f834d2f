// Bad requests to a live cluster: each is told what is wrong, and no good one notices.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Bad requests", .timeLimit(.minutes(2)))
    struct BadRequestTests {
        /// A request body and what must be said about it.
        struct Case: Sendable {
            var body: String
            var status = 400
            var field: String?
            var code: String?
            var path = "/v1/completions"

            init(
                _ body: String, status: Int = 400, field: String?, code: String? = nil, path: String = "/v1/completions"
            ) {
                self.body = body
                self.status = status
                self.field = field
                self.code = code
                self.path = path
            }

            /// A completion that is right but for these fields.
            static func fields(_ fields: String, field: String, code: String? = nil) -> Case {
                let prompt = fields.contains(#""prompt""#) ? "" : #""prompt": "Once", "#
                return Case(#"{"model": "needle-main-2m", \#(prompt)\#(fields)}"#, field: field, code: code)
            }

            /// A completion that is right but for `speculative_prefill`.
            static func pruning(_ object: String, field: String) -> Case {
                fields(#""speculative_prefill": \#(object)"#, field: field)
            }
        }

        private static let manyTokens = Array(repeating: "5", count: 2048).joined(separator: ",")
        private static let manyWords = String(repeating: "whale ", count: 3000)

        static let prompts: [Case] = [
            .fields(#""prompt": """#, field: "prompt"),
            .fields(#""prompt": []"#, field: "prompt"),
            .fields(#""prompt": [\#(manyTokens)]"#, field: "prompt", code: "context_length_exceeded"),
            .fields(#""prompt": "\#(manyWords)""#, field: "prompt", code: "context_length_exceeded"),
            .fields(#""max_tokens": 5000"#, field: "prompt", code: "context_length_exceeded"),
            .fields(#""prompt": [7, -1]"#, field: "prompt[1]"),
            .fields(#""prompt": [7, 8, 2048]"#, field: "prompt[2]"),
            .fields(#""prompt": [99999999999]"#, field: "prompt[0]"),
            .fields(#""prompt": 7"#, field: "prompt"),
        ]
        static let pruning: [Case] = [
            .pruning(#"{"keep_rate": 0}"#, field: "speculative_prefill.keep_rate"),
            .pruning(#"{"keep_rate": -0.1}"#, field: "speculative_prefill.keep_rate"),
            .pruning(#"{"keep_rate": 1.5}"#, field: "speculative_prefill.keep_rate"),
            .pruning(#"{"keep_rate": "NaN"}"#, field: "speculative_prefill.keep_rate"),
            .pruning(#"{"keep_rate": 1e999}"#, field: "speculative_prefill.keep_rate"),
            .pruning(#"{"look_ahead": 0}"#, field: "speculative_prefill.look_ahead"),
            .pruning(#"{"pool": 4}"#, field: "speculative_prefill.pool"),
            .pruning(#"{"tail": -1}"#, field: "speculative_prefill.tail"),
            .pruning(#"{"selection": "best"}"#, field: "speculative_prefill.selection"),
            .pruning(#"{"speed": 9}"#, field: "speculative_prefill.speed"),
            .pruning(#"{"keep_spans": [[0, 9999]]}"#, field: "speculative_prefill.keep_spans[0]"),
            .pruning("7", field: "speculative_prefill"),
        ]
        static let other: [Case] = [
            Case(
                #"{"model": "gpt-4", "prompt": "Once"}"#, status: 404, field: "model", code: "model_not_found"),
            Case(#"{"prompt": "Once"}"#, field: "model"),
            Case(#"{"model": "needle-main-2m", "prompt": "On"#, field: nil, code: "invalid_json"),
            Case(
                #"{"model": "needle-main-2m", "prompt": "Once", "temperature": NaN}"#, field: nil, code: "invalid_json"),
            Case(
                #"{"model": "needle-main-2m", "prompt": "Once", "speculative_prefill": {"keep_rate": NaN}}"#,
                field: nil,
                code: "invalid_json"),
            Case("", field: nil, code: "invalid_json"),
            Case(String(repeating: "[", count: 50_000), field: nil, code: "invalid_json"),
            Case("[]", field: "The request body"),
            .fields(#""max_tokens": 0"#, field: "max_tokens"),
            .fields(#""max_tokens": -1"#, field: "max_tokens"),
            .fields(#""max_tokens": "many""#, field: "max_tokens"),
            .fields(#""temperature": "hot""#, field: "temperature"),
            .fields(#""temperature": -1"#, field: "temperature"),
            .fields(#""top_p": 1.5"#, field: "top_p"),
            .fields(#""stream": 1"#, field: "stream"),
            .fields(#""stop": 5"#, field: "stop"),
            .fields(#""n": 0"#, field: "n"),
            .fields(#""temprature": 0"#, field: "temprature"),
            Case(
                #"{"model": "needle-main-2m", "messages": []}"#, field: "messages", path: "/v1/chat/completions"),
            Case("{}", status: 404, field: nil, code: "unknown_url", path: "/v1/complete"),
        ]

        @Test func eachIsAnsweredAndNobodySuffers() async throws {
            let needle = try #require(try Needle.all("needle-1024").first)
            try await withCluster(.needle(stages: 3)) { cluster, workers, client in
                let right = try await client.complete(needle.ask(.windows)).text
                #expect(right.contains(needle.answer))
                // Good requests go on all the while.
                async let good = concurrently(Array(0..<24), width: 3) { index in
                    try await client.complete(needle.ask(index % 4 == 0 ? .dense : .windows)).text
                }
                let cases = Self.prompts + Self.pruning + Self.other
                _ = try await concurrently(cases, width: 4) { bad in
                    let reply = try await client.post(Data(bad.body.utf8), to: bad.path)
                    let problem = try reply.decoded(Completion.self).error
                    let name = bad.body.prefix(120)
                    #expect(reply.status == bad.status, "\(name)")
                    #expect(problem?.param == bad.field, "\(name)")
                    #expect(problem?.message.isEmpty == false, "\(name)")
                    if let code = bad.code { #expect(problem?.code == code, "\(name)") }
                }
                for (index, text) in try await good.enumerated() where index % 4 != 0 { #expect(text == right) }
                // A body that is no text at all.
                let reply = try await client.post(Data([0xFF, 0xFE, 0x00]))
                #expect(reply.status == 400)
                #expect(try await client.complete(needle.ask(.windows)).text == right)
                #expect(try await client.get("/health/ready").status == 200)
            }
        }
    }
}
