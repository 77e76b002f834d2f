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

    @Test func everySplitWithoutWishesIsPossible() throws {
        for layers in 1...40 {
            for stages in 1...layers {
                let sizes = try LayerPlan(layerCount: layers, stageCount: stages, wishes: []).slots.map(\.layers.count)
                #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
            }
        }
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
