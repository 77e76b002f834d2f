// Calls of macros, loops, methods and the template's own functions.

extension Renderer {
    func arguments(_ syntax: CallSyntax, _ frame: Frame) throws(TemplateError) -> CallArguments {
        var arguments = CallArguments(positional: try values(of: syntax.positional, frame))
        for (name, expression) in syntax.named {
            arguments.named.append((name, try value(of: expression, frame)))
        }
        if let rest = syntax.rest { arguments.positional += try value(of: rest, frame).elements(budget) }
        if let rest = syntax.namedRest {
            guard case .mapping(let mapping) = try value(of: rest, frame) else {
                throw .type("what follows ** in a call must be a mapping")
            }
            for (key, value) in zip(mapping.contents.keys, mapping.contents.values) {
                guard let name = key.asText?.string else { throw .type("keywords must be strings") }
                guard !arguments.named.contains(where: { $0.name == name }) else {
                    throw .type("got multiple values for keyword argument '\(name)'")
                }
                try budget.spend(1 + arguments.named.count)
                arguments.named.append((name, value))
            }
        }
        return arguments
    }

    /// `function(arguments)` as it stands in the template.
    func call(
        _ function: Expression, _ syntax: CallSyntax, _ line: Int, _ frame: Frame
    ) throws(TemplateError) -> Value {
        // A method of a value needs no function made of it.
        if case .attribute(let object, let name) = function.kind {
            let receiver = try value(of: object, frame)
            if Self.hasMethod(receiver, name) {
                let arguments = try arguments(syntax, frame)
                self.line = line
                return try method(name, of: receiver, arguments)
            }
            let callee = try attribute(of: receiver, name, function.line)
            let arguments = try arguments(syntax, frame)
            self.line = line
            return try call(callee, arguments)
        }
        let callee = try value(of: function, frame)
        let arguments = try arguments(syntax, frame)
        self.line = line
        return try call(callee, arguments)
    }

    /// Calls a value.
    func call(_ callee: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        try enter()
        defer { leave() }
        switch callee {
        case .undefined(let undefined): throw undefined.error
        case .loop(let loop): return .text(try recurse(loop, arguments))
        case .function(let function):
            switch function.kind {
            case .global(let name): return try global(name, arguments)
            case .method(let receiver, let name): return try method(name, of: receiver, arguments)
            case .macro(let macro, let frame): return .text(try invoke(macro, frame, arguments))
            case .cycler: throw .type("'Cycler' object is not callable")
            case .joiner(let separator):
                _ = try arguments.bound("joiner", [])
                function.turn += 1
                return function.turn == 1 ? .words("") : separator
            }
        default: throw .type("'\(callee.typeName)' object is not callable")
        }
    }

    /// `loop(items)` inside a recursive loop.
    private func recurse(_ loop: LoopState, _ arguments: CallArguments) throws(TemplateError) -> Text {
        let items = try arguments.bound("loop", ["iterable"], required: 1)[0] ?? .none
        guard let recursion = loop.recursion else {
            throw .type("the loop must have the 'recursive' marker to be called recursively")
        }
        return try capture { () throws(TemplateError) in
            _ = try run(recursion.loop, recursion.frame, items: items, level: loop.level + 1)
        }
    }

    /// The text a macro writes.
    private func invoke(
        _ macro: MacroSyntax, _ scope: Frame, _ arguments: CallArguments
    ) throws(TemplateError) -> Text {
        let frame = Frame(scope)
        var named = arguments.named
        func take(_ name: String) -> Value? {
            guard let index = named.firstIndex(where: { $0.name == name }) else { return nil }
            return named.remove(at: index).value
        }
        let count = macro.parameters.count
        var missing: [(name: String, fallback: Expression?)] = []
        for (index, parameter) in macro.parameters.enumerated() {
            if index < arguments.positional.count {
                frame.values[parameter.name] = arguments.positional[index]
            } else if let value = take(parameter.name) {
                frame.values[parameter.name] = value
            } else {
                frame.values[parameter.name] = .undefined(.hint("parameter '\(parameter.name)' was not provided"))
                missing.append(parameter)
            }
        }
        if macro.usesCaller { frame.values["caller"] = take("caller") ?? .undefined(.hint("No caller defined")) }
        if macro.usesNamed {
            var contents = MappingContents()
            for (name, value) in named { contents.set(name, value) }
            frame.values["kwargs"] = .mapping(try Mapping(contents))
        } else if let name = named.first?.name {
            throw .type("macro '\(macro.name)' takes no keyword argument '\(name)'")
        }
        if macro.usesPositional {
            frame.values["varargs"] = try .tuple(Array(arguments.positional.dropFirst(count)))
        } else if arguments.positional.count > count {
            throw .type("macro '\(macro.name)' takes not more than \(count) argument(s)")
        }
        return try capture { () throws(TemplateError) in
            // A default may name the parameters before it.
            for (name, fallback) in missing {
                if let fallback { frame.values[name] = try value(of: fallback, frame) }
            }
            _ = try run(macro.body, frame)
        }
    }
}
