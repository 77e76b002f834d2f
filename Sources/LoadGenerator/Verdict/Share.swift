// Shares as people read them.

import Foundation

/// Shares in words.
enum Share {
    /// How sure a finite number of requests can make one: `98.9 %`, but never all of it, whatever is lost in rounding.
    static func sureness(_ share: Double) -> String { percent(min(share, 0.999_999)) }

    /// `18 %`, `98.9 %`, `99.87 %`: finer the closer it comes to certainty, which is never quite reached.
    static func percent(_ share: Double) -> String {
        if share < 1, share > 0.9999 { return "over 99.99 %" }
        let percent = share * 100
        let text = String(format: percent < 90 ? "%.0f" : percent < 99 ? "%.1f" : "%.2f", percent)
        return (text.contains(".") ? text.replacing(#/\.?0+$/#, with: "") : text) + " %"
    }
}
