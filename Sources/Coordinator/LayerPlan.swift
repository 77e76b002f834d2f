import Wire

/// Who holds which layers: the stages of a pipeline, in order.
package struct LayerPlan: Equatable {
    package struct Slot: Equatable {
        package var layers: Range<Int>
        /// A worker asked for exactly these layers; otherwise any worker without a wish takes them.
        package var isWish: Bool
    }
    package struct Impossible: Error, Equatable {
        package var reason: String

        package init(reason: String) { self.reason = reason }
    }

    package var slots: [Slot]

    /// Cuts `layerCount` layers into `stageCount` contiguous stages: the wishes as they are, the gaps between them so that
    /// the slowest stage takes the least time, then as evenly as that allows, longer parts first.
    ///
    /// - Parameters:
    ///   - speeds: of each stage, in layers a second or any other unit; the mean of the others where it is `nil`, absent or
    ///     not a positive number.
    ///   - embeddingLayers: what the embedding costs stage 0, in layers; 0 or more.
    ///   - headLayers: what the last stage has to compute besides its layers, in layers: the head, less what the last layer
    ///     is spared; over -1.
    /// - Throws: `Impossible`, with the reason, when wishes overlap or the count does not come out.
    package init(
        layerCount: Int, stageCount: Int, wishes: [Range<Int>], speeds: [Double?] = [], embeddingLayers: Double = 0,
        headLayers: Double = 0
    ) throws(Impossible) {
        let wishes = Set(wishes).sorted { $0.lowerBound < $1.lowerBound }
        for (first, second) in zip(wishes, wishes.dropFirst()) where first.overlaps(second) {
            throw Impossible(reason: "layers \(first.layersText) and \(second.layersText) of two workers overlap")
        }
        var gaps: [Range<Int>] = []
        var end = 0
        for wish in wishes + [layerCount..<layerCount] {
            if wish.lowerBound > end { gaps.append(end..<wish.lowerBound) }
            end = wish.upperBound
        }
        let free = stageCount - wishes.count
        guard free >= gaps.count else {
            let missing = gaps.map(\.layersText).joined(separator: ", ")
            throw Impossible(reason: "with \(counted(stageCount, "stage")) nobody is left to hold layers \(missing)")
        }
        guard free == 0 || !gaps.isEmpty else {
            throw Impossible(
                reason: "\(counted(wishes.count, "worker")) \(wishes.count == 1 ? "holds" : "hold") all layers, "
                    + "but \(stageCount) stages are configured")
        }
        guard free <= gaps.reduce(0, { $0 + $1.count }) else {
            throw Impossible(reason: "\(stageCount) stages are more than the layers there are to share out")
        }
        let costs = StageCosts(
            layerCount: layerCount, slotCount: stageCount, speeds: speeds, embeddingLayers: embeddingLayers,
            headLayers: headLayers)
        slots = Self.balanced(wishes: wishes, gaps: gaps, costs: costs)
    }

    /// The best cut, which must exist: a stage is either a whole wish or a part of one gap.
    private static func balanced(wishes: [Range<Int>], gaps: [Range<Int>], costs: StageCosts) -> [Slot] {
        // Where a stage may end that begins here.
        var ends: [Int: ClosedRange<Int>] = [:]
        for wish in wishes { ends[wish.lowerBound] = wish.upperBound...wish.upperBound }
        for gap in gaps { for start in gap { ends[start] = start + 1...gap.upperBound } }
        let slowest = costs.best(ends: ends, limit: .infinity) { max($0, $1) }.value
        // Among cuts whose slowest stage is no slower, the least sum of squares is the most even.
        let cut = costs.best(ends: ends, limit: slowest * (1 + 1e-9)) { $0 * $0 + $1 }.cut
        let starts = Set(wishes.map(\.lowerBound))
        return zip(cut, cut.dropFirst()).map { Slot(layers: $0..<$1, isWish: starts.contains($0)) }
    }
}

/// What each stage would cost with these layers or those.
private struct StageCosts {
    let layerCount: Int
    let slotCount: Int
    let speeds: [Double]
    let embeddingLayers: Double
    let headLayers: Double

    init(layerCount: Int, slotCount: Int, speeds: [Double?], embeddingLayers: Double, headLayers: Double) {
        self.layerCount = layerCount
        self.slotCount = slotCount
        self.embeddingLayers = embeddingLayers.isFinite ? max(0, embeddingLayers) : 0
        self.headLayers = headLayers.isFinite ? max(-0.99, headLayers) : 0
        // Workers say how fast they are: no lie of theirs may make a stage cost nothing, or for ever.
        let said = (0..<slotCount).map { slot in
            speeds.indices.contains(slot) ? speeds[slot].flatMap { (1e-9...1e15).contains($0) ? $0 : nil } : nil
        }
        let known = said.compactMap(\.self)
        let mean = known.isEmpty ? 1 : known.reduce(0, +) / Double(known.count)
        self.speeds = said.map { ($0 ?? mean) / mean }
    }

    private func time(_ slot: Int, _ layers: Range<Int>) -> Double {
        var cost = Double(layers.count)
        if layers.lowerBound == 0 { cost += embeddingLayers }
        if layers.upperBound == layerCount { cost += headLayers }
        return cost / speeds[slot]
    }

    /// The cut (its first start, 0, and every stage's end) with the least value, where no stage takes over `limit`.
    ///
    /// - Parameter join: the value of a stage's time and of the stages after it.
    func best(
        ends: [Int: ClosedRange<Int>], limit: Double, _ join: (Double, Double) -> Double
    ) -> (value: Double, cut: [Int]) {
        // From the last stage to the first: the best that this one and those after it can do with the layers from a start.
        var after = [Double](repeating: .infinity, count: layerCount + 1)
        after[layerCount] = 0
        var choices: [[Int]] = []
        for slot in (0..<slotCount).reversed() {
            var values = [Double](repeating: .infinity, count: layerCount + 1)
            var choice = [Int](repeating: layerCount, count: layerCount + 1)
            for start in 0..<layerCount {
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
