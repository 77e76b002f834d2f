// What pruning costs and keeps, measured through three real workers as the models' card measured it in PyTorch.

import Foundation
import Testing

@Suite("Needles", .serialized, .timeLimit(.minutes(4)), .enabled(if: Program.isBuilt, "winnow is not built"))
struct NeedleTests {
    /// A cell of the table in cluster/models/needle-main-2m/README.md.
    struct Cell: Sendable {
        var mode: String
        var pruning: Ask.Pruning
        var accuracy: Double
    }

    @Test(
        arguments: [
            ("needle-1024", [0.90, 0.94, 0.57]),
            ("needle-2048", [0.86, 0.91, 0.54]),
        ])
    func accuracyIsThatOfTheCard(name: String, card: [Double]) async throws {
        let needles = try Needle.all(name)
        try #require(needles.count == 50)
        let modes: [(String, Ask.Pruning)] = [
            ("dense", .dense), ("windows", .windows), ("reference", .reference),
        ]
        try await withCluster(.needle(stages: 3)) { _, _, client in
            for ((mode, pruning), expected) in zip(modes, card) {
                let answers = try await concurrently(needles, width: 4) { needle in
                    let answer = try await client.complete(needle.ask(pruning))
                    return (
                        isRight: answer.text.trimmingCharacters(in: .whitespaces).hasPrefix(needle.answer),
                        facts: try #require(answer.speculativePrefill)
                    )
                }
                let accuracy = Double(answers.count(where: \.isRight)) / Double(answers.count)
                let kept = answers.map(\.facts.keepRate).reduce(0, +) / Double(answers.count)
                print("\(name) \(mode): accuracy \(accuracy), the card says \(expected); kept \(kept)")
                #expect(answers.allSatisfy { $0.facts.fallback == nil })
                // The card's number is from 100 prompts of its own, so both samples err.
                let error = (expected * (1 - expected) * (1 / 50.0 + 1 / 100.0)).squareRoot()
                #expect(abs(accuracy - expected) <= 3 * error, "\(mode)")
                switch mode {
                case "dense": #expect(kept == 1)
                // The tail and BOS come on top of the tenth, which windows fill with whole windows.
                case "windows": #expect(kept > 0.1 && kept < 0.22)
                default: #expect(kept > 0.09 && kept < 0.14)
                }
            }
        }
    }
}
