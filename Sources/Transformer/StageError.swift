internal import Compute

/// A call on a ``Stage`` that cannot be carried out. Nothing was computed and no cache was changed.
public struct StageError: Error, CustomStringConvertible, Sendable, Equatable {
    /// What kind of fault it is.
    public enum Code: String, Sendable {
        /// A token id outside the vocabulary.
        case invalidToken
        /// A matrix or a list whose size does not fit the model or its counterpart.
        case invalidShape
        /// A position id that is negative or beyond the context length.
        case invalidPosition
        /// A cache made for other layers, or passed twice in one call.
        case wrongCache
        /// More rows than a cache has room for.
        case cacheFull
        /// Work for the first or last stage asked of another.
        case wrongStage
        /// Logits that are infinite or no numbers: no token can be drawn from them.
        case notFinite
        /// Memory that can't be had.
        case noMemory
    }

    /// What kind of fault it is.
    public var code: Code
    /// The call that failed.
    public var operation: String
    /// What was expected and what was found.
    public var problem: String

    /// Names a fault in a call.
    public init(code: Code, operation: String, problem: String) {
        self.code = code
        self.operation = operation
        self.problem = problem
    }

    /// `operation: problem`.
    public var description: String { "\(operation): \(problem)" }
}

extension StageError {
    /// What `body` gives; memory that can't be had becomes an error of the operation.
    static func ofMemory<R>(_ operation: String, _ body: () throws(MemoryError) -> R) throws(StageError) -> R {
        do throws(MemoryError) {
            return try body()
        } catch {
            throw StageError(code: .noMemory, operation: operation, problem: "\(error)")
        }
    }
}
