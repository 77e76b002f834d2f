// A conversation as the values a template is given, each word with its owner.

internal import Checkpoint
internal import Jinja

/// Whose words a stretch of a rendered conversation is.
enum ChatOwner {
    static let tools: UInt32 = 1
    static let documents: UInt32 = 2
    static let arguments: UInt32 = 3

    /// The owner number of a message.
    static func message(_ index: Int) -> UInt32 { UInt32(4 + index) }
}

extension JSON {
    /// The value as a template gets it.
    func value(owner: UInt32) throws(TemplateError) -> Value {
        let origin = Origin(owner: owner, isInput: true)
        switch self {
        case .null: return .none
        case .boolean(let flag): return .boolean(flag)
        case .integer(let number): return .integer(number)
        case .largeInteger(let digits): return .largeInteger(Text(digits, origin: origin))
        case .number(let number): return .float(number)
        case .string(let bytes): return .text(Text(bytes, origin: origin))
        case .array(let items):
            var values: [Value] = []
            values.reserveCapacity(items.count)
            for item in items { values.append(try item.value(owner: owner)) }
            return try .array(values)
        case .object(let members):
            var entries: [(key: Text, value: Value)] = []
            for (key, value) in members {
                entries.append((Text(key, origin: origin), try value.value(owner: owner)))
            }
            return try .mapping(entries, owner: owner)
        }
    }
}

extension ChatMessage {
    /// The names under which clients send what a model thought, the one templates read most first.
    private static let reasoning = ["reasoning_content", "thinking", "reasoning"]

    /// The message as transformers hands it to a template: without members that are null, with reasoning under both
    /// of the names that templates read, and with tools' arguments as objects.
    var normalized: ChatMessage {
        var message = self
        message.members.removeAll { if case .null = $0.value { true } else { false } }
        if let thought = Self.reasoning.lazy.compactMap({ message[$0] }).first {
            if message["thinking"] == nil { message.members.insert(("thinking", thought), at: 0) }
            message.set("reasoning_content", thought)
        }
        if case .array(let calls)? = message["tool_calls"] {
            message.set("tool_calls", .array(calls.map(Self.withObject)))
        }
        return message
    }

    mutating func set(_ name: String, _ value: JSON) {
        if let index = members.lastIndex(where: { $0.key == name }) {
            members[index].value = value
        } else {
            members.append((name, value))
        }
    }

    /// A tool call whose arguments are an object rather than that object's JSON as a string, which is how OpenAI's API
    /// has them.
    private static func withObject(_ call: JSON) -> JSON {
        guard case .object(var members) = call,
            let index = members.lastIndex(where: { $0.key.elementsEqual("function".utf8) }),
            case .object(var function) = members[index].value,
            let place = function.lastIndex(where: { $0.key.elementsEqual("arguments".utf8) }),
            case .string(let text) = function[place].value
        else { return call }
        if text.isEmpty {
            function[place].value = .object([])
        } else if let parsed = JSONParser.parse(text) {
            function[place].value = parsed
        } else {
            return call
        }
        members[index].value = .object(function)
        return .object(members)
    }

    /// The message with its content in the one form the template knows.
    func adapted(to form: ContentForm) -> ChatMessage {
        var message = self
        switch (form, self["content"]) {
        case (.text, .array(let parts)?):
            // As vLLM joins them.
            let lines = parts.compactMap { $0["text"]?.bytes }
            message.set("content", .string(Array(lines.joined(separator: [0x0A]))))
        case (.parts, .string(let text)?):
            message.set(
                "content",
                .array([.object([(Array("type".utf8), .text("text")), (Array("text".utf8), .string(text))])]))
        default: break
        }
        return message
    }

    /// The message as a value.
    func value(owner: UInt32) throws(TemplateError) -> Value {
        var entries: [(key: Text, value: Value)] = []
        for (name, value) in members {
            let key = Text(Array(name.utf8), origin: Origin(owner: owner, isInput: true))
            if name == "role", let role = value.bytes, Self.isPlain(role) {
                // Many templates make marks of it: `<|user|>`. A bare word can write no other mark.
                entries.append((key, .text(Text(role, origin: Origin(owner: owner, isInput: false)))))
            } else {
                entries.append((key, try value.value(owner: owner)))
            }
        }
        return try .mapping(entries, owner: owner)
    }

    private static func isPlain(_ role: [UInt8]) -> Bool {
        role.count <= 64
            && role.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == 0x5F || byte == 0x2D
            }
    }
}
