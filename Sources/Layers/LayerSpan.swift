// Which layers of a model somebody holds, where a layer may be parted.

/// Consecutive layers, the first and the last of which may be there in part: without its attention, or with its feed-forward
/// for a share of the rows only.
///
/// Between the two halves of a layer the residual stream is all there is, as it is between layers, and the feed-forward
/// takes each row for itself; so a pipeline can be cut at any of these places. Keys and values belong to whoever attends.
public struct LayerSpan: Hashable, Sendable {
    /// Positions in half a layer: a share of its rows is given in hundredths.
    public static let unit = 100

    /// Half-open, in hundredths of a sub-layer; sub-layer 2 i is the attention of layer i, 2 i + 1 its feed-forward. A bound
    /// within an attention is none: it is taken as the attention's beginning.
    public let bounds: Range<Int>

    /// From a position to another.
    public init(bounds: Range<Int>) {
        func whole(_ bound: Int) -> Int { (bound / Self.unit) & 1 == 0 ? bound / Self.unit * Self.unit : bound }
        self.bounds = whole(bounds.lowerBound)..<whole(bounds.upperBound)
    }

    /// A run of sub-layers; these are within 0...2^50.
    public init(sublayers: Range<Int>) {
        bounds = sublayers.lowerBound * Self.unit..<sublayers.upperBound * Self.unit
    }

    /// Whole layers, within 0...2^49.
    public init(_ layers: Range<Int>) { self.init(sublayers: 2 * layers.lowerBound..<2 * layers.upperBound) }

    /// No layers.
    public static let none = LayerSpan(sublayers: 0..<0)

    /// Whether there is nothing in it.
    public var isEmpty: Bool { bounds.isEmpty }

    /// The sub-layers it has any part of, half-open.
    public var sublayers: Range<Int> {
        let first = bounds.lowerBound / Self.unit
        return first..<max(first, (bounds.upperBound + Self.unit - 1) / Self.unit)
    }

    /// The layers it has any part of.
    public var layers: Range<Int> { sublayers.lowerBound >> 1..<(sublayers.upperBound + 1) >> 1 }

    /// The layers whose attention is in it, and so the keys and values.
    public var attention: Range<Int> { (sublayers.lowerBound + 1) >> 1..<(sublayers.upperBound + 1) >> 1 }

    /// The layers whose feed-forward is in it, for any rows.
    public var feedForward: Range<Int> { sublayers.lowerBound >> 1..<sublayers.upperBound >> 1 }

    /// Which of the `count` rows of a request in one call pass a sub-layer of it here; the first ones pass it in a span that
    /// ends here, the others in the one that goes on.
    public func rows(of sublayer: Int, count: Int) -> Range<Int> {
        let (first, end) = share(of: sublayer)
        return count * first / Self.unit..<count * end / Self.unit
    }

    /// How much of a sub-layer's rows are in it, 0...1.
    public func fraction(of sublayer: Int) -> Double {
        let (first, end) = share(of: sublayer)
        return Double(end - first) / Double(Self.unit)
    }

    private func share(of sublayer: Int) -> (first: Int, end: Int) {
        func clamped(_ bound: Int) -> Int { min(max(bound - sublayer * Self.unit, 0), Self.unit) }
        return (clamped(bounds.lowerBound), clamped(bounds.upperBound))
    }

    /// Whether all of `other` is in it.
    public func contains(_ other: LayerSpan) -> Bool {
        other.isEmpty || bounds.lowerBound <= other.bounds.lowerBound && other.bounds.upperBound <= bounds.upperBound
    }

    /// Whether they have a part in common.
    public func overlaps(_ other: LayerSpan) -> Bool { bounds.overlaps(other.bounds) }

    /// Whether all of it is in a model of so many layers, of which it has any.
    public func isWithin(layerCount: Int) -> Bool {
        !isEmpty && bounds.lowerBound >= 0 && layers.upperBound <= layerCount
    }
}

extension LayerSpan: CustomStringConvertible {
    /// First and last, both included, as every flag and log line spells layers: `0-4`, one alone as `2`. Parts of a layer
    /// have a letter: `0-7a` ends with the attention of layer 7, `7f-15` begins with its feed-forward; `0-7f34` ends with its
    /// feed-forward for the first 34 % of the rows, and `7f34-15` begins with it for the others.
    public var description: String {
        guard !isEmpty else { return "none" }
        let (start, end) = (bounds.lowerBound, bounds.upperBound)
        let layer = { (bound: Int) in bound / (2 * Self.unit) }
        var first = "\(layer(start))"
        if start % (2 * Self.unit) != 0 { first += "f" + (start % Self.unit == 0 ? "" : "\(start % Self.unit)") }
        var last = "\(layer(end - 1))"
        if end % Self.unit != 0 {
            last += "f\(end % Self.unit)"
        } else if end % (2 * Self.unit) != 0 {
            last += "a"
        }
        // One layer, or half of one.
        if first == last || last == first + "a" { return last }
        if first == last + "f" { return first }
        return "\(first)-\(last)"
    }

    /// Reads what ``description`` writes, and longer ways to say the same, as `2-2` or `2a-2f`; nil for any other text, and
    /// for layers from `limit` on.
    ///
    /// - Parameter limit: at most 2^40.
    public init?(_ text: some StringProtocol, below limit: Int) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard (1...2).contains(ends.count), let first = Self.end(ends[0], below: limit),
            let last = Self.end(ends[ends.count - 1], below: limit), first.lowerBound < last.upperBound
        else { return nil }
        bounds = first.lowerBound..<last.upperBound
    }

    /// Where `7`, `7a` or `7f` begins and ends; `7f34` is one place.
    private static func end(_ text: some StringProtocol, below limit: Int) -> Range<Int>? {
        func number(_ digits: some StringProtocol) -> Int? {
            (1...12).contains(digits.utf8.count) && digits.utf8.allSatisfy { (48...57).contains($0) }
                ? Int(digits) : nil
        }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let layer = number(digits), layer < limit else { return nil }
        let start = 2 * layer * unit
        switch text.dropFirst(digits.count) {
        case "": return start..<start + 2 * unit
        case "a": return start..<start + unit
        case "f": return start + unit..<start + 2 * unit
        case let share:
            guard share.first == "f", let percent = number(share.dropFirst()), (1..<unit).contains(percent) else {
                return nil
            }
            return start + unit + percent..<start + unit + percent
        }
    }
}
