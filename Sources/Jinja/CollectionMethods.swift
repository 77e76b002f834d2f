// The methods of Python's list, tuple and dict, and of Jinja's own objects.

extension Renderer {
    private static let mappingMethods: Set<String> = ["get", "keys", "values", "items", "copy"]

    /// Whether `object` has a method of this name.
    static func hasMethod(_ object: Value, _ name: String) -> Bool {
        switch object {
        case .text: stringMethods.contains(name)
        case .mapping: mappingMethods.contains(name)
        case .list: name == "index" || name == "count" || name == "copy"
        case .tuple, .range: name == "index" || name == "count"
        case .float: name == "is_integer"
        case .loop: name == "cycle" || name == "changed"
        case .function(let function):
            switch function.kind {
            case .cycler: name == "next" || name == "reset"
            case .global("dict"): name == "fromkeys"
            default: false
            }
        default: false
        }
    }

    /// Calls a method that `hasMethod` knows.
    func method(_ name: String, of object: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        switch object {
        case .text(let text): return try stringMethod(name, text, call)
        case .mapping(let mapping): return try mappingMethod(name, mapping, call)
        case .list, .tuple, .range: return try sequenceMethod(name, object, call)
        case .float(let number): return .boolean(number.isFinite && number == number.rounded())
        case .loop(let loop): return try loopMethod(name, loop, call)
        case .function(let function): return try functionMethod(name, function, call)
        default: throw .type("'\(object.typeName)' has no method '\(name)'")
        }
    }

    private func mappingMethod(
        _ name: String, _ mapping: Mapping, _ call: CallArguments
    ) throws(TemplateError) -> Value {
        switch name {
        case "get":
            let bound = try call.bound(name, ["key", "default"], required: 1)
            return mapping.contents[try (bound[0] ?? .none).key(budget)] ?? bound[1] ?? .none
        case "keys", "values", "items":
            _ = try call.bound(name, [])
            let kind: MappingView.Kind = name == "keys" ? .keys : name == "values" ? .values : .items
            return .view(MappingView(mapping: mapping, kind: kind))
        default:
            _ = try call.bound(name, [])
            return .mapping(mapping)
        }
    }

    private func sequenceMethod(
        _ name: String, _ object: Value, _ call: CallArguments
    ) throws(TemplateError) -> Value {
        if name == "copy" {
            _ = try call.bound(name, [])
            return object
        }
        let bound = try call.bound(name, name == "index" ? ["value", "start", "stop"] : ["value"], required: 1)
        let wanted = bound[0] ?? .none
        let items = try object.elements(budget)
        var count = 0
        for (index, item) in items.enumerated() where try item.equals(wanted, budget) {
            guard name == "index" else {
                count += 1
                continue
            }
            func place(_ index: Int) -> Int { index < 0 ? max(index &+ items.count, 0) : index }
            let start = place(try bound.integer(1) ?? 0)
            let stop = place(try bound.integer(2) ?? items.count)
            if index >= start, index < stop { return .integer(index) }
        }
        if name == "index" { throw .type("\(try wanted.repr(budget).string) is not in \(object.typeName)") }
        return .integer(count)
    }

    private func loopMethod(_ name: String, _ loop: LoopState, _ call: CallArguments) throws(TemplateError) -> Value {
        let values = call.positional
        if name == "cycle" {
            guard !values.isEmpty else { throw .type("no items for cycling given") }
            return values[loop.index % values.count]
        }
        if let last = loop.lastSeen, try Value.tuple(last).equals(try .tuple(values), budget) {
            return .boolean(false)
        }
        keep(loop)
        loop.lastSeen = values
        return .boolean(true)
    }

    private func functionMethod(
        _ name: String, _ function: Function, _ call: CallArguments
    ) throws(TemplateError) -> Value {
        switch function.kind {
        case .cycler(let values):
            _ = try call.bound(name, [])
            if name == "reset" {
                function.turn = 0
                return .none
            }
            function.turn += 1
            return values[(function.turn - 1) % values.count]
        default:
            let bound = try call.bound(name, ["iterable", "value"], required: 1)
            var contents = MappingContents()
            for key in try (bound[0] ?? .none).elements(budget) {
                contents.set(try key.key(budget), bound[1] ?? .none, as: key)
            }
            return .mapping(try Mapping(contents))
        }
    }
}
