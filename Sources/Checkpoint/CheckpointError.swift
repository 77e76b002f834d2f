public import Compute

/// A model file that cannot be used: which file, which place in it, what is wrong there and how to put it right.
public struct CheckpointError: Error, CustomStringConvertible, Sendable, Equatable {
    /// The file or directory as it was given.
    public var path: String
    /// The place inside it: a tensor, a JSON field, a byte range. Empty when the whole file is meant.
    public var place: String
    /// What was expected and what was found.
    public var problem: String
    /// What the reader can do about it, where that is known.
    public var fix: String?
    /// The memory that can't be had, where that is what is wrong.
    public var memory: MemoryError?

    /// Names a fault in a model file.
    public init(path: String, place: String, problem: String, fix: String? = nil) {
        self.path = path
        self.place = place
        self.problem = problem
        self.fix = fix
    }

    /// What is in the file is sound, but there is no memory for it.
    public init(path: String, place: String, _ memory: MemoryError) {
        self.init(path: path, place: place, problem: "\(memory)")
        self.memory = memory
    }

    /// One line: `path: place: problem (fix)`.
    public var description: String {
        let head = place.isEmpty ? path : "\(path): \(place)"
        guard let fix else { return "\(head): \(problem)" }
        return "\(head): \(problem) (\(fix))"
    }
}
