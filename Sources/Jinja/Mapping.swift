// Python's dict: what is put in first comes out first.

/// What mappings can have as keys, made comparable: `1`, `1.0` and `true` are one key.
enum MappingKey: Hashable {
    case undefined
    case none
    case integer(Int)
    case float(Double)
    case digits([UInt8])
    case text([UInt8])
    case tuple([MappingKey])
    /// An object, which equals itself only.
    case object(ObjectIdentifier)
    case range(Int, Int, Int)
}

/// Entries in the order of their first assignment.
struct MappingContents {
    private(set) var keys: [Value] = []
    private(set) var values: [Value] = []
    private var places: [MappingKey: Int] = [:]

    var count: Int { keys.count }
    var isEmpty: Bool { keys.isEmpty }

    subscript(key: MappingKey) -> Value? {
        guard let place = places[key] else { return nil }
        return values[place]
    }

    subscript(name: String) -> Value? { self[.text(Array(name.utf8))] }

    mutating func set(_ key: MappingKey, _ value: Value, as original: Value) {
        if let place = places[key] {
            values[place] = value
        } else {
            places[key] = keys.count
            keys.append(original)
            values.append(value)
        }
    }

    mutating func set(_ name: String, _ value: Value) {
        set(.text(Array(name.utf8)), value, as: .words(name))
    }

    /// The entries as pairs.
    func pairs() throws(TemplateError) -> [Value] {
        var result: [Value] = []
        result.reserveCapacity(count)
        for index in keys.indices { result.append(try .tuple([keys[index], values[index]])) }
        return result
    }

    func depth() throws(TemplateError) -> Int {
        max(try Value.depth(over: keys), try Value.depth(over: values))
    }
}

/// A dict.
public final class Mapping {
    let contents: MappingContents
    let depth: Int
    /// Whose words a template writes while a loop stands at this value; 0: nobody's.
    let owner: UInt32

    init(_ contents: MappingContents, owner: UInt32 = 0) throws(TemplateError) {
        self.contents = contents
        self.owner = owner
        depth = try contents.depth()
    }
}

/// `dict.keys()`, `values()` or `items()`.
public struct MappingView {
    enum Kind: String {
        case keys = "dict_keys"
        case values = "dict_values"
        case items = "dict_items"
    }
    let mapping: Mapping
    let kind: Kind

    func items() throws(TemplateError) -> [Value] {
        switch kind {
        case .keys: mapping.contents.keys
        case .values: mapping.contents.values
        case .items: try mapping.contents.pairs()
        }
    }
}

extension Value {
    /// The value as a mapping's key; throws for what Python calls unhashable.
    func key(_ budget: Budget) throws(TemplateError) -> MappingKey {
        try budget.spend()
        switch self {
        case .undefined: return .undefined
        case .none: return .none
        case .boolean(let value): return .integer(value ? 1 : 0)
        case .integer(let value): return .integer(value)
        case .largeInteger(let digits): return .digits(digits.bytes)
        case .float(let value): return Int(exactly: value).map { .integer($0) } ?? .float(value)
        case .text(let text):
            try budget.spend(text.bytes.count >> 5)
            return .text(text.bytes)
        case .tuple(let list):
            var keys: [MappingKey] = []
            for item in list.items { keys.append(try item.key(budget)) }
            return .tuple(keys)
        case .range(let range): return .range(range.start, range.stop, range.step)
        case .list, .mapping, .view: throw .type("unhashable type: '\(typeName)'")
        case .iterator(let iterator): return .object(ObjectIdentifier(iterator))
        case .namespace(let namespace): return .object(ObjectIdentifier(namespace))
        case .loop(let loop): return .object(ObjectIdentifier(loop))
        case .function(let function): return .object(ObjectIdentifier(function))
        }
    }
}
