// What pruning protects, in the templates of published models.

import Checkpoint
import Foundation
import Testing
import Tokenizer

private let published = shared.appendingPathComponent("data/templates")

struct PublishedTemplateTests {
    private static let system = "KEEPSYSTEM words"
    private static let user = "ASK the tide"
    private static let result = "FOUND it"

    private static let tool = JSON.object([
        (Array("type".utf8), .text("function")),
        (
            Array("function".utf8),
            .object([
                (Array("name".utf8), .text("get_tide")), (Array("description".utf8), .text("TELLS the tide")),
                (
                    Array("parameters".utf8),
                    .object([(Array("type".utf8), .text("object")), (Array("properties".utf8), .object([]))])
                ),
            ])
        ),
    ])

    private static func conversation(_ hasSystem: Bool, _ hasTools: Bool) -> Conversation {
        let call = JSON.object([
            (Array("id".utf8), .text("call00001")), (Array("type".utf8), .text("function")),
            (
                Array("function".utf8),
                .object([(Array("name".utf8), .text("get_tide")), (Array("arguments".utf8), .object([]))])
            ),
        ])
        var messages = hasSystem ? [ChatMessage(role: "system", content: system)] : []
        messages.append(ChatMessage(role: "user", content: user))
        if hasTools {
            messages += [
                ChatMessage(members: [
                    ("role", .text("assistant")), ("content", .text("")), ("tool_calls", .array([call])),
                ]),
                ChatMessage(members: [
                    ("role", .text("tool")), ("name", .text("get_tide")), ("tool_call_id", .text("call00001")),
                    ("content", .text(result)),
                ]),
                ChatMessage(role: "assistant", content: "It is 4.5 m."), ChatMessage(role: "user", content: "More?"),
            ]
        }
        return Conversation(messages, tools: hasTools ? [tool] : nil)
    }

    @Test(
        .enabled("no data/templates in the shared data folder") {
            FileManager.default.fileExists(atPath: published.path)
        })
    func protectedWordsAreFound() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: published.path).filter {
            $0.hasSuffix(".jinja")
        }
        var found = (system: 0, tools: 0, results: 0)
        for name in names.sorted() {
            let source = try String(contentsOf: published.appendingPathComponent(name), encoding: .utf8)
            let tokenizer = try loadTokenizer("qwen2", template: source)
            for (hasSystem, hasTools) in [(true, false), (true, true), (false, true)] {
                let conversation = Self.conversation(hasSystem, hasTools)
                guard let text = try? tokenizer.text(of: conversation) else { continue }
                let rendered = tokenizer.encode(text)
                func words(_ spans: [Range<Int>]) -> String {
                    spans.map { tokenizer.decode(Array(rendered.tokens[$0]), skipSpecialTokens: false) }.joined(
                        separator: "^")
                }
                let tools = words(rendered.toolSpans)
                for (message, spans) in zip(conversation.messages, rendered.messageSpans) {
                    guard let content = message["content"]?.text, content.contains(" "), text.string.contains(content)
                    else {
                        continue
                    }
                    let own = words(spans)
                    #expect(own.contains(content), "\(name): \(own)")
                    if message.role != "user" { #expect(!own.contains(Self.user), "\(name): \(own)") }
                    if message.role == "system" { found.system += 1 }
                    if message.role == "tool" { found.results += 1 }
                }
                guard text.string.contains("TELLS the tide") else { continue }
                #expect(tools.contains("TELLS the tide"), "\(name): \(tools)")
                #expect(!tools.contains(Self.user) && !tools.contains(Self.result), "\(name): \(tools)")
                found.tools += 1
            }
        }
        #expect(found.system > 60 && found.tools > 40 && found.results > 40, "\(found)")
    }
}
