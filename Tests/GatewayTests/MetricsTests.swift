// What GET /metrics says, line by line.

import Coordinator
import Layers
import Testing

@Suite("Metrics page", .timeLimit(.minutes(1)))
struct MetricsTests {
    private func page(_ metrics: ServiceMetrics) async throws -> Reply {
        let service = try ScriptedService()
        service.set(metrics)
        let (replies, continuation) = AsyncStream<Reply>.makeStream()
        try await TestGateway.with(service) { continuation.yield(try await $0.get("/metrics")) }
        return try #require(await replies.first())
    }

    @Test("A service that has done nothing shows every family that needs no stage")
    func fresh() async throws {
        let reply = try await page(ServiceMetrics())
        #expect(reply.status == 200)
        #expect(reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        #expect(reply.text.hasSuffix("\n") && !reply.text.contains("\n\n"))
        let lines = reply.text.split(separator: "\n").map(String.init)
        let expected =
            [
                #"winnow_build_info{version="unknown"} 1"#, #"winnow_requests_total{outcome="finished"} 0"#,
                #"winnow_requests_total{outcome="failed"} 0"#, #"winnow_requests_total{outcome="cancelled"} 0"#,
                #"winnow_requests_total{outcome="refused"} 0"#, "winnow_requests_waiting 0",
                "winnow_requests_speculating 0", "winnow_requests_running 0",
                #"winnow_phase_seconds_total{phase="queue"} 0.0"#,
                #"winnow_phase_seconds_total{phase="speculate"} 0.0"#,
                #"winnow_phase_seconds_total{phase="prefill"} 0.0"#, #"winnow_phase_seconds_total{phase="decode"} 0.0"#,
                #"winnow_phase_requests_total{phase="queue"} 0"#, #"winnow_phase_requests_total{phase="speculate"} 0"#,
                #"winnow_phase_requests_total{phase="prefill"} 0"#, #"winnow_phase_requests_total{phase="decode"} 0"#,
                "winnow_prompt_tokens_total 0", "winnow_kept_tokens_total 0", "winnow_generated_tokens_total 0",
                #"winnow_draft_tokens_total{outcome="accepted"} 0"#,
                #"winnow_draft_tokens_total{outcome="rejected"} 0"#,
                "winnow_speculator_busy_seconds_total 0.0", "winnow_speculator_prompts_total 0",
                "winnow_replays_total 0",
            ]
            + ["control", "results", "data"].flatMap { edge in
                [
                    "flood", "forged", "left", "malformed", "misplaced", "no_key", "other_user", "revoked", "slow",
                    "unknown_key", "unknown_name",
                ].map { "winnow_refused_connections_total{edge=\"\(edge)\",reason=\"\($0)\"} 0" }
            } + [
                "winnow_kv_cache_usage_ratio 1.0"
            ]
            + [
                "no_key", "wrong_key", "expired_key", "forbidden", "rate_limit", "connections", "bad_http", "slow_head",
                "slow_body", "slow_reader", "tls_handshake", "slow_tls_handshake", "many_tls_handshakes",
            ].map { "winnow_http_refused_total{reason=\"\($0)\"} 0" }
        let samples = lines.filter { !$0.hasPrefix("#") }
        #expect(
            samples.filter { !$0.contains("_bucket{") && !$0.hasSuffix("_sum 0.0") && !$0.hasSuffix("_count 0") }
                == expected)
        for family in [
            "time_to_first_token_seconds", "time_per_output_token_seconds", "e2e_request_latency_seconds",
            "request_queue_time_seconds", "speculation_time_seconds", "kept_share_ratio",
        ] {
            #expect(lines.contains("# TYPE winnow_\(family) histogram"))
            #expect(samples.contains("winnow_\(family)_bucket{le=\"+Inf\"} 0"))
            #expect(samples.contains("winnow_\(family)_sum 0.0") && samples.contains("winnow_\(family)_count 0"))
        }
    }

    @Test("Every family says what it is, and counters are named as such")
    func heads() async throws {
        let lines = try await page(ServiceMetrics()).text.split(separator: "\n").map(String.init)
        let heads = lines.filter { $0.hasPrefix("# HELP ") }.map { $0.split(separator: " ", maxSplits: 3) }
        let types = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ") }
        #expect(heads.map { $0[2] } == types.map { $0[2] })
        #expect(Set(heads.map { $0[2] }).count == heads.count && heads.allSatisfy { $0.count == 4 })
        for type in types { #expect((type[3] == "counter") == type[2].hasSuffix("_total"), "\(type)") }
    }

    @Test("A histogram's buckets add up, and its last holds all")
    func histogram() async throws {
        var metrics = ServiceMetrics()
        for share in [0.125, 0.125, 0.25, 1] { metrics.keptShare.record(share) }
        let lines = try await page(metrics).text.split(separator: "\n").map(String.init)
        let counts = [
            ("0.025", 0), ("0.05", 0), ("0.1", 0), ("0.15", 2), ("0.2", 2), ("0.3", 3), ("0.4", 3), ("0.5", 3),
            ("0.6", 3), ("0.7", 3), ("0.8", 3), ("0.9", 3), ("1.0", 4), ("+Inf", 4),
        ]
        let buckets = counts.map { "winnow_kept_share_ratio_bucket{le=\"\($0)\"} \($1)" }
        #expect(
            lines.filter { $0.hasPrefix("winnow_kept_share_ratio") }
                == buckets + ["winnow_kept_share_ratio_sum 1.5", "winnow_kept_share_ratio_count 4"])
    }

    @Test("Faults by kind, and KV use by pipeline and of all")
    func faultsAndUse() async throws {
        var metrics = ServiceMetrics()
        metrics.replays = 3
        metrics.faults = ["silence": 2, "connection_closed": 1]
        var first = ServiceMetrics.Stage(pipeline: 0, stage: 0, worker: "a")
        first.holding = .init(layers: LayerSpan(0..<8), threads: 2, kvRowsUsed: 25, kvRowsBudget: 100)
        var second = ServiceMetrics.Stage(pipeline: 1, stage: 0, worker: "b")
        second.holding = .init(layers: LayerSpan(0..<8), threads: 2, kvRowsUsed: 75, kvRowsBudget: 100)
        metrics.stages = [first, second]
        let lines = try await page(metrics).text.split(separator: "\n").map(String.init)
        #expect(
            lines.filter { $0.hasPrefix("winnow_faults") || $0.hasPrefix("winnow_replays") } == [
                "winnow_replays_total 3", #"winnow_faults_total{kind="connection_closed"} 1"#,
                #"winnow_faults_total{kind="silence"} 2"#,
            ])
        #expect(
            lines.filter { $0.contains("cache_usage_ratio") && !$0.hasPrefix("#") } == [
                "winnow_kv_cache_usage_ratio 0.5", #"winnow_pipeline_kv_cache_usage_ratio{pipeline="0"} 0.25"#,
                #"winnow_pipeline_kv_cache_usage_ratio{pipeline="1"} 0.75"#,
            ])
    }

    @Test("Stages carry their labels; one that is gone has sums alone")
    func stages() async throws {
        var metrics = ServiceMetrics()
        var first = ServiceMetrics.Stage(pipeline: 0, stage: 0, worker: #"say "hi" \o/"# + "\nnow")
        first.busy = .milliseconds(1250)
        first.active = .milliseconds(2500)
        first.wait = .milliseconds(500)
        first.wire = .milliseconds(250)
        first.microBatches = 7
        first.rows = 900
        first.holding = .init(layers: LayerSpan(sublayers: 0..<15), threads: 2, kvRowsUsed: 40, kvRowsBudget: 1000)
        var gone = ServiceMetrics.Stage(pipeline: 0, stage: 1, worker: "w1")
        gone.busy = .microseconds(3)
        var silent = ServiceMetrics.Stage(pipeline: 0, stage: 1, worker: "w2")
        silent.holding = .init(layers: LayerSpan(sublayers: 15..<18), threads: nil, kvRowsBudget: 1000)
        metrics.stages = [first, gone, silent]
        metrics.phases[.prefill] = .init(time: .seconds(2), requests: 3)
        metrics.requests[.failed] = 5
        let text = try await page(metrics).text
        let lines = text.split(separator: "\n").filter { $0.contains("{pipeline") }.map(String.init)
        let hi = #"{pipeline="0",stage="0",worker="say \"hi\" \\o/\nnow"}"#
        let one = #"{pipeline="0",stage="1",worker="w1"}"#
        let two = #"{pipeline="0",stage="1",worker="w2"}"#
        #expect(
            lines == [
                "winnow_stage_busy_seconds_total\(hi) 1.25", "winnow_stage_busy_seconds_total\(one) 3e-06",
                "winnow_stage_busy_seconds_total\(two) 0.0",
                "winnow_stage_active_seconds_total\(hi) 2.5", "winnow_stage_active_seconds_total\(one) 0.0",
                "winnow_stage_active_seconds_total\(two) 0.0",
                "winnow_stage_wait_seconds_total\(hi) 0.5", "winnow_stage_wait_seconds_total\(one) 0.0",
                "winnow_stage_wait_seconds_total\(two) 0.0",
                "winnow_stage_wire_seconds_total\(hi) 0.25", "winnow_stage_wire_seconds_total\(one) 0.0",
                "winnow_stage_wire_seconds_total\(two) 0.0",
                "winnow_stage_micro_batches_total\(hi) 7", "winnow_stage_micro_batches_total\(one) 0",
                "winnow_stage_micro_batches_total\(two) 0",
                "winnow_stage_rows_total\(hi) 900", "winnow_stage_rows_total\(one) 0",
                "winnow_stage_rows_total\(two) 0",
                "winnow_stage_threads\(hi) 2",
                "winnow_kv_tokens_used\(hi) 40", "winnow_kv_tokens_used\(two) 0",
                "winnow_kv_tokens_budget\(hi) 1000", "winnow_kv_tokens_budget\(two) 1000",
                #"winnow_pipeline_kv_cache_usage_ratio{pipeline="0"} 0.04"#,
                #"winnow_pipeline_info{pipeline="0",stage="0",layers="0-7a"} 1"#,
                #"winnow_pipeline_info{pipeline="0",stage="1",layers="7f-8"} 1"#,
            ])
        #expect(text.contains("\nwinnow_phase_seconds_total{phase=\"prefill\"} 2.0\n"))
        #expect(text.contains("\nwinnow_requests_total{outcome=\"failed\"} 5\n"))
    }

    @Test("Like health: for GET and HEAD, ready or not")
    func methods() async throws {
        let service = try ScriptedService()
        service.set(.notReady(reason: "no worker"))
        try await TestGateway.with(service) { gateway in
            #expect(try await gateway.get("/metrics").status == 200)
            #expect(try await gateway.get("/metrics", head: true).text == "")
            let wrong = try await gateway.post("/metrics", "{}")
            #expect(wrong.status == 405 && wrong.headers["allow"] == "GET, HEAD")
        }
    }
}
