// What a coordinator says of its model when it starts.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Start", .timeLimit(.minutes(1)))
    struct StartTests {
        /// Rather than at the first chat: completions are served all the same.
        @Test func aTemplateThatCannotBeUsedIsSaid() async throws {
            let folder = try TemporaryFolder(copyOf: Package.stories)
            try Data("{% if %}".utf8).write(to: folder.file("chat_template.jinja"))
            try await withCluster(Cluster.Shape(model: folder.path)) { cluster, _, client in
                let line = try await cluster.coordinator.log.line(containing: "chat requests will be refused")
                #expect(line.contains(" warning ") && line.contains(folder.path), "\(line)")
                #expect(try await client.complete(Ask(prompt: "Once", maxTokens: 3)).text.isEmpty == false)
            }
        }
    }
}
