// The latencies of a run one by one, as they go into reports.

/// Latencies in schedule order, in milliseconds; `null` is a miss. All of them: a percentile of every tenth request is not
/// the percentile of the run.
public struct SeriesSummary: Codable, Sendable, Equatable {
    /// TTFT.
    public var ttftMs: [Double?]
    /// TPOT.
    public var tpotMs: [Double?]
    /// E2E.
    public var e2eMs: [Double?]

    /// - Parameter result: nil keeps none.
    init(_ result: RunResult?) {
        ttftMs = result?.series(of: .ttft).map(LatencySummary.milliseconds) ?? []
        tpotMs = result?.series(of: .tpot).map(LatencySummary.milliseconds) ?? []
        e2eMs = result?.series(of: .e2e).map(LatencySummary.milliseconds) ?? []
    }

    /// One after the other.
    init(_ all: [SeriesSummary]) {
        ttftMs = all.flatMap(\.ttftMs)
        tpotMs = all.flatMap(\.tpotMs)
        e2eMs = all.flatMap(\.e2eMs)
    }
}
