// The paper's way to a maximal QPS, so that its table can be put side by side.

/// Speculative Prefill (arXiv 2502.02789), evaluation of end-to-end QPS, as its published scripts do it: requests at equal
/// gaps, a ladder of rates, the mean end-to-end latency, and a rate fails when more than four requests time out.
public enum PaperRule {
    /// Time-outs a rate survives.
    public static let allowedTimeouts = 4
    /// Requests a rate: four data sets of 32.
    public static let requests = 128
    /// Rest between rates.
    public static let pause = Duration.seconds(10)

    /// Where a rate lies on the curve of the mean latency.
    public enum Regime: String, Sendable, Codable {
        /// Requests hardly wait: the latency is that of the lowest rate.
        case constant
        /// They queue: the latency rises with the rate, and with the length of the run.
        case rising
        /// More of them time out than the rule allows.
        case timeout
    }

    /// Up to this multiple of the lowest rate's mean latency counts as constant.
    public static let constantLimit = 1.25

    /// Whether a run fails by the rule, and why; a failure of another kind counts as a time-out.
    public static func problem(_ result: RunResult) -> String? {
        let failures = result.measured.count { $0.outcome != .completed }
        if failures > 0, failures == result.measured.count { return "none of \(failures) requests was answered" }
        guard failures > allowedTimeouts else { return nil }
        return
            "\(failures) of \(result.measured.count) requests timed out or failed: the rule allows \(allowedTimeouts)"
    }

    /// The regime of each rung, by ascending rate.
    ///
    /// - Parameter rungs: the mean E2E of those that were answered, and whether the rung passed.
    public static func regimes(_ rungs: [(mean: Duration?, passed: Bool)]) -> [Regime] {
        let lowest = rungs.first { $0.passed }?.mean
        return rungs.map { rung in
            guard rung.passed else { return .timeout }
            guard let lowest, let mean = rung.mean else { return .constant }
            return mean <= lowest * constantLimit ? .constant : .rising
        }
    }
}

extension Judgement {
    /// Judges a run by the paper's rule. A rung that passes is not a proof: the paper asks for none.
    public init(paper result: RunResult, maximumLateness: Duration? = nil) {
        let health = GeneratorHealth(result, maximumLateness: maximumLateness)
        if let bottleneck = health.bottleneck {
            self.init(verdict: .invalid, reasons: [bottleneck], result)
        } else if let problem = PaperRule.problem(result) {
            self.init(verdict: .missed, reasons: [problem], result)
        } else if result.ending != .complete {
            self.init(
                verdict: .interrupted, reasons: ["ended after \(result.records.count) of \(result.planned) requests"],
                result)
        } else {
            self.init(verdict: .valid, reasons: [], result)
        }
    }

    private init(verdict: Verdict, reasons: [String], _ result: RunResult) {
        self.verdict = verdict
        self.reasons = reasons
        objectives = []
        goodput = Double(result.measured.count { $0.outcome == .completed }) / max(result.span.seconds, 1e-9)
    }
}
