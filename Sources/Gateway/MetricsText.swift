// `GET /metrics`: the service's metrics under the names that dashboards and the load generator know them by.

import Coordinator
import Layers

extension ServiceMetrics {
    /// The body of the answer.
    func prometheusText(version: String) -> String {
        var text = PrometheusText()
        text.write(
            "winnow_build_info", .gauge, "The release that runs here.", [.init(.count(1), ["version": version])])
        writeRequests(to: &text)
        writePhases(to: &text)
        writeTimes(to: &text)
        writeTokens(to: &text)
        writeFaults(to: &text)
        writeStageSums(to: &text)
        writeStageLevels(to: &text)
        return text.text
    }

    private func writeRequests(to text: inout PrometheusText) {
        text.write(
            "winnow_requests_total", .counter, "Requests by how they ended; refused ones were never served.",
            Outcome.allCases.map { .init(.count(requests[$0] ?? 0), ["outcome": $0.rawValue]) })
        text.write(
            "winnow_requests_waiting", .gauge,
            "Requests that wait for the speculator or for room in the pipeline.", [.init(.count(waiting))])
        text.write(
            "winnow_requests_speculating", .gauge, "Requests whose prompt is being scored.",
            [.init(.count(speculating))])
        text.write(
            "winnow_requests_running", .gauge, "Requests in the pipeline, in prefill or decode.",
            [.init(.count(running))])
    }

    private func writePhases(to text: inout PrometheusText) {
        text.write(
            "winnow_phase_seconds_total", .counter,
            "Time that requests spent in each phase; the phases of a request share none.",
            Phase.allCases.map { .init(.time(phases[$0]?.time ?? .zero), ["phase": $0.rawValue]) })
        text.write(
            "winnow_phase_requests_total", .counter, "Requests that have left each phase.",
            Phase.allCases.map { .init(.count(phases[$0]?.requests ?? 0), ["phase": $0.rawValue]) })
    }

    private func writeTimes(to text: inout PrometheusText) {
        text.write(
            "winnow_time_to_first_token_seconds", "From a request's acceptance to its first token.", timeToFirstToken)
        text.write(
            "winnow_time_per_output_token_seconds",
            "Each request's mean time of a token after the first.", timePerOutputToken)
        text.write(
            "winnow_e2e_request_latency_seconds", "From a finished request's acceptance to its end.", endToEnd)
        text.write(
            "winnow_request_queue_time_seconds",
            "What each request waited for the speculator and for room, before its first rows left.", queueTime)
        text.write("winnow_speculation_time_seconds", "What it took to score each prompt.", speculationTime)
        text.write(
            "winnow_kept_share_ratio", "The share of each prompt that was kept; 1 where nothing was pruned.", keptShare)
    }

    private func writeFaults(to text: inout PrometheusText) {
        text.write(
            "winnow_replays_total", .counter, "Times a request went on elsewhere because its pipeline fell.",
            [.init(.count(replays))])
        text.write(
            "winnow_faults_total", .counter, "Faults of workers, links and pipelines.",
            faults.sorted { $0.key < $1.key }.map { .init(.count($0.value), ["kind": $0.key]) })
        text.write(
            "winnow_refused_connections_total", .counter, "Connections of strangers that were not let in.",
            Edge.allCases.flatMap { edge in
                (refusedConnections[edge] ?? [:]).sorted { $0.key < $1.key }.map { reason, count in
                    PrometheusText.Sample(.count(count), ["edge": edge.rawValue, "reason": reason])
                }
            })
    }

    private func writeTokens(to text: inout PrometheusText) {
        text.write(
            "winnow_prompt_tokens_total", .counter, "Prompt tokens, unpruned, of requests that went to the pipeline.",
            [.init(.count(promptTokens))])
        text.write(
            "winnow_kept_tokens_total", .counter, "Prompt tokens of the same requests that were kept.",
            [.init(.count(keptTokens))])
        text.write(
            "winnow_generated_tokens_total", .counter, "Tokens generated.", [.init(.count(generatedTokens))])
        text.write(
            "winnow_draft_tokens_total", .counter,
            "Tokens the speculator guessed ahead (speculative decoding), by whether they were the main model's.",
            [
                .init(.count(acceptedDrafts), ["outcome": "accepted"]),
                .init(.count(rejectedDrafts), ["outcome": "rejected"]),
            ])
        text.write(
            "winnow_speculator_busy_seconds_total", .counter,
            "Time the speculator spent on prompts, those given up included.", [.init(.time(speculatorBusy))])
        text.write(
            "winnow_speculator_prompts_total", .counter, "Prompts the speculator has scored.",
            [.init(.count(speculatorPrompts))])
    }

    private func writeStageSums(to text: inout PrometheusText) {
        text.write(
            "winnow_stage_busy_seconds_total", .counter,
            "Time a stage's worker spent computing the micro-batches that came out of the pipeline.",
            stages.map { $0.sample(.time($0.busy)) })
        text.write(
            "winnow_stage_active_seconds_total", .counter,
            "Time in which a stage's pipeline had something to do; what of it the stage was not busy is bubble.",
            stages.map { $0.sample(.time($0.active)) })
        text.write(
            "winnow_stage_wait_seconds_total", .counter, "Time that micro-batches waited at a stage.",
            stages.map { $0.sample(.time($0.wait)) })
        text.write(
            "winnow_stage_wire_seconds_total", .counter, "Time that micro-batches were on their way to a stage.",
            stages.map { $0.sample(.time($0.wire)) })
        text.write(
            "winnow_stage_micro_batches_total", .counter, "Micro-batches a stage's worker has computed.",
            stages.map { $0.sample(.count($0.microBatches)) })
        text.write(
            "winnow_stage_rows_total", .counter, "Token rows of those micro-batches.",
            stages.map { $0.sample(.count($0.rows)) })
    }

    private func writeStageLevels(to text: inout PrometheusText) {
        func levels(_ value: (Holding) -> Int?) -> [PrometheusText.Sample] {
            stages.compactMap { stage in
                stage.holding.flatMap(value).map { stage.sample(.count($0)) }
            }
        }
        text.write(
            "winnow_stage_threads", .gauge, "Compute threads of a standing stage's worker.", levels(\.threads))
        text.write(
            "winnow_kv_tokens_used", .gauge,
            "KV cache rows, one a token, that requests hold on a standing stage, as of its worker's last heartbeat.",
            levels(\.kvRowsUsed))
        text.write(
            "winnow_kv_tokens_budget", .gauge, "KV cache rows that requests may hold on a standing stage.",
            levels(\.kvRowsBudget))
        text.write(
            "winnow_kv_cache_usage_ratio", .gauge,
            "Share of the KV budget that is used, over all standing pipelines; 1 when none stands.",
            [.init(.number(kvUseOfAll))])
        text.write(
            "winnow_pipeline_kv_cache_usage_ratio", .gauge,
            "Share of its KV budget that a pipeline's fullest stage uses.",
            kvUse.sorted { $0.key < $1.key }.map { .init(.number($0.value), ["pipeline": "\($0.key)"]) })
        text.write(
            "winnow_pipeline_info", .gauge,
            "The layers of each standing stage, first and last; a part of one with a letter, as in 0-7a.",
            stages.compactMap { stage in
                guard let layers = stage.holding?.layers, !layers.isEmpty else { return nil }
                return .init(
                    .count(1),
                    [
                        "pipeline": "\(stage.pipeline)", "stage": "\(stage.stage)",
                        "layers": "\(layers)",
                    ])
            })
    }
}

extension Access {
    /// Who was turned away, and what keys have used; metrics of the gateway's own.
    var prometheusText: String {
        var text = PrometheusText()
        text.write(
            "winnow_http_refused_total", .counter, "HTTP clients that were turned away unheard.",
            refusals.totals.map { .init(.count($0.count), ["reason": $0.reason.rawValue]) })
        guard keys != nil else { return text.text }
        let totals = totals
        func samples(_ value: (KeyUse.Total) -> Int) -> [PrometheusText.Sample] {
            totals.map { .init(.count(value($0)), ["key": $0.name, "key_id": $0.id]) }
        }
        text.write("winnow_key_requests_total", .counter, "Requests of each API key.", samples(\.requests))
        text.write("winnow_key_requests_running", .gauge, "Of them, those being answered.", samples(\.running))
        text.write(
            "winnow_key_tokens_total", .counter, "Tokens of their prompts and answers.", samples(\.tokens))
        return text.text
    }
}

extension ServiceMetrics.Stage {
    fileprivate func sample(_ value: PrometheusText.Value) -> PrometheusText.Sample {
        .init(value, ["pipeline": "\(pipeline)", "stage": "\(stage)", "worker": worker])
    }
}
