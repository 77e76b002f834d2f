// Who holds which layers, so that no stage has much more to compute than the others.

package import Checkpoint
package import Layers
import Transformer
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

    /// What each half of a model's layers costs, with the embedding and the head, where nobody knows better: operations of a
    /// prefill.
    ///
    /// Attention weighs more in longer prompts. A cut for 4096 tokens costs those of 1024 and 8192 about a hundredth.
    package static func work(of shape: ModelConfiguration) -> [Double] {
        ForwardWork.prefillSublayers(shape, tokens: min(4096, shape.contextLength))
    }

    package var slots: [Slot]

    /// Cuts a model into `stageCount` contiguous stages, between layers or within one: the wishes as they are, the gaps
    /// between them so that the slowest stage takes the least time, then as evenly as that allows, longer parts first. Where
    /// it is worth it, two stages share the rows of a feed-forward.
    ///
    /// - Parameters:
    ///   - work: what each half of a layer costs, in any unit: attention and feed-forward of the first layer, and so on,
    ///     with the embedding in the first and the head in the last. What is no number or below 0 counts as 0.
    ///   - speeds: of each stage, in that unit a second or any other unit; the mean of the others where it is `nil`, absent
    ///     or not a positive number.
    ///   - sharesRows: whether two stages may share a feed-forward's rows.
    /// - Throws: `Impossible`, with the reason, when wishes overlap or the count does not come out.
    package init(
        work: [Double], stageCount: Int, wishes: [LayerSpan], speeds: [Double?] = [], sharesRows: Bool = true
    ) throws(Impossible) {
        let wishes = Set(wishes).sorted { $0.bounds.lowerBound < $1.bounds.lowerBound }
        for (first, second) in zip(wishes, wishes.dropFirst()) where first.overlaps(second) {
            throw Impossible(reason: "layers \(first) and \(second) of two workers overlap")
        }
        let all = work.count * LayerSpan.unit
        var gaps: [LayerSpan] = []
        var end = 0
        for wish in wishes.map(\.bounds) + [all..<all] {
            if wish.lowerBound > end { gaps.append(LayerSpan(bounds: end..<wish.lowerBound)) }
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
            wishes: wishes, gaps: gaps, costs: StageCosts(work: work, slotCount: stageCount, speeds: speeds),
            sharesRows: sharesRows)
    }

    /// The best cut, which must exist: a stage is either a whole wish or a part of one gap.
    private static func balanced(
        wishes: [LayerSpan], gaps: [LayerSpan], costs: StageCosts, sharesRows: Bool
    ) -> [Slot] {
        // Where a stage may end that begins here: between sub-layers first.
        var ends: [Int: [Int]] = [:]
        for wish in wishes { ends[wish.bounds.lowerBound] = [wish.bounds.upperBound] }
        for gap in gaps {
            let places = gap.sublayers.map { max($0 * LayerSpan.unit, gap.bounds.lowerBound) } + [gap.bounds.upperBound]
            for (index, place) in places.enumerated().dropLast() { ends[place] = Array(places[(index + 1)...]) }
        }
        let slowest = costs.best(ends: ends, limit: .infinity) { max($0, $1) }.value
        // Among cuts whose slowest stage is no slower, the least sum of squares is the most even.
        let cut = costs.best(ends: ends, limit: slowest * (1 + 1e-9)) { $0 * $0 + $1 }.cut
        let starts = Set(wishes.map(\.bounds.lowerBound))
        let slots = zip(cut, cut.dropFirst()).map {
            Slot(layers: LayerSpan(bounds: $0..<$1), isWish: starts.contains($0))
        }
        guard sharesRows else { return slots }
        let refined = costs.refined(slots)
        return costs.slowest(refined) < (1 - Self.worth) * costs.slowest(slots) ? refined : slots
    }

    /// Two stages that share a feed-forward by rows both hold its weights: for less time than this share it is not done.
    private static let worth = 0.015
}

/// What each stage would cost with these parts of layers or those.
private struct StageCosts {
    let slotCount: Int
    let speeds: [Double]
    private let work: [Double]
    /// The work of all sub-layers before each, and of all.
    private let sums: [Double]

    init(work: [Double], slotCount: Int, speeds: [Double?]) {
        self.slotCount = slotCount
        // Workers say how fast they are: no lie of theirs may make a stage cost nothing, or for ever.
        let said = (0..<slotCount).map { slot in
            speeds.indices.contains(slot) ? speeds[slot].flatMap { (1e-9...1e15).contains($0) ? $0 : nil } : nil
        }
        let known = said.compactMap(\.self)
        let mean = known.isEmpty ? 1 : known.reduce(0, +) / Double(known.count)
        self.speeds = said.map { ($0 ?? mean) / mean }
        let work = work.map { $0.isFinite ? max(0, $0) : 0 }
        self.work = work
        sums = work.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    /// The work of all that lies before a position.
    private func before(_ position: Int) -> Double {
        let (sublayer, share) = position.quotientAndRemainder(dividingBy: LayerSpan.unit)
        return sums[sublayer] + (share == 0 ? 0 : work[sublayer] * Double(share) / Double(LayerSpan.unit))
    }

    private func time(_ slot: Int, _ bounds: Range<Int>) -> Double {
        (before(bounds.upperBound) - before(bounds.lowerBound)) / speeds[slot]
    }

    func slowest(_ slots: [LayerPlan.Slot]) -> Double {
        slots.enumerated().reduce(0) { max($0, time($1.offset, $1.element.layers.bounds)) }
    }

    /// The cut (its first start, 0, and every stage's end) with the least value, where no stage takes over `limit`.
    ///
    /// - Parameters:
    ///   - ends: the places where a stage may end, ascending, by where it begins.
    ///   - join: the value of a stage's time and of the stages after it.
    func best(
        ends: [Int: [Int]], limit: Double, _ join: (Double, Double) -> Double
    ) -> (value: Double, cut: [Int]) {
        let end = work.count * LayerSpan.unit
        // From the last stage to the first: the best that this one and those after it can do with the layers from a start.
        var after = [end: 0.0]
        var choices: [[Int: Int]] = []
        for slot in (0..<slotCount).reversed() {
            var values: [Int: Double] = [:]
            var choice: [Int: Int] = [:]
            for (start, ends) in ends {
                // The longer part first, where it is the same.
                for end in ends.reversed() {
                    guard let rest = after[end] else { continue }
                    let time = time(slot, start..<end)
                    guard time <= limit else { continue }
                    let value = join(time, rest)
                    if values[start].map({ value < $0 * (1 - 1e-12) }) ?? true {
                        values[start] = value
                        choice[start] = end
                    }
                }
            }
            after = values
            choices.append(choice)
        }
        var cut = [0]
        for choice in choices.reversed() { cut.append(choice[cut[cut.count - 1]] ?? end) }
        return (after[0] ?? 0, cut)
    }

    /// The same stages, where those between two wishes share the rows of feed-forwards such that the slowest of them takes the
    /// least time.
    func refined(_ slots: [LayerPlan.Slot]) -> [LayerPlan.Slot] {
        var refined = slots
        var first = 0
        while first < slots.count {
            let last = slots[first...].firstIndex(where: \.isWish) ?? slots.count
            if last - first > 1 {
                let range = slots[first].layers.bounds.lowerBound..<slots[last - 1].layers.bounds.upperBound
                var (low, high) = (0.0, slowest(slots))
                for _ in 0..<40 {
                    let limit = (low + high) / 2
                    guard let cut = filled(range, slots: first..<last, limit: limit) else {
                        low = limit
                        continue
                    }
                    high = limit
                    for (slot, ends) in zip(first..<last, zip(cut, cut.dropFirst())) {
                        refined[slot].layers = LayerSpan(bounds: ends.0..<ends.1)
                    }
                }
            }
            first = last + 1
        }
        return refined
    }

    /// The ends of stages that hold all of a range, each as much as it can in so much time; nil: they can't.
    private func filled(_ range: Range<Int>, slots: Range<Int>, limit: Double) -> [Int]? {
        var cut = [range.lowerBound]
        for slot in slots.dropLast() {
            let start = cut[cut.count - 1]
            let budget = before(start) + limit * speeds[slot]
            var place = start
            while place < range.upperBound {
                let sublayer = place / LayerSpan.unit
                let end = min((sublayer + 1) * LayerSpan.unit, range.upperBound)
                if before(end) <= budget {
                    place = end
                    continue
                }
                // Each row passes a feed-forward for itself. The last one is for a row or two; a small share is not worth
                // its weights.
                guard sublayer % 2 == 1, sublayer < work.count - 1 else { break }
                let share = Int((budget - sums[sublayer]) / work[sublayer] * Double(LayerSpan.unit))
                if share >= Self.leastShare { place = max(place, sublayer * LayerSpan.unit + share) }
                break
            }
            guard place > start, place < range.upperBound else { return nil }
            cut.append(place)
        }
        guard time(slots.upperBound - 1, cut[cut.count - 1]..<range.upperBound) <= limit else { return nil }
        return cut + [range.upperBound]
    }

    /// Hundredths of the rows.
    private static let leastShare = 5
}
