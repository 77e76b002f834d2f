// Arithmetic, as Python has it; integers that do not fit 64 bits are an error.

extension Renderer {
    func negated(_ value: Value) throws(TemplateError) -> Value {
        if case .float(let number) = value { return .float(-number) }
        guard let number = value.asInteger else { throw unary("-", value) }
        let (result, overflow) = (0).subtractingReportingOverflow(number)
        if overflow { throw Self.overflow }
        return .integer(result)
    }

    func posited(_ value: Value) throws(TemplateError) -> Value {
        if case .float = value { return value }
        guard let number = value.asInteger else { throw unary("+", value) }
        return .integer(number)
    }

    private func unary(_ sign: String, _ value: Value) -> TemplateError {
        if case .undefined(let undefined) = value { return undefined.error }
        return .type("bad operand type for unary \(sign): '\(value.typeName)'")
    }

    static let overflow = TemplateError(.runtime, "an integer of more than 64 bits")
    private static let division = TemplateError(.runtime, "division by zero")

    func arithmetic(_ sign: Token.Sign, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = left { throw undefined.error }
        if sign == .modulo, case .text(let format) = left { return .text(try percent(format, right)) }
        if case .undefined(let undefined) = right { throw undefined.error }
        if let first = left.asInteger, let second = right.asInteger { return try integers(sign, first, second) }
        if let first = left.asFloat, let second = right.asFloat { return try floats(sign, first, second) }
        switch (sign, left, right) {
        case (.add, .text(let first), .text(let second)): return .text(try joined(first, second))
        case (.add, .list(let first), .list(let second)):
            try budget.spend(entries: first.items.count + second.items.count)
            return try .list(first.items + second.items)
        case (.add, .tuple(let first), .tuple(let second)):
            try budget.spend(entries: first.items.count + second.items.count)
            return try .tuple(first.items + second.items)
        case (.multiply, _, _):
            if let count = right.asInteger { return try repeated(left, count) }
            if let count = left.asInteger { return try repeated(right, count) }
        default: break
        }
        if case .largeInteger = left { throw Self.overflow }
        if case .largeInteger = right { throw Self.overflow }
        throw unsupported(sign, left, right)
    }

    private func unsupported(_ sign: Token.Sign, _ left: Value, _ right: Value) -> TemplateError {
        if sign == .add {
            switch left {
            case .text, .list, .tuple:
                return .type(
                    "can only concatenate \(left.typeName) (not \"\(right.typeName)\") to \(left.typeName)")
            default: break
            }
        }
        return .type(
            "unsupported operand type(s) for \(sign.rawValue): '\(left.typeName)' and '\(right.typeName)'")
    }

    /// `left + right`; where one is HTML, the other is escaped.
    private func joined(_ left: Text, _ right: Text) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        let isMarkup = left.isMarkup || right.isMarkup
        try builder.append(isMarkup ? try left.escapedForHTML(budget) : left)
        try builder.append(isMarkup ? try right.escapedForHTML(budget) : right)
        return isMarkup ? builder.adopted.markup : builder.adopted
    }

    private func repeated(_ value: Value, _ count: Int) throws(TemplateError) -> Value {
        switch value {
        case .text(let text):
            var builder = TextBuilder(budget)
            try builder.append(text, count: count)
            return .text(text.isMarkup ? builder.text.markup : builder.text)
        case .list(let list): return try .list(repeated(list.items, count))
        case .tuple(let list): return try .tuple(repeated(list.items, count))
        default: throw .type("can't multiply sequence by non-int of type '\(value.typeName)'")
        }
    }

    private func repeated(_ items: [Value], _ count: Int) throws(TemplateError) -> [Value] {
        let (total, overflow) = items.count.multipliedReportingOverflow(by: max(count, 0))
        try budget.spend(entries: overflow ? .max - 1 : total)
        var result: [Value] = []
        result.reserveCapacity(total)
        for _ in 0..<(items.isEmpty ? 0 : max(count, 0)) { result += items }
        return result
    }

    private func integers(_ sign: Token.Sign, _ left: Int, _ right: Int) throws(TemplateError) -> Value {
        func checked(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> Value {
            if result.overflow { throw Self.overflow }
            return .integer(result.partialValue)
        }
        switch sign {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide:
            if right == 0 { throw Self.division }
            return .float(Double(left) / Double(right))
        case .floorDivide, .modulo:
            if right == 0 { throw Self.division }
            if right == -1 { return sign == .modulo ? .integer(0) : try negated(.integer(left)) }
            let remainder = left % right
            // Python rounds down, so that the remainder has the divisor's sign.
            let isBelow = remainder != 0 && (remainder < 0) != (right < 0)
            return .integer(
                sign == .modulo ? remainder + (isBelow ? right : 0) : left / right - (isBelow ? 1 : 0))
        case .power: return try power(left, right)
        default: throw TemplateError(.syntax, "'\(sign.rawValue)' is no arithmetic")
        }
    }

    private func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Value {
        guard exponent >= 0 else {
            if base == 0 { throw TemplateError(.runtime, "0.0 cannot be raised to a negative power") }
            return .float(FloatMath.power(Double(base), Double(exponent)))
        }
        if base == 0 || base == 1 { return .integer(exponent == 0 ? 1 : base) }
        if base == -1 { return .integer(exponent % 2 == 0 ? 1 : -1) }
        var result = 1
        for _ in 0..<exponent {
            let (product, overflow) = result.multipliedReportingOverflow(by: base)
            if overflow { throw Self.overflow }
            result = product
        }
        return .integer(result)
    }

    private func floats(_ sign: Token.Sign, _ left: Double, _ right: Double) throws(TemplateError) -> Value {
        switch sign {
        case .add: return .float(left + right)
        case .subtract: return .float(left - right)
        case .multiply: return .float(left * right)
        case .divide:
            if right == 0 { throw Self.division }
            return .float(left / right)
        case .floorDivide, .modulo:
            if right == 0 { throw Self.division }
            var remainder = left.truncatingRemainder(dividingBy: right)
            var quotient = (left - remainder) / right
            if remainder != 0, (remainder < 0) != (right < 0) {
                remainder += right
                quotient -= 1
            }
            if sign == .modulo { return .float(remainder == 0 ? (right < 0 ? -0.0 : 0.0) : remainder) }
            return .float(quotient.rounded())
        case .power:
            if left == 0, right < 0 { throw TemplateError(.runtime, "0.0 cannot be raised to a negative power") }
            let result = FloatMath.power(left, right)
            if result.isNaN, !left.isNaN, !right.isNaN {
                throw TemplateError(.runtime, "a complex number, which templates do not have")
            }
            if result.isInfinite, left.isFinite, right.isFinite {
                throw TemplateError(.runtime, "the result of a power is too large")
            }
            return .float(result)
        default: throw TemplateError(.syntax, "'\(sign.rawValue)' is no arithmetic")
        }
    }
}
