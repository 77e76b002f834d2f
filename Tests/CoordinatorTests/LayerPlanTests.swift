import Coordinator
import Layers
import Testing

@Suite("Layer plans")
struct LayerPlanTests {
    /// Layers whose halves cost `attention` and `feedForward`; more for the embedding and the head.
    private func work(
        _ layers: Int, attention: Double = 1, feedForward: Double = 1, embedding: Double = 0, head: Double = 0
    ) -> [Double] {
        var work = (0..<2 * layers).map { $0 % 2 == 0 ? attention : feedForward }
        work[0] += embedding
        work[work.count - 1] += head
        return work
    }

    private func texts(_ plan: LayerPlan) -> [String] { plan.slots.map(\.layers.description) }

    /// Every way to wish for up to two spans of small models.
    @Test func everySmallCaseCoversAllLayersOrSaysWhyNot() {
        for layers in 1...3 {
            let spans = (0..<2 * layers).flatMap { first in
                (first + 1...2 * layers).map { LayerSpan(sublayers: first..<$0) }
            }
            let wishes: [[LayerSpan]] =
                [[]] + spans.map { [$0] } + spans.flatMap { first in spans.map { [first, $0] } }
            for stages in 1...4 {
                for wish in wishes {
                    do throws(LayerPlan.Impossible) {
                        let plan = try LayerPlan(work: work(layers), stageCount: stages, wishes: wish)
                        #expect(plan.slots.count == stages)
                        #expect(plan.slots.flatMap { Array($0.layers.bounds) } == Array(0..<200 * layers))
                        #expect(plan.slots.filter(\.isWish).map(\.layers).allSatisfy(wish.contains))
                        #expect(Set(plan.slots.filter(\.isWish).map(\.layers)) == Set(wish))
                    } catch {
                        #expect(!error.reason.isEmpty)
                    }
                }
            }
        }
    }

    @Test func withoutWishesPartsAreEven() throws {
        let plan = try LayerPlan(work: work(16, attention: 0.5), stageCount: 3, wishes: [])
        #expect(texts(plan) == ["0-5a", "5f-10f50", "10f50-15"])
        #expect(try texts(LayerPlan(work: work(16), stageCount: 4, wishes: [])) == ["0-3", "4-7", "8-11", "12-15"])
    }

    @Test func everySplitWithoutWishesCoversAllLayersEvenly() throws {
        for layers in 1...20 {
            for stages in 1...layers {
                let slots = try LayerPlan(work: work(layers), stageCount: stages, wishes: []).slots
                #expect(slots.map(\.layers.bounds.lowerBound) == [0] + slots.dropLast().map(\.layers.bounds.upperBound))
                #expect(slots.last?.layers.bounds.upperBound == 200 * layers)
                #expect(slots.allSatisfy { !$0.layers.isEmpty })
                // At most what whole halves give.
                let most = (2 * layers + stages - 1) / stages
                #expect(slots.allSatisfy { $0.layers.bounds.count <= 100 * most })
            }
        }
    }

    @Test func theHeadTakesLayersOffTheLastStageAndTheEmbeddingOffTheFirst() throws {
        #expect(try texts(LayerPlan(work: work(16, head: 8), stageCount: 2, wishes: [])) == ["0-9", "10-15"])
        let both = try LayerPlan(work: work(12, embedding: 2, head: 4), stageCount: 3, wishes: [])
        #expect(texts(both) == ["0-3", "4-8", "9-11"])
        // However dear the head is, its stage has something of a layer.
        #expect(try texts(LayerPlan(work: work(4, head: 200), stageCount: 2, wishes: [])) == ["0-3a", "3f"])
    }

    /// The last layer is for one row only: what is left is not even in whole layers.
    @Test func aCutWithinALayerEvensWhatTheLastStageIsSpared() throws {
        var spared = work(16, attention: 0.25, feedForward: 0.75)
        spared.replaceSubrange(30..<32, with: [0.03, 0])
        #expect(try texts(LayerPlan(work: spared, stageCount: 2, wishes: [])) == ["0-7f35", "7f35-15"])
        // A small gain is not worth a feed-forward's weights.
        spared.replaceSubrange(14..<16, with: [0.45, 0.55])
        #expect(try texts(LayerPlan(work: spared, stageCount: 2, wishes: [])) == ["0-7a", "7f-15"])
        #expect(
            try texts(LayerPlan(work: work(16, attention: 0.25, feedForward: 0.75), stageCount: 2, wishes: []))
                == ["0-7", "8-15"])
        // Nonsense costs nothing, and the plan covers all layers all the same.
        let nonsense = try LayerPlan(work: [.nan, -1, .infinity, 1], stageCount: 2, wishes: [])
        #expect(nonsense.slots.flatMap { Array($0.layers.bounds) } == Array(0..<400))
    }

    @Test func aFasterHostHoldsMore() throws {
        let plan = try LayerPlan(work: work(12), stageCount: 3, wishes: [], speeds: [1, 2, 3])
        #expect(texts(plan) == ["0-1", "2-5", "6-11"])
        // One that did not say is as fast as the others on average; nonsense says nothing.
        for unknown in [nil, 0, -1, .nan, .infinity, 1e300] as [Double?] {
            let plan = try LayerPlan(work: work(12), stageCount: 3, wishes: [], speeds: [100, unknown, 300])
            #expect(texts(plan) == ["0-1", "2-5", "6-11"])
        }
    }

    @Test func wishesStandWhateverTheSpeeds() throws {
        let plan = try LayerPlan(work: work(12), stageCount: 4, wishes: [LayerSpan(2..<4)], speeds: [1, 1, 1, 9])
        #expect(texts(plan) == ["0", "1", "2-3", "4-11"])
        #expect(plan.slots.map(\.isWish) == [false, false, true, false])
        let half = try LayerPlan(work: work(12), stageCount: 2, wishes: [LayerSpan(sublayers: 3..<24)])
        #expect(texts(half) == ["0-1a", "1f-11"] && half.slots.map(\.isWish) == [false, true])
        let wishes = ["2f40-4f10", "6f99-11"].compactMap { LayerSpan($0, below: 12) }
        let shared = try LayerPlan(work: work(12), stageCount: 5, wishes: wishes)
        #expect(shared.slots.map(\.layers).filter(wishes.contains) == wishes)
        #expect(shared.slots.flatMap { Array($0.layers.bounds) } == Array(0..<2400))
    }

    /// Against every cut there is: none has a quicker slowest stage.
    @Test(arguments: UInt64(1)...40) func noCutIsFaster(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let layers = Int.random(in: 1...6, using: &random)
        let stages = Int.random(in: 1...layers, using: &random)
        let speeds = (0..<stages).map { _ in Double.random(in: 0.2...5, using: &random) }
        let work = (0..<2 * layers).map { _ in Double.random(in: 0.05...2, using: &random) }
        func slowest(_ cut: [LayerSpan]) -> Double {
            zip(cut, speeds).map { part, speed in
                part.sublayers.reduce(0) { $0 + work[$1] * part.fraction(of: $1) } / speed
            }.max() ?? 0
        }
        func cuts(_ start: Int, _ left: Int) -> [[LayerSpan]] {
            if left == 1 { return [[LayerSpan(sublayers: start..<work.count)]] }
            return (start + 1...work.count - left + 1).flatMap { end in
                cuts(end, left - 1).map { [LayerSpan(sublayers: start..<end)] + $0 }
            }
        }
        let plan = try LayerPlan(work: work, stageCount: stages, wishes: [], speeds: speeds)
        let best = cuts(0, stages).map(slowest).min() ?? 0
        #expect(slowest(plan.slots.map(\.layers)) <= best * (1 + 1e-6))
    }

    @Test func theImpossibleIsNamed() {
        #expect(throws: LayerPlan.Impossible(reason: "layers 0-2 and 2-4 of two workers overlap")) {
            try LayerPlan(work: work(5), stageCount: 2, wishes: [LayerSpan(0..<3), LayerSpan(2..<5)])
        }
        #expect(throws: LayerPlan.Impossible(reason: "layers 0-2 and 2f-4 of two workers overlap")) {
            try LayerPlan(
                work: work(5), stageCount: 2, wishes: [LayerSpan(0..<3), LayerSpan(sublayers: 5..<10)])
        }
        #expect(throws: LayerPlan.Impossible(reason: "with 2 stages nobody is left to hold layers 0, 4")) {
            try LayerPlan(work: work(5), stageCount: 2, wishes: [LayerSpan(1..<4)])
        }
    }
}
