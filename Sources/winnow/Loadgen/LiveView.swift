// What is seen while `winnow loadgen` measures.

import Foundation
import LoadGenerator

/// A few lines on standard error that are written over and over; nothing at all when that is no terminal.
struct LiveView {
    /// How often it is drawn anew.
    private static let interval = Duration.milliseconds(250)

    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let campaign: Campaign

    init(_ campaign: Campaign) {
        self.campaign = campaign
    }

    /// Draws until the task is cancelled, then removes what it drew.
    func show() async {
        guard isTerminal else { return }
        var drawn = 0
        while !Task.isCancelled {
            let lines = Self.lines(campaign.progress, width: Self.width)
            Self.write(Self.erasing(drawn) + lines.joined(separator: "\n") + "\n")
            drawn = lines.count
            try? await Task.sleep(for: Self.interval)
        }
        Self.write(Self.erasing(drawn))
    }

    private static func write(_ text: String) { Console.draw(text) }

    private static func erasing(_ lines: Int) -> String { lines == 0 ? "" : "\u{1B}[\(lines)A\u{1B}[J" }

    private static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20 ? Int(size.ws_col) - 1 : 79
    }

    /// The lines of a moment; also for tests.
    static func lines(_ progress: CampaignProgress, width: Int) -> [String] {
        var first = "\(progress.mode)  \(progress.activity)"
        if let step = progress.step, step.rate > 0 { first += " at \(number(step.rate))/s" }
        if let remaining = progress.remaining { first += "  about \(text(remaining)) left" }
        guard let run = progress.run else { return [String(first.prefix(width))] }
        let seconds = max(run.elapsed.inSeconds, 1e-3)
        let total = run.scheduled.map { "/\($0)" } ?? ""
        let failed = run.failed.sorted { $0.key.rawValue < $1.key.rawValue }.map { kind, count in
            "\(count) \(kind.rawValue.replacing("_", with: " "))"
        }
        let lines = [
            first,
            "  sent \(run.sent)\(total)  done \(run.completed)  in flight \(run.open)  failed \(failed.isEmpty ? "0" : failed.joined(separator: ", "))",
            "  asked \(number(Double(run.sent) / seconds))/s  achieved \(number(Double(run.completed) / seconds))/s",
            "  TTFT \(percentiles(run.timesToFirstToken))   TPOT \(percentiles(run.timesPerOutputToken))",
        ]
        let promises = progress.objectives.map(\.name).joined(separator: ", ")
        return (promises.isEmpty ? lines : lines + ["  promised \(promises)"]).map { String($0.prefix(width)) }
    }

    private static func percentiles(_ latencies: LatencyDistribution) -> String {
        let values = [("p50", Percentile.p50), ("p90", .p90), ("p99", .p99)].map { name, percentile in
            "\(name) \(latencies.quantile(percentile).map(text) ?? "-")"
        }
        return values.joined(separator: " ")
    }

    private static func text(_ duration: Duration) -> String {
        let seconds = duration.inSeconds
        return switch seconds {
        case ..<1: String(format: "%.0f ms", seconds * 1000)
        case ..<90: String(format: "%.1f s", seconds)
        case ..<5400: String(format: "%.0f min", seconds / 60)
        default: String(format: "%.1f h", seconds / 3600)
        }
    }

    private static func number(_ value: Double) -> String { String(format: "%.3g", value) }
}

extension Duration {
    fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
