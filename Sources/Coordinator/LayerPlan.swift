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

    /// Cuts `layerCount` layers into `stageCount` contiguous stages: the wishes as they are, the gaps between them into
    /// even parts, the longer parts first.
    ///
    /// - Throws: `Impossible`, with the reason, when wishes overlap or the count does not come out.
    package init(layerCount: Int, stageCount: Int, wishes: [Range<Int>]) throws(Impossible) {
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
        var parts = gaps.map { _ in 1 }
        for _ in 0..<(free - gaps.count) {
            // The next worker goes where a part would be longest, among gaps that can still be cut.
            let best = gaps.indices.filter { parts[$0] < gaps[$0].count }
                .max { gaps[$0].count * parts[$1] < gaps[$1].count * parts[$0] }
            if let best { parts[best] += 1 }
        }
        var slots = wishes.map { Slot(layers: $0, isWish: true) }
        for (gap, parts) in zip(gaps, parts) {
            var start = gap.lowerBound
            for index in 0..<parts {
                let size = gap.count / parts + (index < gap.count % parts ? 1 : 0)
                slots.append(Slot(layers: start..<start + size, isWish: false))
                start += size
            }
        }
        self.slots = slots.sorted { $0.layers.lowerBound < $1.layers.lowerBound }
    }
}
