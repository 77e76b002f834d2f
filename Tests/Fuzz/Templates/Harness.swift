// Any text as a chat template: it is refused, or it renders a conversation within its bounds.

import Jinja

/// A conversation with what templates ask for. Made anew each time, as it is for a request.
private func variables() throws(TemplateError) -> [(String, Value)] {
    func text(_ text: String, _ owner: UInt32) -> Text {
        Text(Array(text.utf8), origin: Origin(owner: owner, isInput: true))
    }
    func mapping(_ entries: [(String, Value)], _ owner: UInt32) throws(TemplateError) -> Value {
        try .mapping(entries.map { (key: text($0.0, owner), value: $0.1) }, owner: owner)
    }
    func message(_ role: String, _ content: String, _ owner: UInt32) throws(TemplateError) -> Value {
        try mapping([("role", .text(text(role, owner))), ("content", .text(text(content, owner)))], owner)
    }
    let arguments = try mapping([("port", .text(text("Brest", 4))), ("hours", .integer(6))], 4)
    let function = try mapping([("name", .text(text("tide", 4))), ("arguments", arguments)], 4)
    let call = try mapping([("type", .text(text("function", 4))), ("function", function)], 4)
    let called = try mapping([("role", .text(text("assistant", 4))), ("tool_calls", .array([call]))], 4)
    let tool = try mapping(
        [("type", .text(text("function", 1))), ("function", mapping([("name", .text(text("tide", 1)))], 1))], 1)
    return [
        (
            "messages",
            try .array([
                message("system", " Be brief. ", 2), message("user", "é🌊 <|end|>\nnow?", 3), called,
                message("tool", "{\"height\": 4.5}", 5),
            ])
        ),
        ("tools", try .array([tool])), ("documents", .none), ("add_generation_prompt", .boolean(true)),
        ("bos_token", .text(Text(Array("<s>".utf8)))), ("eos_token", .text(Text(Array("</s>".utf8)))),
    ]
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzTemplates(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let source = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    do {
        let template = try Template(source)
        let text = try template.render(
            variables(), clock: .fixed(year: 2026, month: 7, day: 4), limits: Limits(steps: 100_000, textBytes: 1 << 20)
        )
        // What it wrote is UTF-8, and every byte has an origin.
        precondition(String(validating: text.bytes, as: UTF8.self) != nil, "the text is not UTF-8")
        precondition(text.runs.last?.end ?? 0 == text.bytes.count, "the origins do not cover the text")
        precondition(zip(text.runs, text.runs.dropFirst()).allSatisfy { $0.end < $1.end }, "origins out of order")
    } catch {
        precondition(!error.message.isEmpty, "an error without words")
    }
    return 0
}
