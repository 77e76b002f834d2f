// Prometheus' text exposition format, version 0.0.4.

import Coordinator

/// Metrics written as text, one family after the other.
struct PrometheusText {
    enum Kind: String {
        case counter, gauge
    }

    /// A number as the format spells it.
    enum Value {
        case count(Int)
        /// In seconds.
        case time(Duration)
        case number(Double)

        fileprivate var text: String {
            switch self {
            case .count(let count): "\(count)"
            case .time(let time): "\(time / .seconds(1))"
            case .number(let number): "\(number)"
            }
        }
    }

    /// One line: labels in the order they are to stand in, and a value.
    struct Sample {
        var labels: KeyValuePairs<String, String>
        var value: Value

        init(_ value: Value, _ labels: KeyValuePairs<String, String> = [:]) {
            self.value = value
            self.labels = labels
        }
    }

    private(set) var text = ""

    /// Writes a family with its head. `name` and label names must be of letters, digits and underscores.
    mutating func write(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
        text += "# HELP \(name) \(Self.escaped(help))\n# TYPE \(name) \(kind.rawValue)\n"
        for sample in samples {
            let labels = sample.labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }
            text += name + (labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}") + " \(sample.value.text)\n"
        }
    }

    /// Writes a histogram: its buckets up to each bound, its sum and its count.
    mutating func write(_ name: String, _ help: String, _ histogram: Histogram) {
        text += "# HELP \(name) \(Self.escaped(help))\n# TYPE \(name) histogram\n"
        for (bound, count) in zip(histogram.bounds, histogram.cumulative) {
            text += "\(name)_bucket{le=\"\(bound)\"} \(count)\n"
        }
        text += "\(name)_bucket{le=\"+Inf\"} \(histogram.count)\n"
        text += "\(name)_sum \(histogram.sum)\n\(name)_count \(histogram.count)\n"
    }

    /// With backslashes and line feeds as escapes; in label values also double quotes.
    static func escaped(_ text: String, quotes: Bool = false) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += #"\\"#
            case "\n": escaped += #"\n"#
            case "\"" where quotes: escaped += #"\""#
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
