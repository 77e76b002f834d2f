internal import Compute
package import Layers
package import Wire

/// A pipeline that should stand.
public struct PipelineShape: Sendable, Equatable {
    /// Of the only one, when nothing else is said.
    public static let defaultName = "main"

    /// Its name, unique among the coordinator's.
    public var name: String
    /// Workers in a row, at least 1.
    public var stageCount: Int

    public init(name: String, stageCount: Int) {
        self.name = name
        self.stageCount = stageCount
    }
}

/// Who should hold what: a pure function of the members that are free.
package enum Placement {
    package struct Place: Equatable, Sendable {
        package var peer: PeerID
        package var layers: LayerSpan
    }

    /// Why a pipeline can't stand, in words an operator can act on.
    package struct Unfilled: Error, Equatable, Sendable {
        package var reason: String
    }

    /// One worker for each stage: whoever has its layers already, else in the order of their names, so that `worker-0` of
    /// a launch holds stage 0.
    ///
    /// Workers that measured how fast they are and differ by more than ``alike`` get layers accordingly.
    ///
    /// - Parameters:
    ///   - work: of each half of a layer, as ``LayerPlan`` takes it.
    ///   - free: alive stage workers without a place, in the order of their names.
    package static func fill(
        _ shape: PipelineShape, work: [Double], free: [Membership.Member]
    ) throws(Unfilled) -> [Place] {
        let fitting = free.filter { ($0.profile.pipeline ?? shape.name) == shape.name && !$0.report.isLeaving }
        // Workers that were told to serve this pipeline come before those that may serve any.
        let able = fitting.filter { $0.profile.pipeline != nil } + fitting.filter { $0.profile.pipeline == nil }
        guard able.count >= shape.stageCount else {
            throw Unfilled(reason: Self.present(able.count, of: shape.stageCount))
        }
        let wishes = able.compactMap(\.profile.layers)
        let speeds = wishes.isEmpty ? Self.speeds(able, stageCount: shape.stageCount) : []
        // With unequal parts, another order of the same workers would move nearly every layer: what stands stays.
        if !speeds.isEmpty, let held = Self.held(able, end: work.count * LayerSpan.unit, stageCount: shape.stageCount) {
            return held
        }
        let plan: LayerPlan
        do {
            plan = try LayerPlan(
                work: work, stageCount: shape.stageCount, wishes: wishes, speeds: speeds,
                sharesRows: able.allSatisfy(\.profile.keepsSumsOfShares))
        } catch {
            throw Unfilled(reason: error.reason)
        }
        var left = able
        var chosen: [PeerID?] = plan.slots.map { _ in nil }
        func take(_ index: Int, where fits: (Membership.Member) -> Bool) {
            guard chosen[index] == nil, let found = left.firstIndex(where: fits) else { return }
            chosen[index] = left.remove(at: found).peer
        }
        for (index, slot) in plan.slots.enumerated() where speeds.isEmpty {
            let wish = slot.isWish ? slot.layers : nil
            take(index) { $0.profile.layers == wish && $0.report.loaded == slot.layers }
        }
        for (index, slot) in plan.slots.enumerated() {
            let wish = slot.isWish ? slot.layers : nil
            take(index) { $0.profile.layers == wish }
        }
        var places: [Place] = []
        for (slot, peer) in zip(plan.slots, chosen) {
            guard let peer else {
                throw Unfilled(
                    reason: "nobody is left for layers \(slot.layers): "
                        + "start a worker without --layers, or with these")
            }
            places.append(Place(peer: peer, layers: slot.layers))
        }
        return places
    }

    /// Measured speeds whose ratio is less are taken as the same: a busy host measures so much too little.
    package static let alike = 1.25

    /// Of the first workers in order, one a stage; empty when they are alike, or one did not measure.
    private static func speeds(_ able: [Membership.Member], stageCount: Int) -> [Double] {
        let said = able.prefix(stageCount).map(\.profile.speed)
        guard let least = said.min(), let most = said.max(), least > 0, most > alike * least else { return [] }
        return said
    }

    /// A pipeline out of what workers have loaded, if it comes out: from the last layer to the first, whoever begins where
    /// the next one's part has to.
    private static func held(_ able: [Membership.Member], end: Int, stageCount: Int) -> [Place]? {
        /// By where it starts: the stages from there to the end, at most as many as are wanted.
        var after: [Int: [Int: [Place]]] = [end: [0: []]]
        let parts = able.compactMap { member in member.report.loaded.map { Place(peer: member.peer, layers: $0) } }
        func bounds(_ part: Place) -> Range<Int> { part.layers.bounds }
        for part in parts.sorted(by: { bounds($0).lowerBound > bounds($1).lowerBound }) where !part.layers.isEmpty {
            let start = bounds(part).lowerBound
            for (count, places) in after[bounds(part).upperBound] ?? [:] where count < stageCount {
                if after[start]?[count + 1] == nil { after[start, default: [:]][count + 1] = [part] + places }
            }
        }
        return after[0]?[stageCount]
    }

    /// What spares hold ready: the largest stages first, each once before any twice.
    ///
    /// - Parameters:
    ///   - spares: alive stage workers without a place.
    ///   - stages: the layers of every stage, and the pipeline's name.
    package static func preloads(
        spares: [Membership.Member], stages: [(pipeline: String, layers: LayerSpan)]
    ) -> [PeerID: LayerSpan] {
        var result: [PeerID: LayerSpan] = [:]
        var covered: [LayerSpan: Int] = [:]
        for spare in spares where !spare.report.isLeaving {
            let possible = stages.filter { stage in
                (spare.profile.pipeline ?? stage.pipeline) == stage.pipeline
                    && (spare.profile.layers ?? stage.layers) == stage.layers
            }.map(\.layers)
            // What it holds already costs nothing.
            let held = possible.first { $0 == spare.report.loaded && covered[$0] == nil }
            let best =
                held
                ?? possible.min {
                    (covered[$0, default: 0], -$0.bounds.count, $0.bounds.lowerBound)
                        < (covered[$1, default: 0], -$1.bounds.count, $1.bounds.lowerBound)
                }
            guard let best else { continue }
            covered[best, default: 0] += 1
            result[spare.peer] = best
        }
        return result
    }

    package static func present(_ count: Int, of all: Int) -> String {
        "\(count) of \(counted(all, "worker")) \(all == 1 ? "is" : "are") here"
    }
}

extension Profile {
    /// Whether the worker's sums are the same where a stage holds a part of a feed-forward's rows: a request that moves to
    /// another cut goes on with the same tokens. The last word of its arithmetic is its CPU's level.
    fileprivate var keepsSumsOfShares: Bool {
        arithmetic.split(separator: " ").last.flatMap { CPULevel(rawValue: String($0)) }?.keepsSumsOfShares ?? true
    }
}
