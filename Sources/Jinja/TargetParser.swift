// What is assigned to.

extension Parser {
    /// What is assigned to; a tuple ends before the name `until`.
    mutating func target(
        until end: String?, withAttributes: Bool = false
    ) throws(TemplateError) -> Target {
        var targets: [Target] = []
        var isTuple = false
        while true {
            if isEndOfTuple(end) { break }
            if let end, isName(end) { break }
            targets.append(try singleTarget(withAttributes))
            guard skip(.comma) else { break }
            isTuple = true
        }
        guard let first = targets.first else { throw fault("expected a name, found \(current.shown)") }
        return isTuple ? .tuple(targets) : first
    }

    private mutating func singleTarget(_ withAttributes: Bool) throws(TemplateError) -> Target {
        if skip(.openParenthesis) {
            depth += 1
            defer { depth -= 1 }
            guard depth <= Limits.blockDepth else { throw fault("targets nest too deep") }
            let inner = try target(until: nil, withAttributes: withAttributes)
            try expect(.closeParenthesis)
            return inner
        }
        let name = try name()
        guard !Self.constants.contains(name) else { throw fault("cannot assign to '\(name)'") }
        guard withAttributes, skip(.dot) else { return .name(name) }
        return .attribute(of: name, try self.name())
    }

    /// Names that are constants.
    static let constants: Set<String> = ["true", "false", "none", "True", "False", "None"]

    /// A tuple without parentheses ends here.
    func isEndOfTuple(_ end: String?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .sign(.closeParenthesis): true
        case .name(let name): name == end
        default: false
        }
    }
}
