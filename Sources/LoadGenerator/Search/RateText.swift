// Rates and counts as people read them.

import Foundation

/// Puts rates into words.
enum RateText {
    /// Three significant digits without trailing zeros.
    static func number(_ value: Double) -> String {
        value >= 1000 ? String(format: "%.0f", value) : String(format: "%.3g", value)
    }

    /// `2.5/s`.
    static func perSecond(_ rate: Double) -> String { "\(number(rate))/s" }
}
