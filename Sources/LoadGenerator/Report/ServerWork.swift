// Where a server's time went during a run, from what it counts about itself.

/// The work of one part of a server during a run.
public struct PartWork: Codable, Sendable, Equatable {
    /// `speculator`, or `stage 0` with its worker.
    public var name: String
    /// The share of the run's time it was busy, 0...1.
    public var busyShare: Double
    /// Busy time per second.
    public var busyS: Double
    /// What it worked on, in words.
    public var detail: String
}

/// Where a winnow server's time went.
public struct ServerWork: Codable, Sendable, Equatable {
    /// The speculator and the stages, in the order of a request's way.
    public var parts: [PartWork]
    /// Seconds an average request spent in each phase: queue, speculate, prefill, decode.
    public var phaseS: [String: Double]
    /// One sentence that names the part that limits the rate.
    public var bottleneck: String

    /// A part this busy has no more to give.
    private static let full = 0.85

    /// Takes the difference of two scrapes.
    ///
    /// - Parameter seconds: between them.
    /// - Returns: nil when the server does not count its stages.
    public init?(before: ServerCounters, after: ServerCounters, seconds: Double) {
        guard seconds > 0 else { return nil }
        let old = Self.index(before)
        func grown(_ sample: ServerCounters.Sample, as name: String? = nil) -> Double {
            let now =
                name.map { name in
                    after.named(name).first { $0.labels == sample.labels }?.value ?? 0
                } ?? sample.value
            return max(0, now - (old[Self.key(name ?? sample.name, sample.labels)] ?? 0))
        }
        var parts: [PartWork] = []
        for sample in after.named("winnow_speculator_busy_seconds_total") {
            let busy = grown(sample)
            let prompts = Int(grown(sample, as: "winnow_speculator_prompts_total"))
            guard busy > 0 || prompts > 0 else { continue }
            parts.append(
                PartWork(
                    name: "speculator", busyShare: Self.share(busy, seconds), busyS: LatencySummary.rounded(busy),
                    detail: "\(prompts) prompts"))
        }
        let stages = after.named("winnow_stage_busy_seconds_total").sorted { left, right in
            Self.place(left) < Self.place(right)
        }
        let isReplicated = Set(stages.map { $0.labels["pipeline"] ?? "" }).count > 1
        for sample in stages {
            let busy = grown(sample)
            let rows = Int(grown(sample, as: "winnow_stage_rows_total"))
            let batches = Int(grown(sample, as: "winnow_stage_micro_batches_total"))
            let pipeline = isReplicated ? "pipeline \(sample.labels["pipeline"] ?? "?") " : ""
            parts.append(
                PartWork(
                    name: "\(pipeline)stage \(sample.labels["stage"] ?? "?")",
                    busyShare: Self.share(busy, seconds), busyS: LatencySummary.rounded(busy),
                    detail: "\(rows) rows in \(batches) micro-batches"))
        }
        guard !stages.isEmpty else { return nil }
        self.parts = parts
        phaseS = [:]
        for sample in after.named("winnow_phase_seconds_total") {
            let requests = grown(sample, as: "winnow_phase_requests_total")
            guard let phase = sample.labels["phase"], requests > 0 else { continue }
            phaseS[phase] = LatencySummary.rounded(grown(sample) / requests)
        }
        bottleneck = Self.sentence(parts)
    }

    private static func sentence(_ parts: [PartWork]) -> String {
        guard let busiest = parts.max(by: { $0.busyShare < $1.busyShare }) else { return "" }
        let share = Share.percent(busiest.busyShare)
        if busiest.busyShare >= full { return "\(title(busiest)) is the bottleneck: busy \(share) of the time" }
        let all = parts.reduce(0) { $0 + $1.busyShare }
        return "no part is busy all the time: \(title(busiest)) is the busiest with \(share), all together "
            + "\(RateText.number(all)) of \(parts.count)"
    }

    /// There is one speculator; a stage has a number.
    private static func title(_ part: PartWork) -> String { part.name == "speculator" ? "the speculator" : part.name }

    private static func share(_ busy: Double, _ seconds: Double) -> Double {
        (min(1, busy / seconds) * 1e4).rounded() / 1e4
    }

    private static func place(_ sample: ServerCounters.Sample) -> String {
        let stage = Int(sample.labels["stage"] ?? "") ?? 0
        return "\(sample.labels["pipeline"] ?? "") \(1_000_000 + max(0, min(stage, 999_999)))"
    }

    private static func index(_ counters: ServerCounters) -> [String: Double] {
        counters.samples.reduce(into: [:]) { $0[key($1.name, $1.labels)] = $1.value }
    }

    private static func key(_ name: String, _ labels: [String: String]) -> String {
        name + labels.sorted { $0.key < $1.key }.map { "\u{0}\($0.key)\u{1}\($0.value)" }.joined()
    }
}
