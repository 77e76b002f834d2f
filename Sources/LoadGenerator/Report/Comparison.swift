// Ratios between two modes or two reports, with how far they can be trusted.

import Foundation

/// Compares measurements.
public enum Comparison {
    /// Resamplings behind an interval.
    static let resamplings = 1000
    /// The confidence of an interval, 0...1.
    public static let confidence = 0.95

    /// The ratios of one mode over another: the maximal rate, then the median and p99 of each latency at the headline runs.
    ///
    /// The interval of the maximal rate spans from the confirmed rates to the lowest broken ones; where the base has only
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
        if let rate = mode.maxQps, let baseRate = base.maxQps, baseRate > 0 {
            comparisons.append(
                ComparisonSummary(
                    what: "maximal QPS", of: of, against: against, ratio: rate / baseRate,
                    low: base.maxQpsBroken.map { rate / $0 }, high: mode.maxQpsBroken.map { $0 / baseRate }))
        } else if let rate = mode.maxQps, let broken = base.lowestRateProvedBroken(confidence: proof), broken > 0 {
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
        guard let run = mode.headlineRun, let other = base.headlineRun, isSameLoad(run, other) else {
            return comparisons
        }
        let latencies = [
            ("TTFT", run.series.ttftMs, other.series.ttftMs), ("TPOT", run.series.tpotMs, other.series.tpotMs),
            ("E2E", run.series.e2eMs, other.series.e2eMs),
        ]
        for (name, series, otherSeries) in latencies {
            for percentile in [Percentile.p50, .p99] {
                guard
                    let ratio = ratio(series, otherSeries, percentile, seed: seed)
                else { continue }
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
            if mode.maxQps != nil, partner.maxQps != nil || partner.lowestRateProvedBroken(confidence: 0) != nil,
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

    /// The ratio of a percentile in two series, and its bootstrap interval; nil where one lies among the misses.
    static func ratio(
        _ series: [Double?], _ base: [Double?], _ percentile: Percentile, seed: UInt64
    ) -> (value: Double, low: Double?, high: Double?)? {
        guard let value = quantile(series, percentile), let other = quantile(base, percentile), other > 0 else {
            return nil
        }
        guard series.count >= 40, base.count >= 40 else { return (value / other, nil, nil) }
        var generator = SplitMix64(seed: seed)
        let ratios = (0..<resamplings).map { _ in
            let one = quantile(resampled(series, &generator), percentile) ?? .infinity
            let two = quantile(resampled(base, &generator), percentile) ?? .infinity
            return two.isInfinite ? (one.isInfinite ? value / other : 0) : one / max(two, 1e-9)
        }.sorted()
        let tail = Int(Double(resamplings) * (1 - confidence) / 2)
        let high = ratios[resamplings - 1 - tail]
        return (value / other, ratios[tail], high.isFinite ? high : nil)
    }

    private static func quantile(_ series: [Double?], _ percentile: Percentile) -> Double? {
        let values = series.compactMap(\.self).sorted()
        guard !series.isEmpty else { return nil }
        let rank = percentile.rank(of: series.count)
        return rank <= values.count ? values[rank - 1] : nil
    }

    /// As many values, in blocks of the square root of their number, each begun at a place drawn by chance.
    private static func resampled(_ series: [Double?], _ generator: inout SplitMix64) -> [Double?] {
        let length = max(1, Int(Double(series.count).squareRoot()))
        var values: [Double?] = []
        values.reserveCapacity(series.count + length)
        while values.count < series.count {
            let start = Int(generator.next() % UInt64(series.count - length + 1))
            values += series[start..<(start + length)]
        }
        return Array(values.prefix(series.count))
    }
}
