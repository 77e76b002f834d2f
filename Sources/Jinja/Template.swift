// A chat template, read once and rendered often.

/// A Jinja template as `transformers` runs a model's chat template: `trim_blocks`, `lstrip_blocks`, loop controls, the
/// immutable sandbox, and `raise_exception`, `strftime_now`, `tojson` and `generation` blocks besides.
///
/// It reaches nothing of the host but the clock it is given, and every rendering is bounded.
public struct Template: Sendable {
    private let statements: [Statement]

    /// Reads a template; the error names the line and what is wrong there.
    public init(_ source: String) throws(TemplateError) {
        statements = try Parser.parse(Array(source.utf8))
    }

    /// The text of the template for some variables, with the origin of every stretch.
    ///
    /// - Parameters:
    ///   - variables: what the template finds under which name.
    ///   - clock: where it takes the time from, if it asks.
    ///   - limits: how much it may do.
    public func render(
        _ variables: [(String, Value)], clock: Clock = .system, limits: Limits = Limits()
    ) throws(TemplateError) -> Text {
        try Renderer(variables: variables, clock: clock, limits: limits).render(statements)
    }
}
