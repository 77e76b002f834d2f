// What can go wrong with a template.

/// A template that cannot be read or rendered: where, and why.
public struct TemplateError: Error, CustomStringConvertible, Sendable, Equatable {
    /// What kind of fault it is.
    public enum Kind: Sendable, Equatable {
        /// The text is no template.
        case syntax
        /// An operation that its values do not have; Python's TypeError, ValueError and so on.
        case runtime
        /// Something undefined was used.
        case undefined
        /// Something that templates may not reach.
        case security
        /// The template itself called `raise_exception`.
        case raised
        /// A bound on time, memory or depth.
        case limit
    }

    /// What kind of fault it is.
    public var kind: Kind
    /// The cause, in one line.
    public var message: String
    /// The template's line, counted from 1; 0 where it is not known.
    public var line: Int

    init(_ kind: Kind, _ message: String, line: Int = 0) {
        self.kind = kind
        self.message = message
        self.line = line
    }

    /// An operation that values of these types do not have.
    static func type(_ message: String) -> TemplateError { TemplateError(.runtime, message) }

    /// One line: `line 3: message`.
    public var description: String { line > 0 ? "line \(line): \(message)" : message }
}
