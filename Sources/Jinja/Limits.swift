// Bounds on what a template may cost.

/// How much one rendering may do. A template that wants more ends with an error of kind `limit`.
public struct Limits: Sendable {
    /// Steps: one for each expression, list entry and 32 bytes of text that are looked at or written.
    public var steps: Int
    /// Longest single text, the output included, in bytes.
    public var textBytes: Int
    /// Calls, blocks and expressions that are open at once; 400 need less than 1 MiB of stack in a release build.
    public var depth: Int

    /// Bounds; the defaults are for a conversation of up to 16 MiB, and end a runaway template within seconds.
    public init(steps: Int = 20_000_000, textBytes: Int = 1 << 26, depth: Int = 400) {
        self.steps = steps
        self.textBytes = textBytes
        self.depth = depth
    }

    /// Most entries of a list or range; Jinja's sandbox bounds ranges alike.
    static let entries = 1_000_000
    static let rangeEntries = 100_000
    /// Values nest at most this deep: what walks them recurses.
    static let nesting = 200
    /// Longest template, in bytes, and how deep its expressions (as in CPython) and blocks may nest.
    static let templateBytes = 1 << 20
    static let expressionDepth = 200
    static let blockDepth = 60
}

/// What is left of a rendering's limits.
final class Budget {
    private var steps: Int
    let textBytes: Int

    init(_ limits: Limits) {
        steps = limits.steps
        textBytes = limits.textBytes
    }

    /// Takes `count` steps.
    func spend(_ count: Int = 1) throws(TemplateError) {
        steps -= count
        if steps < 0 { throw TemplateError(.limit, "the template takes too many steps") }
    }

    /// Takes the steps for text of `count` bytes; throws when no text may be that long.
    func spend(bytes count: Int) throws(TemplateError) {
        guard count <= textBytes else {
            throw TemplateError(.limit, "a text of \(count) bytes, at most \(textBytes) are accepted")
        }
        try spend(1 + count >> 5)
    }

    /// Takes the steps for a list of `count` entries.
    func spend(entries count: Int) throws(TemplateError) {
        guard count <= Limits.entries else {
            throw TemplateError(.limit, "a list of \(count) entries, at most \(Limits.entries) are accepted")
        }
        try spend(1 + count)
    }
}
