// What a server counts about itself: Prometheus text to values.

/// The samples of one scrape (Prometheus text exposition format 0.0.4), by name and labels.
public struct ServerCounters: Sendable, Equatable {
    /// A sample.
    public struct Sample: Sendable, Equatable {
        /// The metric.
        public let name: String
        /// Its labels.
        public let labels: [String: String]
        /// Its value; never NaN.
        public let value: Double
    }

    /// Samples that are read at most: a page without end is no metrics page.
    static let maximumSamples = 20_000

    /// All samples, in the order of the page.
    public let samples: [Sample]

    /// Reads a page; lines that are no samples are passed over.
    public init(text: String) {
        var samples: [Sample] = []
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard samples.count < Self.maximumSamples else { break }
            if let sample = Self.sample(line) { samples.append(sample) }
        }
        self.samples = samples
    }

    /// The samples of one metric.
    public func named(_ name: String) -> [Sample] { samples.filter { $0.name == name } }

    private static func sample(_ line: Substring) -> Sample? {
        let nameEnd = line.firstIndex { $0 == "{" || $0 == " " } ?? line.endIndex
        let name = String(line[..<nameEnd])
        var rest = line[nameEnd...]
        var labels: [String: String] = [:]
        if rest.first == "{" {
            guard let (read, after) = Self.labels(rest.dropFirst()) else { return nil }
            labels = read
            rest = after
        }
        guard !name.isEmpty, let text = rest.split(separator: " ").first, let value = Double(text), !value.isNaN
        else { return nil }
        return Sample(name: name, labels: labels, value: value)
    }

    /// `key="value",...}`, with backslashes before quotes, backslashes and line feeds.
    private static func labels(_ text: Substring) -> ([String: String], Substring)? {
        var labels: [String: String] = [:]
        var rest = text
        while let first = rest.first {
            if first == "}" { return (labels, rest.dropFirst()) }
            if first == "," || first == " " {
                rest = rest.dropFirst()
                continue
            }
            guard let equals = rest.firstIndex(of: "=") else { return nil }
            let key = String(rest[..<equals])
            rest = rest[equals...].dropFirst()
            guard rest.first == "\"" else { return nil }
            rest = rest.dropFirst()
            var value = ""
            var isEscaped = false
            var isClosed = false
            while let character = rest.popFirst() {
                if isEscaped {
                    value.append(character == "n" ? "\n" : character)
                    isEscaped = false
                } else if character == "\\" {
                    isEscaped = true
                } else if character == "\"" {
                    isClosed = true
                    break
                } else {
                    value.append(character)
                }
            }
            guard isClosed else { return nil }
            labels[key] = value
        }
        return nil
    }
}
