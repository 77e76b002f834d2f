// One line per request, for whoever wants to look for themselves.

public import Foundation

/// Raw rows as JSON lines.
public enum RequestRows {
    private struct Row: Encodable {
        var mode: String
        var run: Int
        var offeredRate: Double
        var purpose: RunPurpose
        var index: Int
        var scheduledS: Double
        var sentS: Double
        var firstTokenS: Double?
        var endS: Double
        var ttftMs: Double?
        var tpotMs: Double?
        var e2eMs: Double
        var promptTokens: Int?
        var keptTokens: Int?
        var tokens: Int
        var firstTokens: Int
        var outcome: String
        var detail: String?
        var correct: Bool?
    }

    /// All requests of all runs. Times count from the start of the run, in seconds; latencies are in milliseconds.
    public static func text(_ modes: [CampaignModeResult]) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var data = Data()
        for mode in modes {
            for (number, run) in mode.runs.enumerated() {
                for record in run.result.records {
                    data += try encoder.encode(row(record, mode: mode.name, number, run))
                    data.append(UInt8(ascii: "\n"))
                }
            }
        }
        return data
    }

    private static func row(_ record: RequestRecord, mode: String, _ number: Int, _ run: CampaignRun) -> Row {
        let (outcome, detail): (String, String?) =
            switch record.outcome {
            case .completed: ("completed", nil)
            case .failed(let kind, let detail): (kind.rawValue, detail)
            case .interrupted: ("interrupted", nil)
            }
        return Row(
            mode: mode, run: number, offeredRate: run.step.rate, purpose: run.step.purpose, index: record.index,
            scheduledS: record.scheduled.seconds, sentS: record.sent.seconds, firstTokenS: record.firstToken?.seconds,
            endS: record.end.seconds, ttftMs: LatencySummary.milliseconds(record.timeToFirstToken),
            tpotMs: LatencySummary.milliseconds(record.timePerOutputToken),
            e2eMs: LatencySummary.rounded(record.endToEnd.milliseconds), promptTokens: record.promptTokens,
            keptTokens: record.report?.keptTokens, tokens: record.tokens, firstTokens: record.firstTokens,
            outcome: outcome, detail: detail,
            correct: record.isCorrect)
    }

    /// The latencies of all runs as an HdrHistogram log: one line per run and metric, tagged `MODE/METRIC`.
    public static func histogramLog(_ modes: [CampaignModeResult], startedAt: Date) -> String {
        var log = HistogramLog(
            startedAt: startedAt,
            comments: ["Latencies in microseconds, counted from the scheduled time; failed requests are left out."])
        var start = Duration.zero
        for mode in modes {
            for run in mode.runs {
                for metric in LatencyMetric.allCases {
                    let values = run.result.distribution(of: metric).sorted
                    guard !values.isEmpty else { continue }
                    let name = mode.name.replacing(" ", with: "-")
                    log.add(
                        tag: "\(name)/\(metric.rawValue)", start: start, length: run.result.span, values: values)
                }
                start += run.result.span
            }
        }
        return log.text
    }
}
