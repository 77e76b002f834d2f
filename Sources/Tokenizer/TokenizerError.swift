// What can be wrong with a tokenizer's files or with a conversation.

/// A tokenizer that cannot be used, or a conversation that cannot be rendered: where, what is wrong, how to fix it.
public struct TokenizerError: Error, CustomStringConvertible, Sendable, Equatable {
    /// The file, or "chat" for a conversation.
    public var path: String
    /// The place inside it: a JSON field, a metadata key, a message. Empty when the whole file is meant.
    public var place: String
    /// What was expected and what was found.
    public var problem: String
    /// What the reader can do about it, where that is known.
    public var fix: String?

    /// Names a fault.
    public init(path: String, place: String, problem: String, fix: String? = nil) {
        self.path = path
        self.place = place
        self.problem = problem
        self.fix = fix
    }

    /// One line: `path: place: problem (fix)`.
    public var description: String {
        let head = place.isEmpty ? path : "\(path): \(place)"
        guard let fix else { return "\(head): \(problem)" }
        return "\(head): \(problem) (\(fix))"
    }
}
