// What stands behind a value: attributes, subscripts, calls, filters and tests.

extension Parser {
    mutating func postfix(_ value: Expression) throws(TemplateError) -> Expression {
        var value = value
        while true {
            let line = current.line
            if skip(.dot) {
                switch current.kind {
                case .name(let name):
                    advance()
                    value = try Expression(.attribute(value, name), line: line, [value])
                case .integer(let index):
                    advance()
                    let key = try Expression(.constant(.integer(index)), line: line)
                    value = try Expression(.item(value, key), line: line, [value, key])
                default: throw fault("expected a name or a number, found \(current.shown)")
                }
            } else if skip(.openBracket) {
                value = try subscripted(value, line)
            } else if isSign(.openParenthesis) {
                value = try call(value, line)
            } else {
                return value
            }
        }
    }

    private mutating func call(_ function: Expression, _ line: Int) throws(TemplateError) -> Expression {
        let arguments = try arguments()
        return try Expression(.call(function, arguments), line: line, [function] + arguments.parts)
    }

    private mutating func subscripted(_ value: Expression, _ line: Int) throws(TemplateError) -> Expression {
        var keys: [Expression] = []
        var slice: Expression?
        while !isSign(.closeBracket) {
            if !keys.isEmpty { try expect(.comma) }
            let first = isSign(.colon) ? nil : try expression()
            if let first, !isSign(.colon) {
                keys.append(first)
                continue
            }
            // Slices in a tuple of keys are nothing that any value has.
            guard keys.isEmpty else { throw fault("a slice among several keys") }
            try expect(.colon)
            let stop = isSign(.colon) || isSign(.closeBracket) ? nil : try expression()
            let step = skip(.colon) && !isSign(.closeBracket) ? try expression() : nil
            let parts = [value, first, stop, step].compactMap { $0 }
            slice = try Expression(.slice(value, start: first, stop: stop, step: step), line: line, parts)
            break
        }
        try expect(.closeBracket)
        if let slice { return slice }
        let key = keys.count == 1 ? keys[0] : try Expression(.tuple(keys), line: line, keys)
        return try Expression(.item(value, key), line: line, [value, key])
    }

    private mutating func arguments() throws(TemplateError) -> CallSyntax {
        try expect(.openParenthesis)
        var call = CallSyntax()
        var isFirst = true
        while !isSign(.closeParenthesis) {
            if !isFirst {
                try expect(.comma)
                if isSign(.closeParenthesis) { break }
            }
            isFirst = false
            if skip(.multiply) {
                guard call.rest == nil, call.namedRest == nil else { throw fault("invalid arguments of a call") }
                call.rest = try expression()
            } else if skip(.power) {
                guard call.namedRest == nil else { throw fault("invalid arguments of a call") }
                call.namedRest = try expression()
            } else if case .name(let name) = current.kind, following.kind == .sign(.assign) {
                guard call.namedRest == nil, !call.named.contains(where: { $0.name == name }) else {
                    throw fault("invalid arguments of a call")
                }
                advance()
                advance()
                call.named.append((name, try expression()))
            } else {
                guard call.rest == nil, call.namedRest == nil, call.named.isEmpty else {
                    throw fault("invalid arguments of a call")
                }
                call.positional.append(try expression())
            }
        }
        try expect(.closeParenthesis)
        return call
    }

    // MARK: Filters and tests

    mutating func filtersAndTests(_ value: Expression) throws(TemplateError) -> Expression {
        var value = value
        while true {
            let line = current.line
            if isSign(.pipe) {
                value = try filters(of: value, startsInside: false) ?? value
            } else if isName("is") {
                value = try test(value)
            } else if isSign(.openParenthesis) {
                value = try call(value, line)
            } else {
                return value
            }
        }
    }

    private mutating func dottedName() throws(TemplateError) -> String {
        var name = try name()
        while skip(.dot) { name += "." + (try self.name()) }
        return name
    }

    /// `| a | b(c)` behind a value, or behind nothing in a filter block, whose first filter has no `|`.
    mutating func filters(of value: Expression?, startsInside: Bool) throws(TemplateError) -> Expression? {
        var value = value
        var isInside = startsInside
        while isInside || skip(.pipe) {
            isInside = false
            let line = current.line
            let name = try dottedName()
            if !Renderer.filterNames.contains(name) {
                unknown.append(fault("no filter is called '\(name)'", line: line))
            }
            let arguments = isSign(.openParenthesis) ? try arguments() : CallSyntax()
            value = try Expression(
                .filter(value, name, arguments), line: line, (value.map { [$0] } ?? []) + arguments.parts)
        }
        return value
    }

    private mutating func test(_ value: Expression) throws(TemplateError) -> Expression {
        let line = current.line
        advance()
        let isNegated = skip(name: "not")
        let name = try dottedName()
        if !Renderer.testNames.contains(name) { unknown.append(fault("no test is called '\(name)'", line: line)) }
        var arguments = CallSyntax()
        switch current.kind {
        case .sign(.openParenthesis): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw fault("tests cannot be chained with 'is'")
        case .name, .string, .integer, .float, .sign(.openBracket), .sign(.openBrace):
            nesting += 1
            defer { nesting -= 1 }
            arguments.positional = [try postfix(try primary())]
        default: break
        }
        let test = try Expression(.test(value, name, arguments), line: line, [value] + arguments.parts)
        return isNegated ? try Expression(.not(test), line: line, [test]) : test
    }
}
