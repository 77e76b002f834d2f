// Durations as people type them and as reports print them.

extension Duration {
    /// Seconds as a floating-point number.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }

    /// Milliseconds as a floating-point number.
    package var milliseconds: Double { seconds * 1e3 }

    /// Nanoseconds, what is finer cut off.
    package var wholeNanoseconds: Int64 {
        components.seconds &* 1_000_000_000 &+ components.attoseconds / 1_000_000_000
    }

    /// The longest duration a run can be told, 30 days: beyond it the text is a mistake.
    private static let longestText = 30.0 * 86_400

    /// Reads `2s`, `200ms`, `1.5m` (minutes), `1h` or a plain number of seconds.
    ///
    /// - Throws: a usage error for text that is none of these, is negative or not finite, or is over 30 days.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let units: [(suffix: String, seconds: Double)] = [("ms", 1e-3), ("s", 1), ("m", 60), ("h", 3600)]
        let unit = units.first { text.hasSuffix($0.suffix) }
        guard let number = Double(text.dropLast(unit?.suffix.count ?? 0)), number.isFinite, number >= 0 else {
            throw LoadGeneratorError(.usage, "'\(text)'", "not a duration: write 2s, 200ms, 1.5m or plain seconds")
        }
        let seconds = number * (unit?.seconds ?? 1)
        guard seconds <= Self.longestText else {
            throw LoadGeneratorError(.usage, "'\(text)'", "longer than 30 days")
        }
        self = .nanoseconds(Int64((seconds * 1e9).rounded()))
    }

    /// Short text with a unit that fits the size: `850 ms`, `2.5 s`, `3 m 20 s`.
    package var shortText: String {
        if self < .milliseconds(10) { return "\((milliseconds * 100).rounded() / 100) ms" }
        if self < .seconds(1) { return "\(Int(milliseconds.rounded())) ms" }
        if self >= .seconds(7200) {
            let minutes = Int((seconds / 60).rounded())
            return minutes % 60 == 0 ? "\(minutes / 60) h" : "\(minutes / 60) h \(minutes % 60) m"
        }
        if self >= .seconds(120) {
            let whole = Int(seconds.rounded())
            return whole % 60 == 0 ? "\(whole / 60) m" : "\(whole / 60) m \(whole % 60) s"
        }
        let tenths = (seconds * 10).rounded() / 10
        return tenths == tenths.rounded() ? "\(Int(tenths)) s" : "\(tenths) s"
    }
}
