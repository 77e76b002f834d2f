// What can be wrong with what the user asked for, before or instead of a measurement.

/// An error in the load generator's own input, or a server that cannot be measured at all.
///
/// What goes wrong with a single request is not an error but a measurement: see ``FailureKind``.
public struct LoadGeneratorError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of mistake it is, so that a command can choose its exit code.
    public enum Kind: Sendable, Equatable {
        /// An argument out of its range or not understood.
        case usage
        /// A prompt file that cannot be read or holds something else than prompts.
        case prompts
        /// A server that does not answer, or not as an OpenAI-compatible one.
        case unreachable
    }

    /// The kind of mistake.
    public let kind: Kind
    /// Where: an option, `file:line`, or a URL.
    public let place: String
    /// What was found and what was expected.
    public let problem: String

    /// Makes an error that names the place and the problem.
    public init(_ kind: Kind, _ place: String, _ problem: String) {
        self.kind = kind
        self.place = place
        self.problem = problem
    }

    /// One line: the place, then the problem.
    public var description: String { "\(place): \(problem)" }
}
