// From tokens to statements: Jinja's grammar.

/// Parses one template.
struct Parser {
    private let tokens: [Token]
    private var position = 0
    /// Blocks that are open.
    var depth = 0
    /// Loops that a `break` here would leave.
    private var loops = 0
    /// Per open macro: the names its body reads.
    var namesRead: [Set<String>] = [[]]
    /// Expressions that are open.
    var nesting = 0
    /// Filters and tests that nobody knows, outside of branches.
    var unknown: [TemplateError] = []

    /// The statements of `source`, which must be UTF-8.
    static func parse(_ source: [UInt8]) throws(TemplateError) -> [Statement] {
        var parser = Parser(tokens: try Lexer.tokens(of: source))
        let body = try parser.statements(until: [])
        if let error = parser.unknown.first { throw error }
        return body
    }

    private init(tokens: [Token]) {
        self.tokens = tokens
    }

    // MARK: Tokens

    var current: Token { tokens[position] }

    /// The token behind the current one.
    var following: Token { tokens[min(position + 1, tokens.count - 1)] }

    mutating func advance() { if position + 1 < tokens.count { position += 1 } }

    func fault(_ message: String, line: Int? = nil) -> TemplateError {
        TemplateError(.syntax, message, line: line ?? current.line)
    }

    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    func isSign(_ sign: Token.Sign) -> Bool { current.kind == .sign(sign) }

    mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func skip(_ sign: Token.Sign) -> Bool {
        guard isSign(sign) else { return false }
        advance()
        return true
    }

    mutating func expect(_ sign: Token.Sign) throws(TemplateError) {
        guard skip(sign) else { throw fault("expected '\(sign.rawValue)', found \(current.shown)") }
    }

    mutating func expect(name: String) throws(TemplateError) {
        guard skip(name: name) else { throw fault("expected '\(name)', found \(current.shown)") }
    }

    private mutating func expectBlockEnd() throws(TemplateError) {
        guard current.kind == .blockEnd else { throw fault("expected '%}', found \(current.shown)") }
        advance()
    }

    /// Any name.
    mutating func name() throws(TemplateError) -> String {
        guard case .name(let name) = current.kind else { throw fault("expected a name, found \(current.shown)") }
        advance()
        return name
    }

    // MARK: Bodies

    /// Statements up to a tag with one of the names in `ends`, which becomes the current token; up to the end of the
    /// template when there are none.
    private mutating func statements(until ends: [String]) throws(TemplateError) -> [Statement] {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Limits.blockDepth else {
            throw TemplateError(.limit, "blocks nest deeper than \(Limits.blockDepth)", line: current.line)
        }
        var body: [Statement] = []
        while true {
            let line = current.line
            switch current.kind {
            case .data(let bytes):
                body.append(Statement(kind: .text(Text(bytes)), line: line))
                advance()
            case .variableBegin:
                advance()
                body.append(Statement(kind: .output(try tuple()), line: line))
                guard current.kind == .variableEnd else { throw fault("expected '}}', found \(current.shown)") }
                advance()
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, ends.contains(name) { return body }
                if let statement = try statement(until: ends) { body.append(statement) }
                try expectBlockEnd()
            case .end:
                guard ends.isEmpty else {
                    throw fault("the template ends where {% \(ends.joined(separator: " %} or {% ")) %} is expected")
                }
                return body
            default: throw fault("unexpected \(current.shown)")
            }
        }
    }

    /// The body of the tag that ends here, and the name of the tag that ends it.
    private mutating func body(until ends: String...) throws(TemplateError) -> ([Statement], end: String) {
        _ = skip(.colon)
        try expectBlockEnd()
        let body = try statements(until: ends)
        return (body, try name())
    }

    /// The body of something that is run on its own, so that no loop around it can be left from within.
    private mutating func closedBody(until end: String) throws(TemplateError) -> [Statement] {
        let outer = loops
        loops = 0
        defer { loops = outer }
        return try body(until: end).0
    }

    // MARK: Statements

    private mutating func statement(until ends: [String]) throws(TemplateError) -> Statement? {
        let line = current.line
        guard case .name(let tag) = current.kind else {
            throw fault("expected the name of a tag, found \(current.shown)")
        }
        advance()
        return Statement(kind: try kind(of: tag, line: line, ends), line: line)
    }

    private mutating func kind(
        of tag: String, line: Int, _ ends: [String]
    ) throws(TemplateError) -> Statement.Kind {
        switch tag {
        case "for": return try loop()
        case "if": return try branches()
        case "set": return try set()
        case "macro": return try macro(line: line)
        case "call": return try callBlock(line: line)
        case "filter":
            guard let filter = try filters(of: nil, startsInside: true) else { throw fault("expected a filter") }
            return .filterBlock(filter, try body(until: "endfilter").0)
        case "with": return try with()
        case "block": return try block()
        case "print":
            let value = try tuple()
            return .output(value)
        case "generation": return .generation(try closedBody(until: "endgeneration"))
        case "autoescape":
            guard case .constant(.boolean(false)) = try expression().kind else {
                throw fault("only autoescape false is supported", line: line)
            }
            return .with([], try body(until: "endautoescape").0)
        case "break", "continue":
            guard loops > 0 else { throw fault("'\(tag)' outside of a loop", line: line) }
            return tag == "break" ? .breakLoop : .continueLoop
        case "include", "import", "from", "extends":
            while current.kind != .blockEnd {
                guard current.kind != .end else { throw fault("a tag without its end", line: line) }
                advance()
            }
            return .otherTemplate(tag)
        default:
            let wanted = ends.isEmpty ? "" : "; {% \(ends.joined(separator: " %} or {% ")) %} is open"
            throw fault("unknown tag '\(tag)'\(wanted)", line: line)
        }
    }

    private mutating func loop() throws(TemplateError) -> Statement.Kind {
        let target = try target(until: "in")
        try expect(name: "in")
        let items = try tuple(conditional: false, until: "recursive")
        let condition = skip(name: "if") ? try expression() : nil
        let isRecursive = skip(name: "recursive")
        loops += 1
        var (body, end) = try body(until: "endfor", "else")
        loops -= 1
        var otherwise: [Statement] = []
        if end == "else" { (otherwise, end) = try self.body(until: "endfor") }
        return .loop(
            LoopSyntax(
                target: target, items: items, condition: condition, isRecursive: isRecursive, body: body,
                otherwise: otherwise))
    }

    private mutating func branches() throws(TemplateError) -> Statement.Kind {
        var branches: [(condition: Expression, body: [Statement])] = []
        while true {
            let condition = try tuple(conditional: false)
            // What a branch needs must be known only when it is taken.
            let known = unknown.count
            let (body, end) = try body(until: "elif", "else", "endif")
            branches.append((condition, body))
            unknown.removeSubrange(known...)
            if end == "elif" { continue }
            guard end == "else" else { return .branches(branches, otherwise: []) }
            let otherwise = try self.body(until: "endif").0
            unknown.removeSubrange(known...)
            return .branches(branches, otherwise: otherwise)
        }
    }

    private mutating func set() throws(TemplateError) -> Statement.Kind {
        let target = try target(until: nil, withAttributes: true)
        if skip(.assign) { return .set(target, try tuple()) }
        let filter = try filters(of: nil, startsInside: false)
        return .setBlock(target, filter: filter, try body(until: "endset").0)
    }

    private mutating func signature() throws(TemplateError) -> [(name: String, fallback: Expression?)] {
        try expect(.openParenthesis)
        var parameters: [(name: String, fallback: Expression?)] = []
        while !isSign(.closeParenthesis) {
            if !parameters.isEmpty { try expect(.comma) }
            let name = try name()
            let fallback = skip(.assign) ? try expression() : nil
            if fallback == nil, parameters.last?.fallback != nil {
                throw fault("a parameter without a default behind one with a default")
            }
            guard !parameters.contains(where: { $0.name == name }) else {
                throw fault("a macro has two parameters called '\(name)'")
            }
            parameters.append((name, fallback))
        }
        try expect(.closeParenthesis)
        return parameters
    }

    private mutating func macro(line: Int) throws(TemplateError) -> Statement.Kind {
        let name = try name()
        namesRead.append([])
        let parameters = try signature()
        let body = try closedBody(until: "endmacro")
        return .macro(closeMacro(name, parameters, body, line))
    }

    private mutating func closeMacro(
        _ name: String, _ parameters: [(name: String, fallback: Expression?)], _ body: [Statement], _ line: Int
    ) -> MacroSyntax {
        let names = namesRead.removeLast()
        if !namesRead.isEmpty { namesRead[namesRead.count - 1].formUnion(names) }
        return MacroSyntax(name: name, parameters: parameters, body: body, names: names, line: line)
    }

    private mutating func callBlock(line: Int) throws(TemplateError) -> Statement.Kind {
        namesRead.append([])
        let parameters = isSign(.openParenthesis) ? try signature() : []
        let expression = try expression()
        guard case .call(let function, let arguments) = expression.kind else {
            throw fault("expected a call", line: line)
        }
        let body = try closedBody(until: "endcall")
        return .callBlock(function, arguments, closeMacro("caller", parameters, body, line))
    }

    private mutating func with() throws(TemplateError) -> Statement.Kind {
        var assignments: [(Target, Expression)] = []
        while current.kind != .blockEnd, !isSign(.colon) {
            if !assignments.isEmpty { try expect(.comma) }
            let target = try target(until: nil)
            try expect(.assign)
            assignments.append((target, try expression()))
        }
        return .with(assignments, try body(until: "endwith").0)
    }

    private mutating func block() throws(TemplateError) -> Statement.Kind {
        let name = try name()
        let isScoped = skip(name: "scoped")
        _ = skip(name: "required")
        let body = try closedBody(until: "endblock")
        _ = skip(name: name)
        return .block(body, isScoped: isScoped)
    }
}
