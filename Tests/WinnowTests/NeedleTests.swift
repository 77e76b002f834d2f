// What pruning costs and keeps, measured through three real workers as the models' card measured it in PyTorch.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Needles", .timeLimit(.minutes(4)))
    struct NeedleTests {
        /// Shares of right answers: of the whole prompt, of a tenth by windows, of a tenth as the paper selects it.
        struct Accuracies: Sendable {
            /// The fixture's name.
            var prompts: String
            /// The table in cluster/models/needle-main-2m/README.md, from 100 other prompts a cell.
            var card: [Double]
            /// These very prompts in PyTorch: `scripts/make_needle_prompts.py --check`.
            var pyTorch: [Double]
        }

        @Test(
            arguments: [
                Accuracies(prompts: "needle-1024", card: [0.90, 0.94, 0.57], pyTorch: [0.92, 0.94, 0.46]),
                Accuracies(prompts: "needle-2048", card: [0.86, 0.91, 0.54], pyTorch: [0.86, 0.94, 0.44]),
            ])
        func accuracyIsThatOfTheCard(expected: Accuracies) async throws {
            let needles = try Needle.all(expected.prompts)
            try #require(needles.count == 50)
            let modes: [(String, Ask.Pruning)] = [
                ("dense", .dense), ("windows", .windows), ("reference", .reference),
            ]
            try await withCluster(.needle(stages: 3)) { _, _, client in
                for (index, (mode, pruning)) in modes.enumerated() {
                    let answers = try await concurrently(needles, width: 4) { needle in
                        let answer = try await client.complete(needle.ask(pruning))
                        return (
                            isRight: answer.text.trimmingCharacters(in: .whitespaces).hasPrefix(needle.answer),
                            facts: try #require(answer.speculativePrefill)
                        )
                    }
                    let accuracy = Double(answers.count(where: \.isRight)) / Double(answers.count)
                    let kept = answers.map(\.facts.keepRate).reduce(0, +) / Double(answers.count)
                    let (card, pyTorch) = (expected.card[index], expected.pyTorch[index])
                    print(
                        "\(expected.prompts) \(mode): accuracy \(accuracy), PyTorch \(pyTorch), card \(card);",
                        "kept \((kept * 1000).rounded() / 10) %")
                    #expect(answers.allSatisfy { $0.facts.fallback == nil })
                    // Other arithmetic may turn a close call on a prompt or two, no more.
                    #expect(abs(accuracy - pyTorch) < 0.05, "\(mode)")
                    let error = (card * (1 - card) * (1 / 50.0 + 1 / 100.0)).squareRoot()
                    #expect(abs(accuracy - card) <= 3 * error, "\(mode)")
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
}
