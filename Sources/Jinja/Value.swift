// The values a template computes with: Python's, as far as templates see them.

/// A value. Lists, tuples and mappings never change once they are made; only namespaces do.
public enum Value {
    case undefined(Undefined)
    case none
    case boolean(Bool)
    case integer(Int)
    /// An integer that came from outside and is too large to compute with: its decimal digits.
    case largeInteger(Text)
    case float(Double)
    case text(Text)
    case list(List)
    case tuple(List)
    case mapping(Mapping)
    case range(Stepped)
    case view(MappingView)
    case iterator(ValueIterator)
    case namespace(Namespace)
    case loop(LoopState)
    case function(Function)
}

/// What a name or attribute that does not exist evaluates to, and why it does not.
public enum Undefined: Sendable {
    /// No variable has this name.
    case name(String)
    /// A value of this type has no such attribute.
    case attribute(String, type: String)
    /// A value of this type has no such element.
    case element(String, type: String)
    /// Anything else, in words.
    case hint(String)
    /// An attribute that templates may not touch.
    case unsafe(String, type: String)

    /// The error of using it.
    var error: TemplateError {
        switch self {
        case .name(let name): TemplateError(.undefined, "'\(name)' is undefined")
        case .attribute(let name, let type): TemplateError(.undefined, "'\(type)' has no attribute '\(name)'")
        case .element(let key, let type): TemplateError(.undefined, "\(type) has no element \(key)")
        case .hint(let words): TemplateError(.undefined, words)
        case .unsafe(let name, let type):
            TemplateError(.security, "access to attribute '\(name)' of '\(type)' object is unsafe")
        }
    }
}

/// A list or tuple.
public final class List {
    let items: [Value]
    /// How deep values nest in it.
    let depth: Int
    /// One of the pairs that `groupby` makes, whose entries have names.
    let isGroup: Bool

    init(_ items: [Value], isGroup: Bool = false) throws(TemplateError) {
        self.items = items
        self.isGroup = isGroup
        depth = try Value.depth(over: items)
    }
}

/// A range of integers.
public struct Stepped: Sendable, Equatable {
    var start: Int
    var stop: Int
    var step: Int

    var count: Int {
        let span = step > 0 ? stop - start : start - stop
        return span > 0 ? (span - 1) / abs(step) + 1 : 0
    }

    subscript(index: Int) -> Int { start + index * step }
}

/// Something that can be walked once.
public final class ValueIterator {
    /// What is left, the next one last.
    private var left: [Value]
    /// The error that ends the walk.
    private let failure: TemplateError?
    /// Python's name of its type.
    let type: String
    let depth: Int

    init(_ items: [Value], failure: TemplateError? = nil, type: String = "generator") throws(TemplateError) {
        depth = try Value.depth(over: items)
        left = items.reversed()
        self.failure = failure
        self.type = type
    }

    func next() throws(TemplateError) -> Value? {
        if let value = left.popLast() { return value }
        if let failure { throw failure }
        return nil
    }

    /// All that is left.
    func rest() throws(TemplateError) -> [Value] {
        let items = Array(left.reversed())
        left = []
        if let failure { throw failure }
        return items
    }
}

/// What `namespace()` makes: the one value that templates can change.
public final class Namespace {
    var attributes = MappingContents()
}

extension Value {
    /// Python's name of the type, as error messages and Jinja's have it.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .boolean: "bool"
        case .integer, .largeInteger: "int"
        case .float: "float"
        case .text(let text): text.isMarkup ? "Markup" : "str"
        case .list: "list"
        case .tuple: "tuple"
        case .mapping: "dict"
        case .range: "range"
        case .view(let view): view.kind.rawValue
        case .iterator(let iterator): iterator.type
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .function(let function): function.typeName
        }
    }

    /// `typeName` in Jinja's error messages about attributes.
    var objectName: String {
        if case .none = self { return "None" }
        return typeName + " object"
    }

    /// How deep values nest in it: 0 for one that holds no others.
    var depth: Int {
        switch self {
        case .list(let list), .tuple(let list): list.depth
        case .mapping(let mapping): mapping.depth
        case .view(let view): view.mapping.depth + 1
        case .iterator(let iterator): iterator.depth
        case .loop(let loop): loop.depth
        case .function(let function): function.depth
        default: 0
        }
    }

    /// The depth of what holds `items`; throws when that is too deep.
    static func depth(over items: [Value]) throws(TemplateError) -> Int {
        var deepest = 0
        for item in items { deepest = max(deepest, item.depth) }
        guard deepest < Limits.nesting else {
            throw TemplateError(.limit, "values nest deeper than \(Limits.nesting)")
        }
        return deepest + 1
    }

    static func list(_ items: [Value]) throws(TemplateError) -> Value { .list(try List(items)) }
    static func tuple(_ items: [Value]) throws(TemplateError) -> Value { .tuple(try List(items)) }
    static func words(_ text: String) -> Value { .text(Text(text)) }

    /// Python's truth.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .boolean(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let list), .tuple(let list): !list.items.isEmpty
        case .mapping(let mapping): !mapping.contents.isEmpty
        case .range(let range): range.count > 0
        case .view(let view): !view.mapping.contents.isEmpty
        case .loop(let loop): loop.items.count > 0
        case .largeInteger, .iterator, .namespace, .function: true
        }
    }

    /// A boolean or integer as an integer, as Python's arithmetic takes it.
    var asInteger: Int? {
        switch self {
        case .boolean(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    /// A number as a float.
    var asFloat: Double? {
        if case .float(let value) = self { return value }
        return asInteger.map(Double.init)
    }

    var asText: Text? {
        guard case .text(let text) = self else { return nil }
        return text
    }

    var isUndefined: Bool {
        guard case .undefined = self else { return false }
        return true
    }

    var isNone: Bool {
        guard case .none = self else { return false }
        return true
    }
}
