// Filters that choose: entries of a sequence, or a value in place of one that is missing.

extension Renderer {
    func choosingFilter(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "default", "d":
            let bound = try call.bound(name, ["default_value", "boolean"])
            let isMissing = input.isUndefined || bound.flag(1) && !input.isTrue
            return isMissing ? bound[0] ?? .words("") : input
        case "map":
            return .iterator(
                try walked(input) { (item) throws(TemplateError) in try mapped(item, call) })
        case "select", "reject", "selectattr", "rejectattr":
            let byAttribute = name.hasSuffix("attr")
            let wanted = name.hasPrefix("select")
            return .iterator(
                try walked(input) { (item) throws(TemplateError) in
                    try holds(item, call, byAttribute: byAttribute) == wanted ? item : nil
                })
        default: return nil
        }
    }

    /// What `change` makes of the entries of `input`. As Python's generators fail only when somebody walks to where
    /// they do, an error is kept for that moment.
    private func walked(
        _ input: Value, _ change: (Value) throws(TemplateError) -> Value?
    ) throws(TemplateError) -> ValueIterator {
        var results: [Value] = []
        guard input.isTrue else { return try ValueIterator([]) }
        do throws(TemplateError) {
            for item in try input.elements(budget) {
                if let result = try change(item) { results.append(result) }
            }
        } catch {
            if error.kind == .limit { throw error }
            return try ValueIterator(results, failure: error)
        }
        return try ValueIterator(results)
    }

    private func mapped(_ item: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        if call.positional.isEmpty, let path = call.named.first(where: { $0.name == "attribute" })?.value {
            let bound = try CallArguments(named: call.named).bound("map", ["attribute", "default"])
            return try attribute(path, of: item, default: bound[1])
        }
        guard case .text(let name)? = call.positional.first else {
            throw .type("map requires a filter argument")
        }
        let arguments = CallArguments(positional: Array(call.positional.dropFirst()), named: call.named)
        return try filter(name.string, item, arguments)
    }

    private func holds(_ item: Value, _ call: CallArguments, byAttribute: Bool) throws(TemplateError) -> Bool {
        var positional = call.positional[...]
        var value = item
        if byAttribute {
            guard let path = positional.popFirst() else { throw .type("Missing parameter for attribute name") }
            value = try attribute(path, of: item)
        }
        guard let name = positional.popFirst() else { return value.isTrue }
        guard case .text(let name) = name else { throw .type("a test's name must be a string") }
        return try test(name.string, value, CallArguments(positional: Array(positional), named: call.named))
    }
}
