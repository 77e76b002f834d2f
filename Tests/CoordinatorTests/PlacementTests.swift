import Coordinator
import Layers
import Testing
import Wire

@Suite("Placement")
struct PlacementTests {
    private typealias Worker = (
        name: String, wish: Range<Int>?, pipeline: String?, loaded: Range<Int>?, isLeaving: Bool, speed: Double
    )

    private func members(
        _ list: [Worker], arithmetic: String = ""
    ) -> [Membership.Member] {
        var membership = Membership(limits: .init(stall: .seconds(60)))
        for (index, one) in list.enumerated() {
            let report = Report(
                incarnation: 1, profileHash: 1,
                profile: Profile(
                    name: one.name, fingerprint: [UInt8](repeating: 1, count: 32), model: "m", layerCount: 6,
                    dataEndpoint: "ipc:///\(index)", dataPeer: .random(), layers: one.wish.map { LayerSpan($0) },
                    pipeline: one.pipeline, arithmetic: arithmetic, speed: one.speed),
                loaded: one.loaded.map { LayerSpan($0) }, isLeaving: one.isLeaving)
            _ = try? membership.hear(report, from: .random(), now: .now, check: { _ in })
        }
        return membership.alive
    }

    private func worker(
        _ name: String, wish: Range<Int>? = nil, pipeline: String? = nil, loaded: Range<Int>? = nil,
        isLeaving: Bool = false, speed: Double = 0
    ) -> Worker {
        (name, wish, pipeline, loaded, isLeaving, speed)
    }

    /// Who holds what, by name; or why nobody does.
    private func fill(
        _ list: [Worker],
        stages: Int = 2, pipeline: String = "main"
    ) -> [String] {
        let members = members(list)
        do throws(Placement.Unfilled) {
            return try Placement.fill(
                PipelineShape(name: pipeline, stageCount: stages), work: [Double](repeating: 1, count: 12),
                free: members
            ).map { place in
                "\(members.first { $0.peer == place.peer }?.profile.name ?? "?") \(place.layers)"
            }
        } catch { return [error.reason] }
    }

    @Test func stagesAreFilledInTheOrderOfNames() {
        #expect(fill([worker("w-10"), worker("w-2"), worker("w-1")]) == ["w-1 0-2", "w-2 3-5"])
        #expect(fill([worker("w-1")]) == ["1 of 2 workers are here"])
        #expect(fill([], stages: 1) == ["0 of 1 worker is here"])
    }

    /// A request that moves to another cut must go on with the same tokens.
    @Test func rowsAreSharedWhereSumsStayTheSame() throws {
        // The last layer is for one row only: even stages share a feed-forward.
        let work: [Double] = (0..<30).map { $0 % 2 == 0 ? 0.25 : 0.75 } + [0.03, 0]
        func cut(_ arithmetic: String) throws -> [LayerSpan] {
            try Placement.fill(
                PipelineShape(name: "main", stageCount: 2), work: work,
                free: members([worker("a"), worker("b")], arithmetic: arithmetic)
            ).map(\.layers)
        }
        let isShared = { (spans: [LayerSpan]) in spans[0].bounds.upperBound % LayerSpan.unit != 0 }
        for level in ["portable", "avx2", "avx512bf16"] { #expect(isShared(try cut("bf16 by oneDNN \(level)"))) }
        for level in ["avx512", "avx512vnni"] { #expect(!isShared(try cut("bf16 by oneDNN \(level)"))) }
    }

    @Test func whoHasTheLayersAlreadyComesFirst() {
        // After a loss the survivor keeps its place and the preloaded spare takes the other.
        #expect(
            fill([worker("w-0", loaded: 3..<6), worker("w-1"), worker("w-2", loaded: 0..<3)]) == ["w-2 0-2", "w-0 3-5"])
        #expect(fill([worker("w-0", loaded: 3..<6), worker("w-1")]) == ["w-1 0-2", "w-0 3-5"])
        // Other layers than any stage's are worth nothing.
        #expect(fill([worker("w-0", loaded: 1..<4), worker("w-1")]) == ["w-0 0-2", "w-1 3-5"])
    }

    @Test func wishesAreKept() {
        #expect(
            fill([worker("a", wish: 4..<6), worker("b"), worker("c", wish: 0..<1)], stages: 3)
                == ["c 0", "b 1-3", "a 4-5"])
        // Of two with the same wish the one that has loaded it.
        #expect(
            fill([worker("a", wish: 0..<3), worker("b", wish: 0..<3, loaded: 0..<3), worker("c")])
                == ["b 0-2", "c 3-5"])
        #expect(fill([worker("a", wish: 0..<3), worker("b", wish: 0..<3)]).first?.contains("nobody is left") == true)
    }

    @Test func workersServeThePipelineTheyAreToldTo() {
        let list = [worker("a"), worker("b", pipeline: "fast"), worker("c", pipeline: "main"), worker("d")]
        // Who may serve only this one comes before who may serve any.
        #expect(fill(list) == ["c 0-2", "a 3-5"])
        #expect(fill(list, pipeline: "fast") == ["b 0-2", "a 3-5"])
        #expect(fill([worker("b", pipeline: "fast"), worker("c")]) == ["1 of 2 workers are here"])
    }

    @Test func fasterHostsHoldMoreAndWhatStandsStays() {
        #expect(fill([worker("a", speed: 1e9), worker("b", speed: 2e9)]) == ["a 0-1", "b 2-5"])
        // Within a quarter they are alike, and whoever did not measure makes all alike.
        #expect(fill([worker("a", speed: 1e9), worker("b", speed: 1.2e9)]) == ["a 0-2", "b 3-5"])
        #expect(fill([worker("a", speed: 1e9), worker("b")]) == ["a 0-2", "b 3-5"])
        // One that waits behind changes nothing.
        #expect(
            fill([worker("a", speed: 1e9), worker("b", speed: 1e9), worker("c", speed: 9e9)]) == ["a 0-2", "b 3-5"])
        // The survivor of a loss and a spare that preloaded the other part are a pipeline, whatever their order.
        #expect(
            fill([
                worker("b", loaded: 2..<6, speed: 1e9), worker("c", loaded: 4..<6, speed: 9e9),
                worker("spare", loaded: 0..<2, speed: 2e9),
            ]) == ["spare 0-1", "b 2-5"])
        // Parts that do not meet, or too many of them, are none.
        #expect(
            fill([worker("a", loaded: 0..<2, speed: 1e9), worker("b", loaded: 3..<6, speed: 2e9)]) == [
                "a 0-1", "b 2-5",
            ])
        #expect(
            fill([
                worker("a", loaded: 0..<1, speed: 1e9), worker("b", loaded: 1..<3, speed: 2e9),
                worker("c", loaded: 3..<6, speed: 2e9),
            ]) == ["a 0-1", "b 2-5"])
    }

    @Test func whoLeavesIsGivenNothing() {
        #expect(fill([worker("a", isLeaving: true), worker("b")]) == ["1 of 2 workers are here"])
    }

    // MARK: Spares

    private func preloads(
        _ list: [Worker],
        _ stages: [(pipeline: String, layers: Range<Int>)]
    ) -> [String: String] {
        let members = members(list)
        let result = Placement.preloads(
            spares: members, stages: stages.map { ($0.pipeline, LayerSpan($0.layers)) })
        return Dictionary(
            uniqueKeysWithValues: members.compactMap { member in
                result[member.peer].map { (member.profile.name, $0.description) }
            })
    }

    @Test func sparesCoverTheLargestStagesFirst() {
        let stages = [(pipeline: "main", layers: 0..<2), (pipeline: "main", layers: 2..<6)]
        #expect(preloads([worker("a")], stages) == ["a": "2-5"])
        #expect(preloads([worker("a"), worker("b")], stages) == ["a": "2-5", "b": "0-1"])
        #expect(preloads([worker("a"), worker("b"), worker("c")], stages) == ["a": "2-5", "b": "0-1", "c": "2-5"])
        #expect(preloads([worker("a")], []) == [:])
    }

    @Test func aSpareKeepsWhatItHas() {
        let stages = [(pipeline: "main", layers: 0..<2), (pipeline: "main", layers: 2..<6)]
        #expect(preloads([worker("a", loaded: 0..<2)], stages) == ["a": "0-1"])
        #expect(preloads([worker("a", loaded: 0..<2), worker("b")], stages) == ["a": "0-1", "b": "2-5"])
    }

    @Test func sparesHoldOnlyWhatTheyMayServe() {
        let stages = [(pipeline: "main", layers: 0..<6), (pipeline: "fast", layers: 0..<2)]
        #expect(preloads([worker("a", pipeline: "fast")], stages) == ["a": "0-1"])
        #expect(preloads([worker("a", wish: 0..<2)], stages) == ["a": "0-1"])
        #expect(preloads([worker("a", wish: 3..<4)], stages) == [:])
        #expect(preloads([worker("a", isLeaving: true)], stages) == [:])
    }
}
