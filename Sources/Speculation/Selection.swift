// Which tokens of a prompt are kept.

/// The kept tokens of a prompt, as spans of position ids.
public struct Selection: Sendable, Equatable {
    /// Tokens in the whole prompt (M).
    public let promptCount: Int
    /// The runs of kept tokens: ascending, not empty, with at least one dropped token between two of them.
    public let spans: [Range<Int>]

    /// Keeps the union of `spans`, which may overlap, in any order; what lies outside the prompt is ignored.
    ///
    /// `promptCount` is 0 or more.
    public init(promptCount: Int, spans: [Range<Int>]) {
        let prompt = 0..<max(promptCount, 0)
        var union: [Range<Int>] = []
        for span in spans.map({ $0.clamped(to: prompt) }).sorted(by: { $0.lowerBound < $1.lowerBound })
        where !span.isEmpty {
            if let last = union.last, span.lowerBound <= last.upperBound {
                union[union.count - 1] = last.lowerBound..<max(last.upperBound, span.upperBound)
            } else {
                union.append(span)
            }
        }
        self.promptCount = prompt.count
        self.spans = union
    }

    /// Keeps the whole prompt.
    public static func all(promptCount: Int) -> Selection {
        Selection(promptCount: promptCount, spans: [0..<max(promptCount, 0)])
    }

    /// The number of kept tokens (K).
    public var keptCount: Int { spans.reduce(0) { $0 + $1.count } }

    /// The effective keep rate K/M, protected tokens included; 1 for an empty prompt.
    public var keepRate: Double { promptCount == 0 ? 1 : Double(keptCount) / Double(promptCount) }

    /// The position ids of the kept tokens, ascending.
    public var kept: [Int32] { spans.flatMap { $0.map { Int32($0) } } }
}
