// What a call hands over, and how it meets the parameters of what is called.

struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// The arguments as parameters of these names take them; the first `required` must be given.
    func bound(
        _ function: String, _ parameters: [String], required: Int = 0
    ) throws(TemplateError) -> BoundArguments {
        guard positional.count <= parameters.count else {
            throw .type(
                "\(function)() takes at most \(parameters.count) argument(s), \(positional.count) are given")
        }
        var values = [Value?](repeating: nil, count: parameters.count)
        for (index, value) in positional.enumerated() { values[index] = value }
        for (name, value) in named {
            guard let index = parameters.firstIndex(of: name) else {
                throw .type("\(function)() got an unexpected keyword argument '\(name)'")
            }
            guard values[index] == nil else { throw .type("\(function)() got two values for '\(name)'") }
            values[index] = value
        }
        for index in 0..<required where values[index] == nil {
            throw .type("\(function)() lacks its argument '\(parameters[index])'")
        }
        return BoundArguments(function: function, parameters: parameters, values: values)
    }
}

/// Arguments by the place of their parameters.
struct BoundArguments {
    let function: String
    let parameters: [String]
    let values: [Value?]

    subscript(index: Int) -> Value? { values[index] }

    private func wrong(_ index: Int, _ expected: String, _ value: Value) -> TemplateError {
        if case .undefined(let undefined) = value { return undefined.error }
        return .type("\(function)(): '\(parameters[index])' must be \(expected), not \(value.typeName)")
    }

    /// An integer; nil when it is not given or None.
    func integer(_ index: Int) throws(TemplateError) -> Int? {
        guard let value = values[index], !value.isNone else { return nil }
        guard let integer = value.asInteger else { throw wrong(index, "an integer", value) }
        return integer
    }

    /// A string; nil when it is not given or None.
    func text(_ index: Int) throws(TemplateError) -> Text? {
        guard let value = values[index], !value.isNone else { return nil }
        guard let text = value.asText else { throw wrong(index, "a string", value) }
        return text
    }

    /// Python's truth of an argument.
    func flag(_ index: Int, default fallback: Bool = false) -> Bool { values[index]?.isTrue ?? fallback }
}
