// Latencies as a log that the HdrHistogram tools read and plot.

public import Foundation

/// An HdrHistogram interval log, format version 1.3: a line for each tag and interval, with all its latencies.
///
/// Latencies are in microseconds, 1 µs to 1 h with 3 significant digits; `Interval_Max` is in milliseconds. The format
/// is that of `HistogramLogWriter` in the Java HdrHistogram (http://hdrhistogram.org), whose tools take such a file as
/// it is, as does Python's `HistogramLogReader`.
public struct HistogramLog: Sendable, Equatable {
    /// What is above it is recorded as this: one hour.
    public static let longest = Duration.microseconds(MicrosecondHistogram.highest)
    /// The year 9999: what is later has no text.
    private static let latestTime = 253_402_300_799.0

    /// The lines so far, each with its end.
    public private(set) var text: String
    /// Values that were negative, counted as 0, or over ``longest``, counted as that.
    public private(set) var clampedCount = 0

    /// Begins a log.
    ///
    /// - Parameters:
    ///   - startedAt: what the intervals are counted from; moved into the years 1970 to 9999.
    ///   - comments: put at the top; one of several lines becomes several comments.
    public init(startedAt: Date, comments: [String] = []) {
        let seconds = startedAt.timeIntervalSince1970
        let start = seconds >= 0 ? min(seconds, Self.latestTime) : 0
        let lines = comments.flatMap { $0.split(whereSeparator: \.isNewline) }
        text = lines.map { "# \($0)\n" }.joined()
        text += "# Values are in microseconds, Interval_Max is in milliseconds.\n"
        text += "#[Histogram log format version 1.3]\n"
        let stamp = Self.thousandths(Int64((start * 1000).rounded()))
        let date = Date(timeIntervalSince1970: start).formatted(.iso8601)
        text += "#[BaseTime: \(stamp) (seconds since epoch)]\n"
        text += "#[StartTime: \(stamp) (seconds since epoch), \(date)]\n"
        text += #""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""# + "\n"
    }

    /// Adds an interval. Readers expect intervals in the order of their starts.
    ///
    /// - Parameters:
    ///   - tag: what the values are, such as `ttft`. Commas, blanks and control characters become `_`, because they
    ///     would end the tag; an empty one is left out.
    ///   - start: from the time the log began, at least 0.
    ///   - length: of the interval, at least 0.
    ///   - values: latencies, in any order; none is an empty histogram.
    public mutating func add(tag: String, start: Duration, length: Duration, values: [Duration]) {
        var histogram = MicrosecondHistogram()
        for value in values {
            if value < .zero || value > Self.longest { clampedCount += 1 }
            let bounded = min(max(value, .zero), Self.longest)
            histogram.record(Int64((bounded.seconds * 1e6).rounded()))
        }
        let name = String(
            tag.map { $0 == "," || $0.isWhitespace || $0.unicodeScalars.contains { $0.value < 32 } ? "_" : $0 })
        if !name.isEmpty { text += "Tag=\(name)," }
        text += "\(Self.thousandths(Self.milliseconds(start))),\(Self.thousandths(Self.milliseconds(length))),"
        text += "\(Self.thousandths(histogram.maximum)),"
        text += Data(histogram.compressed()).base64EncodedString() + "\n"
    }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        Int64((min(max(duration.seconds, 0), latestTime) * 1000).rounded())
    }

    /// A whole number of thousandths, not negative, with a decimal point in any locale.
    private static func thousandths(_ number: Int64) -> String {
        let fraction = String(number % 1000)
        return "\(number / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }
}
