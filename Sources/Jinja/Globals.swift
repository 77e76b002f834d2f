// The functions every template has: Jinja's, and what transformers adds.

extension Renderer {
    static let globalNames = [
        "range", "dict", "namespace", "cycler", "joiner", "lipsum", "raise_exception", "strftime_now",
    ]

    func global(_ name: String, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch name {
        case "range": return try range(arguments)
        case "dict":
            let contents = try dictionary(arguments, "dict")
            guard case .mapping(let source)? = arguments.positional.first, source.owner != 0 else {
                return try makeMapping(contents)
            }
            return .mapping(try Mapping(contents, owner: source.owner))
        case "namespace":
            let contents = try dictionary(arguments, "namespace")
            for key in contents.keys { try Self.checkAttribute(key.asText?.string ?? "") }
            let namespace = try makeNamespace()
            namespace.attributes = contents
            return .namespace(namespace)
        case "cycler":
            guard !arguments.positional.isEmpty else { throw .type("at least one item has to be provided") }
            return .function(try Function(.cycler(arguments.positional)))
        case "joiner":
            let separator = try arguments.bound("joiner", ["sep"])[0]
            return .function(try Function(.joiner(separator ?? .words(", "))))
        case "raise_exception":
            let message = try arguments.bound(name, ["message"], required: 1)[0] ?? .none
            throw TemplateError(.raised, try message.text(budget).string)
        case "strftime_now":
            guard let format = try arguments.bound(name, ["format"], required: 1).text(0) else {
                throw .type("strftime_now() must have a format")
            }
            try budget.spend(bytes: format.bytes.count * 8)
            return .words(clock.text(format.string))
        default: throw .type("'\(name)' is not supported here")
        }
    }

    private func range(_ arguments: CallArguments) throws(TemplateError) -> Value {
        let bound = try arguments.bound("range", ["start", "stop", "step"], required: 1)
        guard arguments.named.isEmpty else { throw .type("range() takes no keyword arguments") }
        var numbers: [Int] = []
        for index in 0..<arguments.positional.count {
            guard let number = try bound.integer(index) else { throw .type("range() takes integers") }
            numbers.append(number)
        }
        let step = numbers.count > 2 ? numbers[2] : 1
        let (start, stop) = numbers.count > 1 ? (numbers[0], numbers[1]) : (0, numbers[0])
        guard step != 0 else { throw .type("range() arg 3 must not be zero") }
        let (span, overflow) = stop.subtractingReportingOverflow(start)
        guard !overflow, span != .min, step != .min else { throw Self.overflow }
        let range = Stepped(start: start, stop: stop, step: step)
        guard range.count <= Limits.rangeEntries else {
            throw TemplateError(
                .limit, "a range of \(range.count) entries, at most \(Limits.rangeEntries) are accepted")
        }
        return .range(range)
    }

    /// The entries that `dict(...)` makes of its arguments.
    private func dictionary(_ arguments: CallArguments, _ name: String) throws(TemplateError) -> MappingContents {
        guard arguments.positional.count <= 1 else { throw .type("\(name)() takes at most 1 positional argument") }
        var contents = MappingContents()
        if let first = arguments.positional.first {
            switch first {
            case .mapping(let mapping): contents = mapping.contents
            case .namespace(let namespace): contents = namespace.attributes
            default:
                for pair in try first.elements(budget) {
                    let parts = try pair.elements(budget)
                    guard parts.count == 2 else {
                        throw .type("\(name)() takes pairs, and one has \(parts.count) entries")
                    }
                    contents.set(try parts[0].key(budget), parts[1], as: parts[0])
                }
            }
        }
        for (key, value) in arguments.named { contents.set(key, value) }
        return contents
    }
}
