// A status as text for a terminal.

import Coordinator
import Foundation
import OutsideText

/// The lines of a status. Names of workers and requests come from outside and are shown as such.
struct StatusText {
    /// The most requests and faults that are listed; the page and the JSON have them all.
    private static let most = 10

    let lines: [String]

    init(_ status: FleetStatus, from address: String) {
        var lines = [
            "\(status.model.shown) at \(address), "
                + (status.notReady.map { "NOT READY: \($0.shown(upTo: 500))" } ?? "ready")
                + ", up for \(Self.time(status.uptimeSeconds)), winnow \(status.release.shown)",
            "requests      \(status.queue.waiting) waiting, \(status.queue.scoring) being scored, "
                + "\(status.queue.running) running",
            "last seconds  \(Self.number(status.rates.requests)) requests/s, "
                + "\(Self.number(status.rates.promptTokens)) prompt tokens/s, "
                + "\(Self.number(status.rates.keptTokens)) of them kept, "
                + "\(Self.number(status.rates.generatedTokens)) answer tokens/s",
        ]
        if let interval = status.history.last(where: { $0.ttftMedianSeconds != nil }),
            let median = interval.ttftMedianSeconds
        {
            lines.append(
                "first token   median \(Self.time(median)), p95 \(Self.time(interval.ttftP95Seconds ?? median)), "
                    + Self.ago(status.takenAt - interval.at))
        }
        for pipeline in status.pipelines { lines += [""] + Self.lines(pipeline, takenAt: status.takenAt) }
        if !status.speculators.isEmpty || !status.spares.isEmpty { lines.append("") }
        for one in status.speculators {
            let work = one.scoring.map { "scores \($0.shown)" } ?? "at rest"
            let busy =
                status.speculators.count == 1 ? ", busy \(Self.percent(min(1, status.speculatorsBusy)))" : ""
            lines.append("speculator \(one.name.shown): \(one.isReady ? work + busy : "not ready")")
        }
        for spare in status.spares {
            let state = spare.isLeaving ? "leaves" : spare.layers.map { "holds layers \($0.shown)" } ?? "holds nothing"
            lines.append("spare \(spare.role.shown) \(spare.worker.shown): \(state)")
        }
        if !status.faults.isEmpty {
            lines += ["", "faults of the last hour: \(status.faults.count)"]
            lines += status.faults.prefix(Self.most).map { fault in
                "  \(Self.ago(status.takenAt - fault.at)), \(fault.place.shown): \(fault.reason.shown(upTo: 300)) "
                    + "(\(fault.kind.shown))"
            }
        }
        if !status.requests.isEmpty {
            let rows = status.requests.prefix(Self.most).map { Self.row($0, takenAt: status.takenAt) }
            lines += [""]
            lines += Self.table(
                [["last requests", "", "state", "prompt", "kept", "answer", "first token", "in all"]] + rows)
        }
        self.lines = lines
    }

    private static func lines(_ pipeline: FleetStatus.Pipeline, takenAt: Double) -> [String] {
        var facts = pipeline.isStanding ? ["stands"] : ["DOWN: \((pipeline.reason ?? "").shown(upTo: 500))"]
        if let epoch = pipeline.epoch, let since = pipeline.since {
            facts.append("epoch \(epoch.shown) for \(time(max(0, takenAt - since)))")
        }
        if pipeline.isStanding {
            facts += [
                "\(pipeline.requests) in it, \(pipeline.decoding) in decode",
                "\(pipeline.queuedRows) prompt rows queued",
                "\(pipeline.rowsInFlight) rows under way", "\(number(pipeline.rowsPerSecond)) rows/s",
            ]
        }
        let rows = pipeline.stages.enumerated().map { index, stage in
            [
                "  \(index)", stage.worker.shown, stage.layers.shown,
                stage.threads > 0 ? "\(stage.threads)" : "?",
                stage.loaded < 1 ? "loading \(percent(stage.loaded))" : percent(stage.busy),
                "\(stage.kvRowsUsed) of \(stage.kvRows)", time(stage.computeSeconds), time(stage.waitSeconds),
                time(stage.wireSeconds), stage.slow.map { "SLOW: \($0.shown(upTo: 200))" } ?? "",
            ]
        }
        let heads = ["  stage", "worker", "layers", "threads", "busy", "KV rows", "computes", "waits", "wire", ""]
        return ["pipeline \(pipeline.name.shown): " + facts.joined(separator: "; ")]
            + (rows.isEmpty ? [] : table([heads] + rows))
    }

    private static func row(_ request: FleetStatus.Request, takenAt: Double) -> [String] {
        var state = request.state.rawValue
        if let end = request.end, end != state { state += " (\(end.shown))" }
        if request.replays > 0 { state += ", \(request.replays) replayed" }
        let kept = request.keptTokens.map { "\($0) (\(percent(Double($0) / Double(max(1, request.promptTokens)))))" }
        return [
            "  \(request.id.shown)", ago(takenAt - request.at), state, "\(request.promptTokens)", kept ?? "-",
            "\(request.generatedTokens)", request.ttftSeconds.map(time) ?? "-", request.seconds.map(time) ?? "-",
        ]
    }

    /// Columns as wide as their widest cell.
    private static func table(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(
                separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }

    private static func ago(_ seconds: Double) -> String {
        seconds < 100 ? "\(Int(max(0, seconds))) s ago" : "\(time(seconds)) ago"
    }

    private static func percent(_ share: Double) -> String { String(format: "%.0f %%", share * 100) }

    private static func number(_ value: Double) -> String { String(format: value < 10 ? "%.2g" : "%.0f", value) }

    private static func time(_ seconds: Double) -> String {
        switch seconds {
        case ..<0.00005: "0 ms"
        case ..<0.00995: String(format: "%.1f ms", seconds * 1000)
        case ..<1: String(format: "%.0f ms", seconds * 1000)
        case ..<100: String(format: "%.1f s", seconds)
        case ..<6000: String(format: "%.0f min", seconds / 60)
        case ..<172_800: String(format: "%.0f h", seconds / 3600)
        default: String(format: "%.0f d", seconds / 86_400)
        }
    }
}
