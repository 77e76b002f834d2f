// From tokens to expressions, with Jinja's precedences.

extension Parser {
    /// An expression, or a tuple without parentheses. `end`: a name that ends it.
    mutating func tuple(
        conditional: Bool = true, until end: String? = nil, mayBeEmpty: Bool = false
    ) throws(TemplateError) -> Expression {
        let line = current.line
        var items: [Expression] = []
        var isTuple = false
        while !isEndOfTuple(end) {
            items.append(conditional ? try expression() : try binary(.or))
            guard skip(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let only = items.first { return only }
        guard isTuple || mayBeEmpty else { throw fault("expected an expression, found \(current.shown)") }
        return try Expression(.tuple(items), line: line, items)
    }

    /// An expression, `a if b else c` included.
    mutating func expression() throws(TemplateError) -> Expression {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Limits.expressionDepth / 2 else {
            throw TemplateError(.limit, "expressions nest too deep", line: current.line)
        }
        let known = unknown.count
        var value = try binary(.or)
        while isName("if") {
            let line = current.line
            advance()
            let condition = try binary(.or)
            let otherwise = skip(name: "else") ? try expression() : nil
            unknown.removeSubrange(known...)
            value = try Expression(
                .conditional(condition, then: value, otherwise: otherwise), line: line,
                [condition, value] + (otherwise.map { [$0] } ?? []))
        }
        return value
    }

    /// Operators by rising precedence.
    enum Level: Int {
        case or, and, not, comparison, sum, concatenation, product, power, unary
    }

    private func next(_ level: Level) -> Level { Level(rawValue: level.rawValue + 1) ?? .unary }

    mutating func binary(_ level: Level) throws(TemplateError) -> Expression {
        switch level {
        case .or, .and:
            var left = try binary(next(level))
            let word = level == .or ? "or" : "and"
            while isName(word) {
                let line = current.line
                advance()
                let right = try binary(next(level))
                left = try Expression(
                    level == .or ? .or(left, right) : .and(left, right), line: line, [left, right])
            }
            return left
        case .not: return try negation()
        case .comparison: return try comparison()
        case .sum: return try arithmetic(level, [.add, .subtract])
        case .concatenation: return try concatenation()
        case .product: return try arithmetic(level, [.multiply, .divide, .floorDivide, .modulo])
        case .power: return try arithmetic(level, [.power])
        case .unary: return try unary(withFilters: true)
        }
    }

    private mutating func negation() throws(TemplateError) -> Expression {
        var lines: [Int] = []
        while isName("not") {
            lines.append(current.line)
            advance()
        }
        var value = try binary(.comparison)
        for line in lines.reversed() { value = try Expression(.not(value), line: line, [value]) }
        return value
    }

    private mutating func arithmetic(_ level: Level, _ signs: [Token.Sign]) throws(TemplateError) -> Expression {
        var left = try binary(next(level))
        while case .sign(let sign) = current.kind, signs.contains(sign) {
            let line = current.line
            advance()
            let right = try binary(next(level))
            left = try Expression(.arithmetic(sign, left, right), line: line, [left, right])
        }
        return left
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        let line = current.line
        var parts = [try binary(.product)]
        while skip(.tilde) { parts.append(try binary(.product)) }
        return parts.count == 1 ? parts[0] : try Expression(.concatenation(parts), line: line, parts)
    }

    private mutating func comparison() throws(TemplateError) -> Expression {
        let line = current.line
        let first = try binary(.sum)
        var rest: [(Expression.Comparator, Expression)] = []
        while let comparator = takeComparator() { rest.append((comparator, try binary(.sum))) }
        guard !rest.isEmpty else { return first }
        return try Expression(.comparison(first, rest), line: line, [first] + rest.map(\.1))
    }

    private mutating func takeComparator() -> Expression.Comparator? {
        switch current.kind {
        case .sign(let sign):
            switch sign {
            case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual:
                advance()
                return .sign(sign)
            default: return nil
            }
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where following.kind == .name("in"):
            advance()
            advance()
            return .isNotIn
        default: return nil
        }
    }

    private mutating func unary(withFilters: Bool) throws(TemplateError) -> Expression {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Limits.expressionDepth / 2 else {
            throw TemplateError(.limit, "expressions nest too deep", line: current.line)
        }
        let line = current.line
        var value: Expression
        if skip(.subtract) {
            let inner = try unary(withFilters: false)
            value = try Expression(.negate(inner), line: line, [inner])
        } else if skip(.add) {
            let inner = try unary(withFilters: false)
            value = try Expression(.plus(inner), line: line, [inner])
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return withFilters ? try filtersAndTests(value) : value
    }

    mutating func primary() throws(TemplateError) -> Expression {
        let token = current
        switch token.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return try Expression(.constant(.boolean(true)), line: token.line)
            case "false", "False": return try Expression(.constant(.boolean(false)), line: token.line)
            case "none", "None": return try Expression(.constant(.none), line: token.line)
            default:
                namesRead[namesRead.count - 1].insert(name)
                return try Expression(.name(name), line: token.line)
            }
        case .string(var bytes):
            advance()
            while case .string(let more) = current.kind {
                bytes += more
                advance()
            }
            return try Expression(.constant(.text(Text(bytes))), line: token.line)
        case .integer(let value):
            advance()
            return try Expression(.constant(.integer(value)), line: token.line)
        case .float(let value):
            advance()
            return try Expression(.constant(.float(value)), line: token.line)
        case .sign(.openParenthesis):
            advance()
            let inner = try tuple(mayBeEmpty: true)
            try expect(.closeParenthesis)
            return inner
        case .sign(.openBracket):
            advance()
            let items = try list(until: .closeBracket)
            return try Expression(.list(items), line: token.line, items)
        case .sign(.openBrace): return try mapping()
        default: throw fault("unexpected \(token.shown)")
        }
    }

    private mutating func list(until end: Token.Sign) throws(TemplateError) -> [Expression] {
        var items: [Expression] = []
        while !isSign(end) {
            if !items.isEmpty {
                try expect(.comma)
                if isSign(end) { break }
            }
            items.append(try expression())
        }
        try expect(end)
        return items
    }

    private mutating func mapping() throws(TemplateError) -> Expression {
        let line = current.line
        advance()
        var entries: [(key: Expression, value: Expression)] = []
        while !isSign(.closeBrace) {
            if !entries.isEmpty {
                try expect(.comma)
                if isSign(.closeBrace) { break }
            }
            let key = try expression()
            try expect(.colon)
            entries.append((key, try expression()))
        }
        try expect(.closeBrace)
        return try Expression(.mapping(entries), line: line, entries.flatMap { [$0.key, $0.value] })
    }
}
