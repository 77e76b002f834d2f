// Speculators as workers: what they are given, and what is made of their answers.

import Coordinator
import Speculation
import Testing
import Wire

@Suite("Control plane: speculators")
struct ControlPlaneSpeculatorTests {
    @Test func aPromptWhoseClientLeftHasNotFailed() {
        var fleet = Fleet.standing(speculators: 1)
        for id in UInt64(1)...2 { fleet.begin(id, prompt: 8, prunes: true) }
        fleet.plane.end(1, .failed(RequestError(.cancelled, "gone")), now: fleet.now)
        fleet.plane.scored(1, .failure(.cancelled), time: .zero, now: fleet.now)
        fleet.settle()
        #expect(!fleet.logs.contains { $0.contains("speculation failed") })
        fleet.plane.scored(2, .failure(.notFinite), time: .zero, now: fleet.now)
        fleet.settle()
        #expect(fleet.logs.count { $0.contains("speculation failed") } == 1)
    }

    private func speculator(_ fleet: Fleet, _ name: String) -> Int? {
        fleet.plane.lines.first { $0.value.name == name }?.key
    }

    private func scores(_ fleet: Fleet, _ line: Int?) -> [WireScore] {
        guard let line else { return [] }
        return fleet.packets(line).compactMap { if case .score(let score) = $0.message { score } else { nil } }
    }

    @Test func eachSpeculatorScoresOnePromptAtATime() throws {
        var fleet = Fleet.standing(speculators: 2)
        for id in UInt64(1)...3 { fleet.begin(id, prompt: 8, prunes: true) }
        let lines = [speculator(fleet, "s0"), speculator(fleet, "s1")]
        #expect(lines.map { scores(fleet, $0).count } == [1, 1])
        let line = try #require(lines[0])
        let id = try #require(scores(fleet, line).first?.request)
        let values: [Float] = [9, 0, 0, 0, 0, 0, 0, 9]
        let frame = try values.withUnsafeBytes { bytes in try Frame(Array(bytes)) }
        fleet.answer(.scored(WireScored(request: id, microseconds: 5)), tensors: [frame], line: line)
        #expect(scores(fleet, line).count == 2)
        #expect(fleet.reports[id]?.fallback == nil && (fleet.reports[id]?.keptTokens ?? 8) < 8)
    }

    @Test func aSpeculatorThatDiesCostsASecondTryThenDensePrefill() {
        var fleet = Fleet.standing(speculators: 2)
        fleet.begin(1, prompt: 8, prunes: true)
        for _ in 0..<2 {
            guard
                let number = ["s0", "s1"].compactMap({ speculator(fleet, $0) }).first(where: {
                    !scores(fleet, $0).isEmpty
                }),
                let name = fleet.plane.lines[number]?.name
            else { break }
            #expect(fleet.reports[1] == nil)
            fleet.members[fleet.index(name)].isReached = false
            fleet.pass(.seconds(1))
        }
        #expect(fleet.reports[1]?.keptTokens == 8)
        #expect(fleet.reports[1]?.fallback?.contains("speculation failed: worker s") == true)
        fleet.work()
        #expect(fleet.end(1) == "length" && fleet.tokens[1] == [42, 43, 44])
    }

    @Test func aSpeculatorThatAnswersWhatItWasNotAskedIsGivenUp() throws {
        var fleet = Fleet.standing(speculators: 1)
        fleet.begin(1, prompt: 8, prunes: true)
        let line = try #require(speculator(fleet, "s0"))
        fleet.answer(.scored(WireScored(request: 99)), line: line)
        #expect(fleet.plane.lines[line] == nil)
        // The pipeline is not touched by it, and the prompt is scored again in the next epoch.
        #expect(fleet.epoch?.counter ?? 0 > 0 && fleet.stood.count == 1)
        fleet.pass(.milliseconds(500))
        #expect(scores(fleet, speculator(fleet, "s0")).map(\.request) == [1])
    }

    @Test(arguments: [[Float](), [1, 2, 3], [1, 2, 3, 4, 5, 6, 7, .nan], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
    func anImportanceOfAnotherShapeIsNotTaken(values: [Float]) throws {
        var fleet = Fleet.standing(speculators: 1)
        fleet.begin(1, prompt: 8, prunes: true)
        let line = try #require(speculator(fleet, "s0"))
        let frame = try values.withUnsafeBytes { bytes in try Frame(Array(bytes)) }
        fleet.answer(.scored(WireScored(request: 1)), tensors: values.isEmpty ? [] : [frame], line: line)
        #expect(fleet.plane.lines[line] == nil && fleet.reports[1] == nil)
        #expect(fleet.stood.count == 1)
    }

    /// The weights of the other model would compute, and answer nonsense.
    @Test(arguments: [
        (WorkerRole.stage, Fleet.speculatorWeights), (WorkerRole.speculator, Fleet.weights),
    ])
    func theOtherModelsWeightsAreRefused(role: WorkerRole, weights: [UInt8]) {
        var fleet = Fleet(speculators: true)
        fleet.add("w", role: role, weights: weights)
        fleet.pass(.milliseconds(250))
        #expect(fleet.members[0].desired?.refusal == .otherWeights)
        #expect(fleet.plane.lines.isEmpty)
    }
}
