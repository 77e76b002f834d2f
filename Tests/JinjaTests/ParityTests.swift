// The texts that transformers renders, and errors where it has them.

import Foundation
import Jinja
import Testing

@Suite("Parity with transformers")
struct ParityTests {
    private static var marks: [(String, Value)] {
        [("bos_token", .text(Text(Array("<s>".utf8)))), ("eos_token", .text(Text(Array("</s>".utf8))))]
    }

    @Test("Every construct gives the text, or fails")
    func constructs() throws {
        let source = try String(contentsOf: fixtures.appendingPathComponent("constructs.json"), encoding: .utf8)
        let cases = try JSON(parsing: source).array
        #expect(cases.count > 200)
        for entry in cases {
            let template = try #require(entry["template"]?.string)
            let variables = try (entry["variables"]?.object ?? []).map { ($0.key, try $0.value.value()) }
            guard let expected = entry["text"]?.string else {
                #expect(fault(template, Self.marks + variables) != nil, "\(template)")
                continue
            }
            do {
                #expect(try render(template, Self.marks + variables).description == expected, "\(template)")
            } catch {
                Issue.record("\(template): \(error)")
            }
        }
    }

    /// Templates of published models, which are their makers' and no part of this repository.
    @Test(
        "Published templates give the texts of transformers",
        .enabled("no data/templates/expected.jsonl in the shared data folder") {
            FileManager.default.fileExists(atPath: shared.appendingPathComponent("data/templates/expected.jsonl").path)
        })
    func published() throws {
        let folder = shared.appendingPathComponent("data/templates")
        let lines = try String(contentsOf: folder.appendingPathComponent("expected.jsonl"), encoding: .utf8)
        var counts = (texts: 0, errors: 0)
        var templates: [String: Template] = [:]
        for line in lines.split(separator: "\n") {
            let row = try JSON(parsing: String(line))
            let name = try #require(row["template"]?.string)
            let label: Comment = "\(name): \(row["chat"]?.string ?? "")"
            do {
                if templates[name] == nil {
                    templates[name] = try Template(
                        String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8))
                }
                let text = try templates[name]?.render(try Self.variables(row), clock: noon).description
                #expect(text == row["text"]?.string, label)
                counts.texts += 1
            } catch {
                #expect(row["error"] != nil, "\(name): \(row["chat"]?.string ?? ""): \(error)")
                counts.errors += 1
            }
        }
        #expect(counts == (513, 63))
    }

    private static func variables(_ row: JSON) throws -> [(String, Value)] {
        let messages = try (row["messages"]?.array ?? []).enumerated().map { index, message in
            var members = message.object
            // transformers gives reasoning under the older name too.
            if let reasoning = message["reasoning_content"] { members.insert(("thinking", reasoning), at: 0) }
            return try JSON.object(members).value(Origin(owner: UInt32(10 + index), isInput: true))
        }
        return try marks + [
            ("add_generation_prompt", .boolean(true)), ("tools", row["tools"]?.value() ?? .none), ("documents", .none),
            ("messages", .array(messages)),
        ] + (row["options"]?.object ?? []).map { ($0.key, try $0.value.value()) }
    }
}
