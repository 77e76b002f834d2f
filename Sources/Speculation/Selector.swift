// From importance to kept tokens.

/// Chooses the kept tokens of a prompt. Pure functions: equal arguments give equal selections.
///
/// A value of the importance that is not finite counts as 0, the least there is. Between equals the earlier wins.
public enum Selector {
    /// Chooses by the mode, keep rate and protection that `parameters` name.
    ///
    /// - Parameters:
    ///   - importance: one value per prompt token, as ``Speculator`` gives them.
    ///   - parameters: must be valid, see ``SpeculationParameters/validate()``; `enabled` and `threshold` are the
    ///     caller's business (``SpeculationParameters/prunes(promptCount:)``).
    ///   - protected: spans of tokens to keep in any case, beside head and tail. What lies outside the prompt is
    ///     ignored. Reference mode protects nothing.
    public static func select(
        importance: [Float], parameters: SpeculationParameters, protected: [Range<Int>] = []
    ) -> Selection {
        let count = importance.count
        if parameters.keepRate >= 1 { return .all(promptCount: count) }
        if parameters.selection == .reference {
            return grid(importance: importance, keepRate: parameters.keepRate, chunk: parameters.chunk)
        }
        var forced = protected
        if parameters.keepHead { forced.append(0..<min(1, count)) }
        forced.append(max(0, count - parameters.tail)..<count)
        let protection = Selection(promptCount: count, spans: forced)
        let chosen =
            parameters.selection == .grid
            ? grid(importance: importance, keepRate: parameters.keepRate, chunk: parameters.chunk)
            : windows(
                importance: importance, keepRate: parameters.keepRate, window: parameters.chunk,
                stride: parameters.stride, protected: protection)
        return Selection(promptCount: count, spans: chosen.spans + protection.spans)
    }

    /// The paper's selection: the ceil(keepRate x chunks) chunks of a fixed grid with the highest mean importance. The
    /// last chunk may be shorter.
    ///
    /// `keepRate` is above 0 and at most 1, `chunk` at least 1.
    public static func grid(importance: [Float], keepRate: Double, chunk: Int) -> Selection {
        let count = importance.count
        let sums = prefixSums(importance)
        let chunks = stride(from: 0, to: count, by: chunk).map { $0..<min(count, $0 + chunk) }
        let ranked = byMean(chunks, sums).prefix(budget(keepRate, of: chunks.count))
        return Selection(promptCount: count, spans: Array(ranked))
    }

    /// Windows of `window` tokens every `stride` tokens, and one that ends where the prompt ends, taken by mean
    /// importance until their union, not counting protected tokens, reaches ceil(keepRate x M) tokens.
    ///
    /// The last window is taken whole, so the union may exceed the budget by less than a window. The protected tokens
    /// are not part of the result. `keepRate` is above 0 and at most 1, `window` and `stride` at least 1.
    public static func windows(
        importance: [Float], keepRate: Double, window: Int, stride: Int, protected: Selection
    ) -> Selection {
        let count = importance.count
        let sums = prefixSums(importance)
        let last = max(0, count - window)
        var starts = Array(Swift.stride(from: 0, to: last, by: stride))
        if count > 0 { starts.append(last) }

        // A token is in the budget once, and never if it is protected.
        var counted = [Bool](repeating: false, count: count)
        for span in protected.spans { for token in span.clamped(to: 0..<count) { counted[token] = true } }
        var left = budget(keepRate, of: count)
        var taken: [Range<Int>] = []
        for span in byMean(starts.map { $0..<min(count, $0 + window) }, sums) {
            if left <= 0 { break }
            taken.append(span)
            for token in span where !counted[token] {
                counted[token] = true
                left -= 1
            }
        }
        return Selection(promptCount: count, spans: taken)
    }

    /// ceil(keepRate x count), in Float64 as the paper's code has it.
    private static func budget(_ keepRate: Double, of count: Int) -> Int {
        min(count, Int((keepRate * Double(count)).rounded(.up)))
    }

    /// `sums[i]` is the sum of the first i values.
    private static func prefixSums(_ importance: [Float]) -> [Double] {
        var sums = [0.0]
        sums.reserveCapacity(importance.count + 1)
        var sum = 0.0
        for value in importance {
            sum += value.isFinite ? Double(value) : 0
            sums.append(sum)
        }
        return sums
    }

    /// The spans from the highest mean to the lowest; the earlier first between equals.
    private static func byMean(_ spans: [Range<Int>], _ sums: [Double]) -> [Range<Int>] {
        spans
            .map { (mean: (sums[$0.upperBound] - sums[$0.lowerBound]) / Double($0.count), span: $0) }
            .sorted { ($0.mean, $1.span.lowerBound) > ($1.mean, $0.span.lowerBound) }
            .map(\.span)
    }
}
