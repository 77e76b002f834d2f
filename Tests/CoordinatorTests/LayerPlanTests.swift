import Coordinator
import Testing

@Suite("Layer plans")
struct LayerPlanTests {
    /// Every way to wish for up to two ranges of small models.
    @Test func everySmallCaseCoversAllLayersOrSaysWhyNot() {
        for layers in 1...6 {
            let ranges = (0..<layers).flatMap { first in (first + 1...layers).map { first..<$0 } }
            let wishes: [[Range<Int>]] =
                [[]] + ranges.map { [$0] } + ranges.flatMap { first in ranges.map { [first, $0] } }
            for stages in 1...7 {
                for wish in wishes {
                    do throws(LayerPlan.Impossible) {
                        let plan = try LayerPlan(layerCount: layers, stageCount: stages, wishes: wish)
                        #expect(plan.slots.count == stages)
                        #expect(plan.slots.flatMap { Array($0.layers) } == Array(0..<layers))
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
        let plan = try LayerPlan(layerCount: 16, stageCount: 3, wishes: [])
        #expect(plan.slots.map(\.layers) == [0..<6, 6..<11, 11..<16])
    }

    @Test func everySplitWithoutWishesHasLongerPartsFirst() throws {
        for layers in 1...40 {
            for stages in 1...layers {
                let sizes = try LayerPlan(layerCount: layers, stageCount: stages, wishes: []).slots.map(\.layers.count)
                let even = (0..<stages).map { layers / stages + ($0 < layers % stages ? 1 : 0) }
                #expect(sizes == even)
            }
        }
    }

    @Test func theHeadTakesLayersOffTheLastStageAndTheEmbeddingOffTheFirst() throws {
        let head = try LayerPlan(layerCount: 16, stageCount: 2, wishes: [], headLayers: 4)
        #expect(head.slots.map(\.layers) == [0..<10, 10..<16])
        let both = try LayerPlan(layerCount: 12, stageCount: 3, wishes: [], embeddingLayers: 1, headLayers: 2)
        #expect(both.slots.map(\.layers) == [0..<4, 4..<9, 9..<12])
        // A last stage that is spared most of a layer takes one more only where that is less than the others have.
        let spared = try LayerPlan(layerCount: 17, stageCount: 2, wishes: [], headLayers: -0.9)
        #expect(spared.slots.map(\.layers) == [0..<8, 8..<17])
        #expect(try LayerPlan(layerCount: 16, stageCount: 2, wishes: [], headLayers: -0.9).slots[0].layers == 0..<8)
        // However dear the head is, its stage has a layer.
        let dear = try LayerPlan(layerCount: 4, stageCount: 2, wishes: [], headLayers: 100)
        #expect(dear.slots.map(\.layers) == [0..<3, 3..<4])
    }

    @Test func aFasterHostHoldsMore() throws {
        let plan = try LayerPlan(layerCount: 12, stageCount: 3, wishes: [], speeds: [1, 2, 3])
        #expect(plan.slots.map(\.layers) == [0..<2, 2..<6, 6..<12])
        // One that did not say is as fast as the others on average; nonsense says nothing.
        for unknown in [nil, 0, -1, .nan, .infinity, 1e300] as [Double?] {
            let plan = try LayerPlan(layerCount: 12, stageCount: 3, wishes: [], speeds: [100, unknown, 300])
            #expect(plan.slots.map(\.layers) == [0..<2, 2..<6, 6..<12])
        }
    }

    @Test func wishesStandWhateverTheSpeeds() throws {
        let plan = try LayerPlan(layerCount: 12, stageCount: 4, wishes: [2..<4], speeds: [1, 1, 1, 9])
        #expect(plan.slots.map(\.layers) == [0..<1, 1..<2, 2..<4, 4..<12])
        #expect(plan.slots.map(\.isWish) == [false, false, true, false])
    }

    /// Against every cut there is: none has a quicker slowest stage.
    @Test(arguments: UInt64(1)...40) func noCutIsFaster(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let layers = Int.random(in: 1...9, using: &random)
        let stages = Int.random(in: 1...layers, using: &random)
        let speeds = (0..<stages).map { _ in Double.random(in: 0.2...5, using: &random) }
        let embedding = Double.random(in: 0...2, using: &random)
        let head = Double.random(in: 0...4, using: &random)
        func slowest(_ cut: [Range<Int>]) -> Double {
            zip(cut, speeds).map { part, speed in
                (Double(part.count) + (part.lowerBound == 0 ? embedding : 0) + (part.upperBound == layers ? head : 0))
                    / speed
            }.max() ?? 0
        }
        func cuts(_ start: Int, _ left: Int) -> [[Range<Int>]] {
            if left == 1 { return [[start..<layers]] }
            return (start + 1...layers - left + 1).flatMap { end in
                cuts(end, left - 1).map { [start..<end] + $0 }
            }
        }
        let plan = try LayerPlan(
            layerCount: layers, stageCount: stages, wishes: [], speeds: speeds, embeddingLayers: embedding,
            headLayers: head)
        let best = cuts(0, stages).map(slowest).min() ?? 0
        #expect(slowest(plan.slots.map(\.layers)) <= best * (1 + 1e-6))
    }

    @Test func theImpossibleIsNamed() {
        #expect(throws: LayerPlan.Impossible(reason: "layers 0-2 and 2-4 of two workers overlap")) {
            try LayerPlan(layerCount: 5, stageCount: 2, wishes: [0..<3, 2..<5])
        }
        #expect(throws: LayerPlan.Impossible(reason: "with 2 stages nobody is left to hold layers 0, 4")) {
            try LayerPlan(layerCount: 5, stageCount: 2, wishes: [1..<4])
        }
    }
}
