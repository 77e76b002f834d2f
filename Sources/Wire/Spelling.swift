// Numbers as the logs and errors of all processes spell them.

/// `1 worker`, `2 workers`, `0 workers`; `many` for words that do not just take an s.
package func counted(_ count: Int, _ thing: String, _ many: String? = nil) -> String {
    "\(count) \(count == 1 ? thing : many ?? thing + "s")"
}
