// Numbers as the logs and errors of all processes spell them.

/// `1 worker`, `2 workers`, `0 workers`; `many` for words that do not just take an s.
package func counted(_ count: Int, _ thing: String, _ many: String? = nil) -> String {
    "\(count) \(count == 1 ? thing : many ?? thing + "s")"
}

extension Range<Int> {
    /// Layers as every flag and log line spells them: first and last, both included, `0-4`; one alone as `2`.
    package var layersText: String {
        switch count {
        case 0: "none"
        case 1: "\(lowerBound)"
        default: "\(lowerBound)-\(upperBound - 1)"
        }
    }
}
