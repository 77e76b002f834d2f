// Which layers of a model somebody holds, where a layer may be parted between its attention and its feed-forward.

/// Consecutive layers, the first and the last of which may be there by half: without its attention, or without its
/// feed-forward.
///
/// Between the two halves of a layer the residual stream is all there is, as it is between layers; so a pipeline can be cut
/// at either place. Keys and values belong to the half that attends.
public struct LayerSpan: Hashable, Sendable {
    /// Half-open, in sub-layers: 2 i is the attention of layer i, 2 i + 1 its feed-forward.
    public let sublayers: Range<Int>

    /// A run of sub-layers.
    public init(sublayers: Range<Int>) { self.sublayers = sublayers }

    /// Whole layers; `layers` are within 0...2^61.
    public init(_ layers: Range<Int>) { sublayers = 2 * layers.lowerBound..<2 * layers.upperBound }

    /// No layers.
    public static let none = LayerSpan(sublayers: 0..<0)

    /// Whether there is nothing in it.
    public var isEmpty: Bool { sublayers.isEmpty }

    /// The layers it has any part of.
    public var layers: Range<Int> { sublayers.lowerBound >> 1..<(sublayers.upperBound + 1) >> 1 }

    /// The layers whose attention is in it, and so the keys and values.
    public var attention: Range<Int> { (sublayers.lowerBound + 1) >> 1..<(sublayers.upperBound + 1) >> 1 }

    /// The layers whose feed-forward is in it.
    public var feedForward: Range<Int> { sublayers.lowerBound >> 1..<sublayers.upperBound >> 1 }

    /// Whether all of `other` is in it.
    public func contains(_ other: LayerSpan) -> Bool {
        other.isEmpty
            || sublayers.lowerBound <= other.sublayers.lowerBound && other.sublayers.upperBound <= sublayers.upperBound
    }

    /// Whether they have a part in common.
    public func overlaps(_ other: LayerSpan) -> Bool { sublayers.overlaps(other.sublayers) }

    /// Whether all of it is in a model of so many layers, of which it has any.
    public func isWithin(layerCount: Int) -> Bool {
        !isEmpty && sublayers.lowerBound >= 0 && layers.upperBound <= layerCount
    }
}

extension LayerSpan: CustomStringConvertible {
    /// First and last, both included, as every flag and log line spells layers: `0-4`, one alone as `2`. A half has a letter:
    /// `0-7a` ends with the attention of layer 7, `7f-15` begins with its feed-forward.
    public var description: String {
        guard !isEmpty else { return "none" }
        let (first, last) = (sublayers.lowerBound, sublayers.upperBound - 1)
        let (begins, ends) = (first & 1 == 0, last & 1 == 1)
        switch (first >> 1 == last >> 1, begins, ends) {
        case (true, true, true): return "\(first >> 1)"
        case (true, true, false): return "\(first >> 1)a"
        case (true, false, _): return "\(first >> 1)f"
        case (false, _, _): return "\(first >> 1)\(begins ? "" : "f")-\(last >> 1)\(ends ? "" : "a")"
        }
    }

    /// Reads what ``description`` writes, and longer ways to say the same, as `2-2` or `2a-2f`; nil for any other text, and
    /// for layers from `limit` on.
    ///
    /// - Parameter limit: at most 2^61.
    public init?(_ text: some StringProtocol, below limit: Int) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard (1...2).contains(ends.count), let first = Self.end(ends[0], below: limit),
            let last = Self.end(ends[ends.count - 1], below: limit), first.lowerBound < last.upperBound,
            // `3-2` and `2f-2a` are no runs.
            first.lowerBound <= last.lowerBound
        else { return nil }
        sublayers = first.lowerBound..<last.upperBound
    }

    /// The sub-layers of `7`, `7a` or `7f`.
    private static func end(_ text: some StringProtocol, below limit: Int) -> Range<Int>? {
        let half = text.last.flatMap { ["a": 0, "f": 1][$0] }
        let digits = half == nil ? text[...] : text.dropLast()
        guard (1...18).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let layer = Int(digits), layer < limit
        else { return nil }
        return half.map { 2 * layer + $0..<2 * layer + $0 + 1 } ?? 2 * layer..<2 * layer + 2
    }
}
