// Request traces of real services: when each request came, how long it was, and what it shares with others.

public import Foundation

/// The arrivals of a recorded service, with the lengths of each request.
///
/// A trace says nothing about what the requests said: ``SyntheticRequests`` makes texts of its lengths.
public struct Trace: Sendable, Equatable {
    /// One request of the trace.
    public struct Entry: Sendable, Equatable {
        /// When it came, from the first arrival of the trace; never negative.
        public let offset: Duration
        /// The length of its prompt, 1...``Trace/maximumTokens`` tokens.
        public let promptTokens: Int
        /// The length of its answer, 1...``Trace/maximumTokens`` tokens.
        public let outputTokens: Int
        /// Ids of the prompt's blocks of ``Trace/blockTokens`` tokens, the last one possibly shorter; empty when the
        /// trace does not say. Entries that begin with the same ids begin with the same text.
        public let blocks: [Int]

        /// Makes an entry.
        public init(offset: Duration, promptTokens: Int, outputTokens: Int, blocks: [Int] = []) {
            self.offset = offset
            self.promptTokens = promptTokens
            self.outputTokens = outputTokens
            self.blocks = blocks
        }
    }

    /// Tokens a block id stands for.
    public static let blockTokens = 512
    /// The longest prompt or answer that is taken for real, in tokens.
    public static let maximumTokens = 10_000_000
    /// The most lines of a file that are read: all of them are held in memory.
    public static let maximumLines = 10_000_000
    /// The greatest file that is read, in bytes.
    public static let maximumFileSize = 2 << 30
    /// The longest trace, from its first arrival to its last: about 31 years.
    static let maximumSpan = Duration.seconds(1_000_000_000)

    /// What reports call it, for example `azure:code.csv`.
    public let name: String
    /// At least one request, by ``Entry/offset``, ascending; the first is at 0.
    public let entries: [Entry]
    /// Lines of the file whose answer had 0 tokens: a request generates at least one, so they count as 1.
    public let clampedOutputs: Int
    /// Lines of the file that came earlier than the line before: they are sorted, equal times in file order.
    public let outOfOrder: Int

    private init(name: String, entries: [Entry], clampedOutputs: Int, outOfOrder: Int) {
        self.name = name
        self.entries = entries
        self.clampedOutputs = clampedOutputs
        self.outOfOrder = outOfOrder
    }

    /// Reads `azure:FILE`, `mooncake:FILE` or `jsonl:FILE`. See ``Format``.
    ///
    /// - Throws: a prompts error that names the file, and the line where there is one.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let format = Format(rawValue: String(parts[0])), !parts[1].isEmpty else {
            let names = Format.allCases.map { $0.rawValue + ":FILE" }.joined(separator: ", ")
            throw LoadGeneratorError(.prompts, "trace '\(text)'", "not a trace: write one of \(names)")
        }
        try self.init(file: String(parts[1]), format: format)
    }

    /// Reads a file.
    ///
    /// - Throws: a prompts error that names the file, and the line where there is one.
    public init(file path: String, format: Format) throws(LoadGeneratorError) {
        let contents = try InputFile.read(path, limit: Self.maximumFileSize, fix: "keep its first lines only")
        try self.init(contents: contents, format: format, name: path)
    }

    /// Reads what a file of this name would hold.
    ///
    /// - Throws: as ``init(file:format:)``.
    public init(contents: Data, format: Format, name: String) throws(LoadGeneratorError) {
        try self.init(contents: contents, format: format, name: name, maximumLines: Self.maximumLines)
    }

    /// - Parameter maximumLines: the most lines, the header included.
    package init(
        contents: Data, format: Format, name: String, maximumLines: Int
    ) throws(LoadGeneratorError) {
        let lines = try TraceLines(contents, name: name, limit: maximumLines)
        let arrivals = try format.arrivals(of: lines)
        guard let earliest = arrivals.map(\.time).min(), let latest = arrivals.map(\.time).max() else {
            throw LoadGeneratorError(.prompts, name, "holds no request: expected \(format.expectation)")
        }
        // Both lie in 0...9e18, so the difference cannot overflow.
        guard Duration.nanoseconds(latest - earliest) <= Self.maximumSpan else {
            throw LoadGeneratorError(
                .prompts, name, "spans \((latest - earliest) / 31_557_600_000_000_000) years: a time has a wrong unit")
        }
        let outOfOrder = zip(arrivals, arrivals.dropFirst()).count { $0.time > $1.time }
        // Ties keep the order of the file: the standard sort does not promise to be stable.
        let order = arrivals.indices.sorted { (arrivals[$0].time, $0) < (arrivals[$1].time, $1) }
        self.init(
            name: "\(format.rawValue):\(name)",
            entries: order.map { index in
                let arrival = arrivals[index]
                return Entry(
                    offset: .nanoseconds(arrival.time - earliest), promptTokens: arrival.promptTokens,
                    outputTokens: max(arrival.outputTokens, 1), blocks: arrival.blocks)
            },
            clampedOutputs: arrivals.count { $0.outputTokens == 0 }, outOfOrder: outOfOrder)
    }

    /// The time from the first arrival to the last.
    public var span: Duration { entries.last?.offset ?? .zero }

    /// The same requests on another time scale: 0.1 makes them come ten times as fast.
    ///
    /// - Throws: a usage error for a factor that is not finite and positive, or that makes a run of decades.
    public func scaled(by factor: Double) throws(LoadGeneratorError) -> Trace {
        guard factor.isFinite, factor > 0 else {
            throw LoadGeneratorError(.usage, "time scale", "\(factor) is not a number above 0, such as 0.1")
        }
        guard span.seconds * factor <= Self.maximumSpan.seconds else {
            throw LoadGeneratorError(.usage, "time scale", "\(factor) makes a run of decades: choose a smaller one")
        }
        let scaled = entries.map { entry in
            Entry(
                offset: .nanoseconds(Int64((entry.offset.seconds * factor * 1e9).rounded())),
                promptTokens: entry.promptTokens, outputTokens: entry.outputTokens, blocks: entry.blocks)
        }
        return keeping(scaled)
    }

    /// The requests of the first part, 0 <= offset < duration.
    ///
    /// - Throws: a usage error for a duration that is not positive.
    public func prefix(within duration: Duration) throws(LoadGeneratorError) -> Trace {
        guard duration > .zero else {
            throw LoadGeneratorError(.usage, "trace duration", "\(duration) is not more than 0 s")
        }
        return keeping(Array(entries.prefix { $0.offset < duration }))
    }

    /// The same requests with no prompt longer than this, for a server whose context is shorter than the trace's.
    ///
    /// - Parameter promptTokens: at least 1.
    public func clipped(promptTokens: Int) -> Trace {
        keeping(
            entries.map { entry in
                let length = min(entry.promptTokens, max(promptTokens, 1))
                let blocks = (length + Self.blockTokens - 1) / Self.blockTokens
                return Entry(
                    offset: entry.offset, promptTokens: length, outputTokens: entry.outputTokens,
                    blocks: Array(entry.blocks.prefix(blocks)))
            })
    }

    /// The counts stay those of the file.
    private func keeping(_ entries: [Entry]) -> Trace {
        Trace(name: name, entries: entries, clampedOutputs: clampedOutputs, outOfOrder: outOfOrder)
    }
}
