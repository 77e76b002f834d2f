// Computes a template's expressions.

extension Renderer {
    /// The value of an expression in a scope.
    func value(of expression: Expression, _ frame: Frame) throws(TemplateError) -> Value {
        switch expression.kind {
        case .constant(let literal):
            try budget.spend()
            return Self.value(of: literal)
        case .name(let name):
            try budget.spend()
            return frame.find(name) ?? .undefined(.name(name))
        default:
            try enter()
            line = expression.line
            let result = try compound(expression, frame)
            leave()
            return result
        }
    }

    private static func value(of literal: Expression.Literal) -> Value {
        switch literal {
        case .none: .none
        case .boolean(let value): .boolean(value)
        case .integer(let value): .integer(value)
        case .float(let value): .float(value)
        case .text(let text): .text(text)
        }
    }

    private func compound(_ expression: Expression, _ frame: Frame) throws(TemplateError) -> Value {
        switch expression.kind {
        case .constant, .name: return try value(of: expression, frame)
        case .list(let items): return try .list(values(of: items, frame))
        case .tuple(let items): return try .tuple(values(of: items, frame))
        case .mapping(let entries): return try mapping(entries, frame)
        case .attribute(let object, let name):
            return try attribute(of: try value(of: object, frame), name, expression.line)
        case .item(let object, let key):
            let container = try value(of: object, frame)
            return try item(of: container, try value(of: key, frame))
        case .slice(let object, let start, let stop, let step): return try slice(object, start, stop, step, frame)
        case .call(let function, let arguments):
            return try call(function, arguments, expression.line, frame)
        case .filter, .test: return try filterOrTest(expression, frame)
        case .not(let inner): return .boolean(!(try value(of: inner, frame).isTrue))
        case .negate(let inner): return try negated(try value(of: inner, frame))
        case .plus(let inner): return try posited(try value(of: inner, frame))
        case .arithmetic(let sign, let left, let right):
            let first = try value(of: left, frame)
            return try arithmetic(sign, first, try value(of: right, frame))
        case .concatenation(let parts): return try concatenation(parts, frame)
        case .comparison(let first, let rest): return try comparison(first, rest, frame)
        case .and(let left, let right):
            let first = try value(of: left, frame)
            return first.isTrue ? try value(of: right, frame) : first
        case .or(let left, let right):
            let first = try value(of: left, frame)
            return first.isTrue ? first : try value(of: right, frame)
        case .conditional(let condition, let then, let otherwise):
            if try value(of: condition, frame).isTrue { return try value(of: then, frame) }
            guard let otherwise else {
                return .undefined(.hint("the inline if evaluated to false and no else section was defined"))
            }
            return try value(of: otherwise, frame)
        }
    }

    func values(of expressions: [Expression], _ frame: Frame) throws(TemplateError) -> [Value] {
        var result: [Value] = []
        result.reserveCapacity(expressions.count)
        for expression in expressions { result.append(try value(of: expression, frame)) }
        return result
    }

    private func mapping(
        _ entries: [(key: Expression, value: Expression)], _ frame: Frame
    ) throws(TemplateError) -> Value {
        var contents = MappingContents()
        for entry in entries {
            let key = try value(of: entry.key, frame)
            contents.set(try key.key(budget), try value(of: entry.value, frame), as: key)
        }
        return try makeMapping(contents)
    }

    private func concatenation(_ parts: [Expression], _ frame: Frame) throws(TemplateError) -> Value {
        var builder = TextBuilder(budget)
        for part in parts { try builder.append(str: try value(of: part, frame), budget) }
        return .text(builder.adopted)
    }

    private func comparison(
        _ first: Expression, _ rest: [(Expression.Comparator, Expression)], _ frame: Frame
    ) throws(TemplateError) -> Value {
        var left = try value(of: first, frame)
        for (comparator, expression) in rest {
            let right = try value(of: expression, frame)
            let holds =
                switch comparator {
                case .isIn: try left.isIn(right, budget)
                case .isNotIn: !(try left.isIn(right, budget))
                case .sign(let sign): try compare(left, sign, right)
                }
            if !holds { return .boolean(false) }
            left = right
        }
        return .boolean(true)
    }

    func compare(_ left: Value, _ sign: Token.Sign, _ right: Value) throws(TemplateError) -> Bool {
        switch sign {
        case .equal: return try left.equals(right, budget)
        case .notEqual: return !(try left.equals(right, budget))
        default:
            guard let order = try left.order(right, sign.rawValue, budget) else { return false }
            return switch sign {
            case .less: order < 0
            case .lessOrEqual: order <= 0
            case .greater: order > 0
            default: order >= 0
            }
        }
    }

    private func filterOrTest(_ expression: Expression, _ frame: Frame) throws(TemplateError) -> Value {
        switch expression.kind {
        case .filter(let target?, let name, let arguments):
            let input = try value(of: target, frame)
            return try filter(name, input, try self.arguments(arguments, frame))
        case .test(let target, let name, let arguments):
            let input = try value(of: target, frame)
            return .boolean(try test(name, input, try self.arguments(arguments, frame)))
        default: throw TemplateError(.syntax, "a filter without a value")
        }
    }

    /// `input` through the filters of a block, of which the innermost has no target.
    func filtered(_ input: Value, by expression: Expression, _ frame: Frame) throws(TemplateError) -> Value {
        guard case .filter(let target, let name, let arguments) = expression.kind else {
            throw TemplateError(.syntax, "expected a filter")
        }
        try enter()
        let value = try target.map { (inner) throws(TemplateError) in try filtered(input, by: inner, frame) } ?? input
        let result = try filter(name, value, try self.arguments(arguments, frame))
        leave()
        return result
    }
}
