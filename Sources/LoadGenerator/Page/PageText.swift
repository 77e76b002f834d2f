// Text of the report page: escaping and numbers.

import Foundation

/// Puts values into the text of the page.
package enum PageText {
    /// What stands where there is no number.
    static let absent = "\u{2013}"

    /// Beyond this a number is a mistake; pictures leave it out as they do NaN.
    private static let largest = 1e12

    /// Text for element content and quoted attributes. Characters that XML forbids become U+FFFD.
    package static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\t", "\n": result.unicodeScalars.append(scalar)
            case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{FFFE}", "\u{FFFF}", "\u{202A}"..."\u{202E}",
                "\u{2066}"..."\u{2069}":
                // Control characters, and those that turn the reading direction of what follows.
                result.unicodeScalars.append("\u{FFFD}")
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The text up to a number of characters.
    static func shortened(_ text: String, to count: Int) -> String {
        text.count <= count ? text : text.prefix(max(0, count - 1)) + "\u{2026}"
    }

    /// The value if a picture can show it.
    package static func finite(_ value: Double?) -> Double? {
        guard let value, value.isFinite, abs(value) <= largest else { return nil }
        return value
    }

    /// Three significant digits without trailing zeros; whole numbers from 1000 on.
    package static func number(_ value: Double?) -> String {
        guard let value = finite(value) else { return absent }
        if value == 0 { return "0" }
        return String(format: abs(value) >= 999.5 ? "%.0f" : "%.3g", value)
    }

    /// `850 ms` below 1000 ms, `1.23 s` from there on.
    package static func latency(_ milliseconds: Double?) -> String {
        guard let value = finite(milliseconds) else { return absent }
        return abs(value) >= 999.5 ? "\(number(value / 1000)) s" : "\(number(value)) ms"
    }

    /// `2.5 requests/s`.
    static func rate(_ rate: Double?) -> String {
        finite(rate).map { "\(number($0)) requests/s" } ?? absent
    }

    /// A share of 0...1 as `12.5 %`.
    package static func percent(_ share: Double?) -> String {
        finite(share).map { "\(number($0 * 100)) %" } ?? absent
    }

    /// `p99`, `p99.9`.
    static func percentile(_ percentile: Double) -> String {
        guard let value = finite(percentile) else { return "p?" }
        return "p" + String(format: "%.6g", value)
    }

    /// `TTFT p99 <= 2 s`, with the sign as people write it.
    static func objective(_ objective: PageObjective) -> String {
        "\(promise(objective)) \u{2264} \(latency(objective.boundMilliseconds))"
    }

    /// `TTFT p99`, the objective without its bound.
    static func promise(_ objective: PageObjective) -> String {
        "\(metric(objective.metric)) \(percentile(objective.percentile))"
    }

    /// A metric as people write it.
    static func metric(_ name: String) -> String { name.uppercased() }

    /// `1 run`, `3 runs`.
    static func count(_ count: Int, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }
}
