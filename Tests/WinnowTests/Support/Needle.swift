// Questions about a fact hidden in book text.

import Foundation

/// One prompt of the needle pair, and the five digits that answer it.
struct Needle: Decodable, Sendable {
    var prompt: String
    var answer: String

    /// The prompts of one length: `needle-1024` or `needle-2048`.
    static func all(_ name: String) throws -> [Needle] {
        let text = try String(contentsOfFile: Package.file("Tests/WinnowTests/Fixtures/\(name).jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").map { try JSONDecoder().decode(Needle.self, from: Data($0.utf8)) }
    }

    func ask(_ pruning: Ask.Pruning?) -> Ask { Ask(prompt: .text(prompt), maxTokens: 6, speculativePrefill: pruning) }
}

/// Does `work` for each element, `width` at a time, and returns the results in the elements' order.
func concurrently<Element: Sendable, Result: Sendable>(
    _ elements: [Element], width: Int, _ work: @escaping @Sendable (Element) async throws -> Result
) async throws -> [Result] {
    try await withThrowingTaskGroup(of: (Int, Result).self) { group in
        var results = [Result?](repeating: nil, count: elements.count)
        for (index, element) in elements.enumerated() {
            if index >= width, let (done, result) = try await group.next() { results[done] = result }
            group.addTask { (index, try await work(element)) }
        }
        for try await (done, result) in group { results[done] = result }
        return results.compactMap { $0 }
    }
}
