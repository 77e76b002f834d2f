// Where the time of real requests went, as GET /metrics tells it.

import Foundation
import Testing

/// One reading of a metrics page: each series, labels included, with its value.
private struct Metrics {
    let values: [String: Double]

    init(_ client: Client) async throws {
        let reply = try await client.get("/metrics")
        let lines = String(decoding: reply.body, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        values = Dictionary(
            lines.compactMap { line in
                guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...])
                else { return nil }
                return (String(line[..<space]), value)
            }, uniquingKeysWith: { first, _ in first })
    }

    subscript(_ series: String) -> Double? { values[series] }

    /// The values of a family, by their labels.
    func family(_ name: String) -> [String: Double] { values.filter { $0.key.hasPrefix(name + "{") } }
}

extension EndToEnd {
    @Suite("Metrics", .timeLimit(.minutes(1)))
    struct MetricsTests {
        @Test func theyAccountForTheTimeOfRequests() async throws {
            let needle = try #require(try Needle.all("needle-1024").first)
            try await withCluster(.needle(stages: 2)) { _, _, client in
                let clock = ContinuousClock()
                let start = clock.now
                let none = try await Metrics(client)
                #expect(none.family("winnow_stage_busy_seconds_total").count == 2)
                #expect(none.family("winnow_stage_busy_seconds_total").values.allSatisfy { $0 == 0 })

                var ask = Ask(
                    prompt: .text(needle.prompt), maxTokens: 24, ignoreEos: true, speculativePrefill: .windows)
                let answer = try await client.complete(ask)
                let one = try await Metrics(client)
                let wall = start.duration(to: clock.now) / .seconds(1)
                let busy = one.family("winnow_stage_busy_seconds_total").values
                #expect(busy.count == 2 && busy.allSatisfy { $0 > 0 && $0 <= wall })
                #expect(one.family("winnow_stage_rows_total").values.allSatisfy { Int($0) == keptAndDecoded(answer) })
                #expect(one["winnow_requests_total{outcome=\"finished\"}"] == 1)
                #expect(one["winnow_prompt_tokens_total"] == answer.usage.map { Double($0.promptTokens) })
                #expect(one["winnow_kept_tokens_total"] == answer.speculativePrefill.map { Double($0.keptTokens) })
                #expect(one["winnow_generated_tokens_total"] == 24)
                #expect(one["winnow_speculator_prompts_total"] == 1)
                #expect(one["winnow_requests_running"] == 0)
                // Every phase was gone through once, and together they take no longer than all of it.
                let phases = one.family("winnow_phase_seconds_total").values
                #expect(phases.count == 4 && phases.allSatisfy { $0 > 0 } && phases.reduce(0, +) <= wall)
                #expect(one.family("winnow_phase_requests_total").values.allSatisfy { $0 == 1 })
                #expect(one.family("winnow_stage_threads").count == 2)
                #expect(one.family("winnow_pipeline_info").count == 2)

                ask.speculativePrefill = .dense
                _ = try await client.complete(ask)
                let two = try await Metrics(client)
                for (series, value) in one.values where series.contains("_total") {
                    #expect(two[series] ?? -1 >= value, "\(series)")
                }
                for (series, value) in one.family("winnow_stage_busy_seconds_total") {
                    #expect(two[series] ?? 0 > value)
                }
                #expect(two["winnow_speculator_prompts_total"] == 1)
                #expect(two["winnow_phase_requests_total{phase=\"prefill\"}"] == 2)
            }
        }

        /// Rows the pipeline computed for one whole answer: the last token is sampled and never fed.
        private func keptAndDecoded(_ answer: Completion) -> Int {
            (answer.speculativePrefill?.keptTokens ?? 0) + (answer.usage?.completionTokens ?? 0) - 1
        }
    }
}
