// Jinja's filters by name.

extension Renderer {
    /// Every filter there is; those that are not supported say so when they are used.
    static let filterNames: Set<String> = [
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
        "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "join", "last",
        "length", "list", "lower", "items", "map", "min", "max", "pprint", "random", "reject", "rejectattr",
        "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum",
        "title", "trim", "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
        "tojson",
    ]

    /// `input | name(arguments)`.
    func filter(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        if let value = try textFilter(name, input, call) { return value }
        if let value = try sequenceFilter(name, input, call) { return value }
        if let value = try choosingFilter(name, input, call) { return value }
        if let value = try numberFilter(name, input, call) { return value }
        throw TemplateError(
            .runtime,
            Self.filterNames.contains(name)
                ? "the filter '\(name)' is not supported here" : "no filter is called '\(name)'")
    }

    /// The value that `path` names inside `item`: `a.b.0`; an integer; or the item itself for None.
    func attribute(
        _ path: Value?, of item: Value, default fallback: Value? = nil
    ) throws(TemplateError) -> Value {
        guard let path, !path.isNone else { return item }
        guard case .text(let path) = path else { return try element(item, path, fallback) }
        var value = item
        for part in path.string.split(separator: ".", omittingEmptySubsequences: false) {
            let isIndex = !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            value = try element(value, isIndex ? .integer(Int(part) ?? .max) : .words(String(part)), fallback)
        }
        return value
    }

    private func element(_ value: Value, _ key: Value, _ fallback: Value?) throws(TemplateError) -> Value {
        let found = try item(of: value, key)
        if found.isUndefined, let fallback, !fallback.isNone { return fallback }
        return found
    }

    /// A value as sorting, `unique` and `groupby` compare it: strings in lower case unless case counts.
    func comparable(_ value: Value, caseSensitive: Bool) throws(TemplateError) -> Value {
        guard !caseSensitive, case .text(let text) = value else { return value }
        try budget.spend(bytes: text.bytes.count)
        return .text(text.lowercased)
    }
}
