// Ratios between two modes or two reports, with how far they can be trusted.

/// Compares measurements.
public enum Comparison {
    /// The confidence of an interval, 0...1.
    public static let confidence = 0.95

    /// The ratios of one mode over another: the maximal rate, then the median and p99 of each latency in the runs that decided.
    ///
    /// Only what was proved is compared. The interval of the maximal rate spans from the confirmed rates to the lowest broken ones; where the base has only
    /// rates that are too much, the ratio to the lowest that was proved to be, at the `proof` asked for, is what it is at
    /// least. Those of latencies are
    /// bootstrapped over blocks of neighbouring requests (Künsch 1989), because a queue makes neighbours alike.
    /// Latencies at different rates are not compared.
    public static func modes(
        _ mode: ModeSummary, against base: ModeSummary, seed: UInt64, proof: Double = 0.99,
        names: (String, String)? = nil
    ) -> [ComparisonSummary] {
        let (of, against) = names ?? (mode.name, base.name)
        var comparisons: [ComparisonSummary] = []
        if let rate = mode.provedMaximum, let baseRate = base.provedMaximum, baseRate > 0 {
            comparisons.append(
                ComparisonSummary(
                    what: "maximal QPS", of: of, against: against, ratio: rate / baseRate,
                    low: base.maxQpsBroken.map { rate / $0 }, high: mode.maxQpsBroken.map { $0 / baseRate }))
        } else if let rate = mode.provedMaximum, let broken = base.lowestRateProvedBroken(confidence: proof), broken > 0
        {
            comparisons.append(
                ComparisonSummary(
                    what: "maximal QPS, at least", of: of, against: against, ratio: rate / broken, low: rate / broken,
                    high: nil))
        }
        if let unloaded = mode.unloadedTtftMs, let other = base.unloadedTtftMs, other > 0 {
            comparisons.append(
                ComparisonSummary(
                    what: "unloaded TTFT", of: of, against: against, ratio: unloaded / other, low: nil, high: nil))
        }
        guard let run = mode.headlineRun, let other = base.headlineRun, isSameLoad(run, other),
            mode.isComparable, base.isComparable
        else {
            return comparisons
        }
        let (series, baseSeries) = (mode.decidingSeries, base.decidingSeries)
        let latencies = [
            ("TTFT", series.ttftMs, baseSeries.ttftMs), ("TPOT", series.tpotMs, baseSeries.tpotMs),
            ("E2E", series.e2eMs, baseSeries.e2eMs),
        ]
        let percentiles = [Percentile.p50, .p99]
        for (name, one, two) in latencies {
            let ratios = BlockBootstrap.ratios(one, two, percentiles, confidence: confidence, seed: seed)
            for (percentile, ratio) in zip(percentiles, ratios) {
                guard let ratio else { continue }
                comparisons.append(
                    ComparisonSummary(
                        what: "\(name) \(percentile.name)", of: of, against: against, ratio: ratio.value,
                        low: ratio.low, high: ratio.high))
            }
        }
        return comparisons
    }

    /// The modes of one report against those of another.
    ///
    /// - Parameters:
    ///   - base: what is compared with.
    ///   - names: of the files, for the text: base, other.
    /// - Throws: a prompts error when no two modes belong together, or nothing about them can be compared.
    public static func files(
        _ base: MeasurementFile, _ other: MeasurementFile, names: (String, String)
    ) throws(LoadGeneratorError) -> [ComparisonSummary] {
        let isLone = base.modes.count == 1 && other.modes.count == 1
        var comparisons: [ComparisonSummary] = []
        var hasPair = false
        for mode in other.modes {
            let same = base.modes.first { $0.name == mode.name }
            guard let partner = same ?? (isLone || base.modes.count == 1 ? base.modes.first : nil) else { continue }
            hasPair = true
            if mode.provedMaximum != nil,
                partner.provedMaximum != nil || partner.lowestRateProvedBroken(confidence: 0) != nil,
                !isSamePromise(mode, partner)
            {
                throw LoadGeneratorError(
                    .prompts, names.1,
                    "was measured under other promises than \(names.0): maximal rates compare only under the same --slo"
                )
            }
            comparisons += modes(
                mode, against: partner, seed: 1,
                names: ("\(names.1) [\(mode.name)]", "\(names.0) [\(partner.name)]"))
        }
        guard hasPair else {
            throw LoadGeneratorError(
                .prompts, names.1, "has no mode of the same name as one in \(names.0), so nothing can be compared")
        }
        guard !comparisons.isEmpty else {
            throw LoadGeneratorError(
                .prompts, names.1,
                "was measured at another rate than \(names.0), and not both have a maximal QPS: nothing can be compared"
            )
        }
        return comparisons
    }

    /// Whether both kept the same bounds, to a hundredth; multiples of an unloaded latency never repeat to the last digit.
    private static func isSamePromise(_ mode: ModeSummary, _ other: ModeSummary) -> Bool {
        guard let one = mode.headlineRun?.objectives, let two = other.headlineRun?.objectives else { return true }
        return one.count == two.count
            && zip(one, two).allSatisfy { one, two in
                one.metric == two.metric && one.percentile == two.percentile
                    && abs(one.boundMs / max(two.boundMs, 1e-9) - 1) < 0.01
            }
    }

    private static func isSameLoad(_ run: RunSummary, _ other: RunSummary) -> Bool {
        run.offeredRate > 0 && abs(run.offeredRate / max(other.offeredRate, 1e-12) - 1) < 0.02
    }
}
