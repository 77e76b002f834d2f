// When a server that refused says it may be asked again.

package import Foundation

/// The `Retry-After` header (RFC 9110, section 10.2.3), and its finer relative `Retry-After-Ms`.
package enum RetryAfter {
    /// What is longer is taken for this: a day.
    package static let longest = Duration.seconds(86_400)

    /// How long to wait; nil when neither header says.
    ///
    /// - Parameters:
    ///   - seconds: whole or decimal seconds, or an HTTP date.
    ///   - milliseconds: milliseconds, which go before the other.
    ///   - now: what a date is counted from.
    package static func delay(seconds: String?, milliseconds: String? = nil, now: Date = Date()) -> Duration? {
        if let milliseconds, let value = Double(trimmed(milliseconds)) { return bounded(value / 1000) }
        guard let seconds else { return nil }
        if let value = Double(trimmed(seconds)) { return bounded(value) }
        return date(trimmed(seconds)).flatMap { bounded($0.timeIntervalSince(now)) }
    }

    private static func trimmed(_ text: String) -> String { text.trimmingCharacters(in: .whitespaces) }

    private static func bounded(_ seconds: Double) -> Duration? {
        guard !seconds.isNaN else { return nil }
        return .seconds(min(max(seconds, 0), longest.seconds))
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that is still written.
    private static func date(_ text: String) -> Date? {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.date(from: text)
    }
}
