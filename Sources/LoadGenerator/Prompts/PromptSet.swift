// Prompt files to values, with the line number of whatever is wrong in them.

public import Foundation

/// One prompt to send, and what is known about its answer.
public struct Prompt: Sendable, Equatable {
    /// What is sent.
    public enum Content: Sendable, Equatable {
        /// A text for `/v1/completions`.
        case text(String)
        /// Chat messages for `/v1/chat/completions`, passed on as they stand in the file.
        case messages([JSONValue])
    }

    /// What is sent.
    public var content: Content
    /// Tokens to generate at most; nil leaves it to the run.
    public var maxTokens: Int?
    /// The right answer; nil when it is not known.
    public var expected: String?

    /// Makes a prompt.
    public init(_ content: Content, maxTokens: Int? = nil, expected: String? = nil) {
        self.content = content
        self.maxTokens = maxTokens
        self.expected = expected
    }
}

/// The prompts of a run, sent in file order and round again.
public struct PromptSet: Sendable, Equatable {
    /// The greatest prompt file that is read, in bytes: all of it is held in memory.
    public static let maximumFileSize = 512 << 20

    /// At least one prompt.
    public let prompts: [Prompt]

    /// Takes prompts from memory.
    ///
    /// - Throws: a prompts error when there are none.
    public init(_ prompts: [Prompt]) throws(LoadGeneratorError) {
        guard !prompts.isEmpty else { throw LoadGeneratorError(.prompts, "prompts", "there are none") }
        self.prompts = prompts
    }

    /// The prompt of the request with this index.
    public subscript(request: Int) -> Prompt { prompts[request % prompts.count] }

    /// Reads a file: JSON lines of `{"prompt": ...}` or `{"messages": [...]}`, or else one plain text prompt.
    ///
    /// A file is JSON lines when its name ends in `.jsonl` or `.ndjson`, or its first line is such an object.
    /// - Throws: a prompts error that names the file, and the line where there is one.
    public init(file path: String) throws(LoadGeneratorError) {
        let contents = try InputFile.read(path, limit: Self.maximumFileSize, fix: "split the file")
        try self.init(contents: contents, name: path)
    }

    /// Reads what a file of this name would hold.
    ///
    /// - Throws: as ``init(file:)``.
    public init(contents: Data, name: String) throws(LoadGeneratorError) {
        guard let text = String(data: contents, encoding: .utf8) else {
            throw LoadGeneratorError(.prompts, name, "not UTF-8 text")
        }
        let lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let named = name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson")
        let first = lines.first.flatMap { try? JSONDecoder().decode([String: JSONValue].self, from: Data($0)) }
        guard named || first?["prompt"] != nil || first?["messages"] != nil else {
            guard !text.allSatisfy(\.isWhitespace) else {
                throw LoadGeneratorError(.prompts, name, "the prompt is empty")
            }
            self.prompts = [Prompt(.text(text))]
            return
        }
        var prompts: [Prompt] = []
        for (index, line) in lines.enumerated() where !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
            prompts.append(try PromptLine.prompt(from: Data(line), place: "\(name):\(index + 1)"))
        }
        guard !prompts.isEmpty else { throw LoadGeneratorError(.prompts, name, "holds no prompt") }
        self.prompts = prompts
    }
}

/// One line of a JSONL prompt file.
private enum PromptLine {
    static func prompt(from line: Data, place: String) throws(LoadGeneratorError) -> Prompt {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: line) else {
            throw LoadGeneratorError(.prompts, place, "not valid JSON")
        }
        guard case .object(let fields) = value else {
            throw LoadGeneratorError(.prompts, place, "must be an object such as {\"prompt\": \"...\"}")
        }
        return Prompt(
            try content(of: fields, place: place),
            maxTokens: try maxTokens(of: fields, place: place),
            expected: try expected(of: fields, place: place))
    }

    private static func content(
        of fields: [String: JSONValue], place: String
    ) throws(LoadGeneratorError) -> Prompt.Content {
        switch (fields["prompt"], fields["messages"]) {
        case (.string(let text), nil):
            guard !text.isEmpty else { throw LoadGeneratorError(.prompts, place, "\"prompt\" is empty") }
            return .text(text)
        case (nil, .array(let messages)):
            for message in messages {
                guard case .object(let parts) = message, case .string = parts["role"], parts["content"] != nil else {
                    throw LoadGeneratorError(.prompts, place, "each message must have a \"role\" and a \"content\"")
                }
            }
            guard !messages.isEmpty else { throw LoadGeneratorError(.prompts, place, "\"messages\" is empty") }
            return .messages(messages)
        case (nil, nil):
            throw LoadGeneratorError(.prompts, place, "has neither \"prompt\" nor \"messages\"")
        case (.some, .some):
            throw LoadGeneratorError(.prompts, place, "has both \"prompt\" and \"messages\": keep one")
        case (.some, nil):
            throw LoadGeneratorError(.prompts, place, "\"prompt\" must be a string")
        case (nil, .some):
            throw LoadGeneratorError(.prompts, place, "\"messages\" must be an array")
        }
    }

    private static func maxTokens(of fields: [String: JSONValue], place: String) throws(LoadGeneratorError) -> Int? {
        switch fields["max_tokens"] {
        case nil, .null: return nil
        case .integer(let count) where count > 0 && count <= 1_000_000: return Int(count)
        default: throw LoadGeneratorError(.prompts, place, "\"max_tokens\" must be a whole number of 1 to 1000000")
        }
    }

    private static func expected(of fields: [String: JSONValue], place: String) throws(LoadGeneratorError) -> String? {
        switch fields["expected"] {
        case nil, .null: return nil
        case .string(let text) where !text.allSatisfy(\.isWhitespace): return text
        case .integer(let number): return String(number)
        default:
            throw LoadGeneratorError(.prompts, place, "\"expected\" must be a string with text, or a whole number")
        }
    }
}
