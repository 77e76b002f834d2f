// Strangers that share micro-batches must not notice each other.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Many in flight", .timeLimit(.minutes(2)))
    struct ConcurrencyTests {
        @Test func eachGetsTheTextItGetsAlone() async throws {
            let (short, long) = (try Needle.all("needle-1024"), try Needle.all("needle-2048"))
            let modes: [Ask.Pruning] = [.windows, .dense, .reference]
            let asks = (0..<24).map { index in
                var ask = (index % 4 == 3 ? long : short)[index].ask(modes[index % 3])
                // Nothing ends before its length, so that answers overlap in all ways.
                ask.ignoreEos = true
                ask.maxTokens = index % 4 == 3 ? 1 + index % 12 : 1 + 3 * index
                return ask
            }
            try await withCluster(.needle(stages: 3)) { _, _, client in
                let alone = try await concurrently(asks, width: 1) { try await client.complete($0).text }
                let whole = try await concurrently(asks, width: 24) { try await client.complete($0).text }
                let streamed = try await concurrently(asks.reversed(), width: 24) {
                    try await client.stream($0).rest().text
                }
                #expect(Set(alone).count > 20)
                #expect(whole == alone)
                #expect(streamed.reversed() == alone)
            }
        }
    }
}
