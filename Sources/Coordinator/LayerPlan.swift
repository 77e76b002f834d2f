// Who holds which layers, so that no stage has much more to compute than the others.

package import Layers
import Wire

/// Who holds which layers: the stages of a pipeline, in order.
package struct LayerPlan: Equatable {
    package struct Slot: Equatable {
        package var layers: LayerSpan
        /// A worker asked for exactly these layers; otherwise any worker without a wish takes them.
        package var isWish: Bool
    }
    package struct Impossible: Error, Equatable {
        package var reason: String

        package init(reason: String) { self.reason = reason }
    }

    /// Tokens of the prompt that a cut is made for, where nobody knows better. Attention weighs more in longer ones, and the
    /// last layer's rows that nobody asks for less in shorter ones.
    package static let usualTokens = 1024

    package var slots: [Slot]

    /// Cuts a model into `stageCount` contiguous stages, between layers or within one: the wishes as they are, the gaps
    /// between them so that the slowest stage takes the least time, then as evenly as that allows, longer parts first.
    ///
    /// - Parameters:
    ///   - work: what each half of a layer costs, in any unit: attention and feed-forward of the first layer, and so on,
    ///     with the embedding in the first and the head in the last. What is no number or below 0 counts as 0.
    ///   - speeds: of each stage, in that unit a second or any other unit; the mean of the others where it is `nil`, absent
    ///     or not a positive number.
    /// - Throws: `Impossible`, with the reason, when wishes overlap or the count does not come out.
    package init(
        work: [Double], stageCount: Int, wishes: [LayerSpan], speeds: [Double?] = []
    ) throws(Impossible) {
        let wishes = Set(wishes).sorted { $0.sublayers.lowerBound < $1.sublayers.lowerBound }
        for (first, second) in zip(wishes, wishes.dropFirst()) where first.overlaps(second) {
            throw Impossible(reason: "layers \(first) and \(second) of two workers overlap")
        }
        var gaps: [LayerSpan] = []
        var end = 0
        for wish in wishes.map(\.sublayers) + [work.count..<work.count] {
            if wish.lowerBound > end { gaps.append(LayerSpan(sublayers: end..<wish.lowerBound)) }
            end = wish.upperBound
        }
        let free = stageCount - wishes.count
        guard free >= gaps.count else {
            let missing = gaps.map(\.description).joined(separator: ", ")
            throw Impossible(reason: "with \(counted(stageCount, "stage")) nobody is left to hold layers \(missing)")
        }
        guard free == 0 || !gaps.isEmpty else {
            throw Impossible(
                reason: "\(counted(wishes.count, "worker")) \(wishes.count == 1 ? "holds" : "hold") all layers, "
                    + "but \(stageCount) stages are configured")
        }
        guard free <= gaps.reduce(0, { $0 + $1.layers.count }) else {
            throw Impossible(reason: "\(stageCount) stages are more than the layers there are to share out")
        }
        slots = Self.balanced(
            wishes: wishes, gaps: gaps, costs: StageCosts(work: work, slotCount: stageCount, speeds: speeds))
    }

    /// The best cut, which must exist: a stage is either a whole wish or a part of one gap.
    private static func balanced(wishes: [LayerSpan], gaps: [LayerSpan], costs: StageCosts) -> [Slot] {
        // Where a stage may end that begins here.
        var ends: [Int: ClosedRange<Int>] = [:]
        for wish in wishes { ends[wish.sublayers.lowerBound] = wish.sublayers.upperBound...wish.sublayers.upperBound }
        for gap in gaps { for start in gap.sublayers { ends[start] = start + 1...gap.sublayers.upperBound } }
        let slowest = costs.best(ends: ends, limit: .infinity) { max($0, $1) }.value
        // Among cuts whose slowest stage is no slower, the least sum of squares is the most even.
        let cut = costs.best(ends: ends, limit: slowest * (1 + 1e-9)) { $0 * $0 + $1 }.cut
        let starts = Set(wishes.map(\.sublayers.lowerBound))
        return zip(cut, cut.dropFirst()).map {
            Slot(layers: LayerSpan(sublayers: $0..<$1), isWish: starts.contains($0))
        }
    }
}

/// What each stage would cost with these sub-layers or those.
private struct StageCosts {
    let slotCount: Int
    let speeds: [Double]
    /// The work of all sub-layers before each, and of all.
    private let before: [Double]

    init(work: [Double], slotCount: Int, speeds: [Double?]) {
        self.slotCount = slotCount
        // Workers say how fast they are: no lie of theirs may make a stage cost nothing, or for ever.
        let said = (0..<slotCount).map { slot in
            speeds.indices.contains(slot) ? speeds[slot].flatMap { (1e-9...1e15).contains($0) ? $0 : nil } : nil
        }
        let known = said.compactMap(\.self)
        let mean = known.isEmpty ? 1 : known.reduce(0, +) / Double(known.count)
        self.speeds = said.map { ($0 ?? mean) / mean }
        before = work.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1.isFinite ? max(0, $1) : 0)) }
    }

    private func time(_ slot: Int, _ sublayers: Range<Int>) -> Double {
        (before[sublayers.upperBound] - before[sublayers.lowerBound]) / speeds[slot]
    }

    /// The cut (its first start, 0, and every stage's end) with the least value, where no stage takes over `limit`.
    ///
    /// - Parameter join: the value of a stage's time and of the stages after it.
    func best(
        ends: [Int: ClosedRange<Int>], limit: Double, _ join: (Double, Double) -> Double
    ) -> (value: Double, cut: [Int]) {
        let count = before.count - 1
        // From the last stage to the first: the best that this one and those after it can do with the layers from a start.
        var after = [Double](repeating: .infinity, count: count + 1)
        after[count] = 0
        var choices: [[Int]] = []
        for slot in (0..<slotCount).reversed() {
            var values = [Double](repeating: .infinity, count: count + 1)
            var choice = [Int](repeating: count, count: count + 1)
            for start in 0..<count {
                guard let ends = ends[start] else { continue }
                // The longer part first, where it is the same.
                for end in ends.reversed() where after[end].isFinite {
                    let time = time(slot, start..<end)
                    guard time <= limit else { continue }
                    let value = join(time, after[end])
                    if value < values[start] * (1 - 1e-12) || values[start].isInfinite {
                        values[start] = value
                        choice[start] = end
                    }
                }
            }
            after = values
            choices.append(choice)
        }
        var cut = [0]
        for choice in choices.reversed() { cut.append(choice[cut[cut.count - 1]]) }
        return (after[0], cut)
    }
}
