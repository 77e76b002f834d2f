// Scales of plots: the range they cover and the numbers they print.

import Foundation

/// The range of a plot's axis, with ticks at 1, 2 and 5 times powers of ten.
package struct Axis: Sendable, Equatable {
    /// The value at its start.
    package let low: Double
    /// The value at its end, above ``low``.
    package let high: Double
    /// Whether equal distances are equal factors.
    package let isLogarithmic: Bool
    /// Values to print, ascending, all within the range.
    package let ticks: [Double]
    /// What it shows.
    package private(set) var title = ""
    /// What printed values are divided by: 1000 prints milliseconds as seconds.
    private var divisor = 1.0

    /// Values further apart than this factor are shown on a logarithmic scale.
    private static let widestLinearFactor = 20.0

    private init(low: Double, high: Double, isLogarithmic: Bool, ticks: [Double]) {
        self.low = low
        self.high = high
        self.isLogarithmic = isLogarithmic
        self.ticks = ticks
    }

    /// An axis for amounts of 0 and more: linear from 0, or logarithmic where the positive values lie far apart.
    /// What cannot be drawn (NaN, infinities, negative numbers) is ignored.
    package static func covering(_ values: [Double], ticks wanted: Int = 6) -> Axis {
        let usable = values.compactMap { PageText.finite($0) }.filter { $0 > 0 }
        guard let least = usable.min(), let greatest = usable.max() else { return linear(from: 0, to: 1) }
        guard greatest > least * widestLinearFactor else {
            return linear(from: 0, to: greatest * 1.04, ticks: wanted)
        }
        return logarithmic(from: least / 1.04, to: greatest * 1.04, ticks: wanted)
    }

    /// A linear axis over a range, which grows to the next ticks.
    package static func linear(from low: Double, to high: Double, ticks wanted: Int = 6) -> Axis {
        let low = PageText.finite(low) ?? 0
        let wantedHigh = PageText.finite(high) ?? low + 1
        // Below this difference neighbouring ticks are the same number.
        let smallest = max(abs(low) * 1e-9, 1e-12)
        let high = wantedHigh - low > smallest ? wantedHigh : low + max(abs(low), 1)
        let step = niceStep((high - low) / Double(max(wanted, 1)))
        let first = (low / step + 1e-9).rounded(.down)
        let last = max((high / step - 1e-9).rounded(.up), first + 1)
        let ticks = (0...Int(last - first)).map { (first + Double($0)) * step }
        return Axis(low: first * step, high: last * step, isLogarithmic: false, ticks: ticks)
    }

    /// The whole of something, 0...1.
    package static let share = linear(from: 0, to: 1, ticks: 5)

    private static func logarithmic(from low: Double, to high: Double, ticks wanted: Int) -> Axis {
        let firstDecade = Int(log10(low).rounded(.down))
        let lastDecade = Int(log10(high).rounded(.up))
        let decades = (firstDecade...lastDecade).map { pow(10, Double($0)) }
        let fine = decades.flatMap { [$0, 2 * $0, 5 * $0] }
        let start = fine.last { $0 <= low } ?? low
        let end = fine.first { $0 >= high } ?? high
        var ticks = fine.filter { start <= $0 && $0 <= end }
        if ticks.count > wanted + 3 {
            let inside = decades.filter { start <= $0 && $0 <= end }
            let stride = max(1, (inside.count + wanted - 1) / max(wanted, 1))
            ticks = inside.indices.filter { $0 % stride == 0 }.map { inside[$0] }
        }
        return Axis(low: start, high: end, isLogarithmic: true, ticks: ticks)
    }

    /// The next of 1, 2 and 5 times a power of ten.
    private static func niceStep(_ rough: Double) -> Double {
        let power = pow(10, log10(rough).rounded(.down))
        let factor = [1.0, 2, 5].first { $0 * power >= rough * (1 - 1e-9) } ?? 10
        return factor * power
    }

    /// The axis with a title.
    func titled(_ title: String) -> Axis {
        var axis = self
        axis.title = isLogarithmic ? title + ", log scale" : title
        return axis
    }

    /// The axis, whose values are milliseconds, with a title and a unit that fits them.
    func titledLatency(_ title: String) -> Axis {
        let inSeconds = high >= 1000
        var axis = titled("\(title) (\(inSeconds ? "s" : "ms"))")
        axis.divisor = inSeconds ? 1000 : 1
        return axis
    }

    /// The axis, whose values are shares, with a title and in percent.
    func titledShare(_ title: String) -> Axis {
        var axis = titled("\(title) (%)")
        axis.divisor = 0.01
        return axis
    }

    /// Where a value lies between the ends, 0...1; values beyond an end lie at it.
    package func share(of value: Double) -> Double {
        guard !value.isNaN else { return 0 }
        let share =
            isLogarithmic
            ? (value > 0 ? log(value / low) / log(high / low) : 0)
            : (value - low) / (high - low)
        return min(max(share, 0), 1)
    }

    /// A tick as it is printed.
    package func label(_ tick: Double) -> String { PageText.number(tick / divisor) }
}
