import Coordinator
import Dispatch
import Foundation
import Synchronization
import Testing

/// Thousands of random schedules of loss, delay, doubling, death and return (in the manner of FoundationDB's and
/// TigerBeetle's simulators): each request ends once with the undisturbed run's tokens, nothing hangs, nothing is left.
///
/// `WINNOW_SIMULATIONS` sets how many schedules are run (`scripts/test.sh` runs 10,000), `WINNOW_SEED` runs one.
@Suite("Simulation", .timeLimit(.minutes(10)))
struct SimulationTests {
    private static let count = ProcessInfo.processInfo.environment["WINNOW_SIMULATIONS"].flatMap { Int($0) } ?? 300
    private static let seed = ProcessInfo.processInfo.environment["WINNOW_SEED"].flatMap { UInt64($0) }

    private static func plan(_ seed: UInt64) -> SimulationPlan {
        var random = Seeded(state: seed &+ 99)
        var plan = SimulationPlan()
        plan.pipelines = (0..<Int.random(in: 1...2, using: &random)).map {
            PipelineShape(name: "p\($0)", stageCount: Int.random(in: 1...3, using: &random))
        }
        plan.spares = Int.random(in: 0...1, using: &random)
        plan.speculators = Int.random(in: 0...2, using: &random)
        plan.requests = Int.random(in: 1...8, using: &random)
        plan.faults = Int.random(in: 0...6, using: &random)
        plan.delay = [.milliseconds(1), .milliseconds(20), .milliseconds(300)].randomElement(using: &random) ?? .zero
        plan.drafts = [0, 1, 4, 7].randomElement(using: &random) ?? 0
        return plan
    }

    private static func failure(_ seed: UInt64) -> String? {
        do {
            let simulation = try Simulation(seed: seed, plan: plan(seed))
            let problems = simulation.run()
            return problems.isEmpty
                ? nil
                : "seed \(seed): \(problems.joined(separator: "; "))\n  \(simulation.record.joined(separator: "\n  "))"
        } catch {
            return "seed \(seed): \(error)"
        }
    }

    @Test func whateverHappensNothingIsLost() async {
        let seeds = Self.seed.map { [$0] } ?? (0..<Self.count).map(UInt64.init)
        let found = Mutex<[String]>([])
        // On threads of its own: the pool that other tests wait on is not to be held up.
        await withCheckedContinuation { done in
            DispatchQueue.global().async {
                DispatchQueue.concurrentPerform(iterations: seeds.count) { index in
                    guard found.withLock({ $0.count < 5 }), let failure = Self.failure(seeds[index]) else { return }
                    found.withLock { $0.append(failure) }
                }
                done.resume()
            }
        }
        let failures = found.withLock { $0 }
        for failure in failures { Issue.record("\(failure)") }
    }

    /// A slow network and nothing else is no reason to give anybody up.
    @Test func theSlowAreNotDead() throws {
        for seed in UInt64(0)..<60 {
            var plan = Self.plan(seed)
            plan.kills = false
            plan.delay = .milliseconds(400)
            let simulation = try Simulation(seed: seed, plan: plan)
            #expect(simulation.run().isEmpty, "seed \(seed)")
            #expect(simulation.faultsSeen.isEmpty, "seed \(seed)")
            #expect(simulation.replays == 0)
        }
    }

    /// Guesses are made and come true; that they change no answer is part of every run.
    @Test func guessesComeTrue() throws {
        var accepted = 0
        for seed in UInt64(0)..<40 {
            var plan = Self.plan(seed)
            plan.speculators = 1
            plan.drafts = 4
            let simulation = try Simulation(seed: seed, plan: plan)
            #expect(simulation.run().isEmpty, "seed \(seed)")
            accepted += simulation.acceptedDrafts
        }
        #expect(accepted > 30)
    }

    @Test func aSeedReproducesItsRun() throws {
        let runs = try (0..<2).map { _ in
            let simulation = try Simulation(seed: 4711, plan: Self.plan(4711))
            _ = simulation.run()
            return (simulation.record, simulation.clients.mapValues(\.tokens))
        }
        #expect(runs[0].0 == runs[1].0)
        #expect(runs[0].1 == runs[1].1)
    }
}
