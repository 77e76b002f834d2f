// Values as JSON, as Python's json.dumps writes them.

/// Writes one value.
struct JSONText {
    var escapesUnicode = false
    var sortsKeys = false
    /// What each level is indented by; nil: everything stands on one line.
    var indent: Text?
    var itemSeparator = Text(", ")
    var keySeparator = Text(": ")

    private var builder: TextBuilder
    private let budget: Budget

    init(_ budget: Budget) {
        self.budget = budget
        builder = TextBuilder(budget)
    }

    /// The JSON of `value`. What surrounds the words of an owner becomes that owner's.
    mutating func text(of value: Value) throws(TemplateError) -> Text {
        try write(value, level: 0, owner: 0)
        return builder.adopted
    }

    private mutating func write(_ value: Value, level: Int, owner: UInt32) throws(TemplateError) {
        try budget.spend()
        let origin = Origin(owner: owner, isInput: false)
        switch value {
        case .none: try builder.append("null", origin: origin)
        case .boolean(let value): try builder.append(value ? "true" : "false", origin: origin)
        case .integer(let value): try builder.append(String(value), origin: origin)
        case .largeInteger(let digits): try builder.append(digits)
        case .float(let value): try builder.append(Self.number(value), origin: origin)
        case .text(let text): try write(text, origin)
        case .list(let list), .tuple(let list):
            if list.items.isEmpty { return try builder.append("[]", origin: origin) }
            try builder.append("[", origin: origin)
            for (index, item) in list.items.enumerated() {
                try separate(index, level + 1, owner)
                try write(item, level: level + 1, owner: owner)
            }
            try breakLine(level, owner)
            try builder.append("]", origin: origin)
        case .mapping(let mapping): try write(mapping, level: level, owner: mapping.owner == 0 ? owner : mapping.owner)
        default: throw .type("Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private mutating func write(_ mapping: Mapping, level: Int, owner: UInt32) throws(TemplateError) {
        let origin = Origin(owner: owner, isInput: false)
        let contents = mapping.contents
        if contents.isEmpty { return try builder.append("{}", origin: origin) }
        var order = Array(contents.keys.indices)
        if sortsKeys {
            order = try Sorting.order(contents.keys, budget)
        }
        try builder.append("{", origin: origin)
        for (index, place) in order.enumerated() {
            try separate(index, level + 1, owner)
            switch contents.keys[place] {
            case .text(let text): try write(text, origin)
            case .none: try builder.append("\"null\"", origin: origin)
            case .boolean(let value): try builder.append(value ? "\"true\"" : "\"false\"", origin: origin)
            case .integer(let value): try builder.append("\"\(value)\"", origin: origin)
            case .float(let value): try builder.append("\"\(Self.number(value))\"", origin: origin)
            case let other:
                throw .type("keys must be str, int, float, bool or None, not \(other.typeName)")
            }
            try builder.append(keySeparator, owner: owner)
            try write(contents.values[place], level: level + 1, owner: owner)
        }
        try breakLine(level, owner)
        try builder.append("}", origin: origin)
    }

    private mutating func separate(_ index: Int, _ level: Int, _ owner: UInt32) throws(TemplateError) {
        if index > 0 { try builder.append(itemSeparator, owner: owner) }
        try breakLine(level, owner)
    }

    private mutating func breakLine(_ level: Int, _ owner: UInt32) throws(TemplateError) {
        guard let indent else { return }
        try builder.append("\n", origin: Origin(owner: owner, isInput: false))
        for _ in 0..<level { try builder.append(indent, owner: owner) }
    }

    private static func number(_ value: Double) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : NumberText.repr(value)
    }

    private mutating func write(_ text: Text, _ origin: Origin) throws(TemplateError) {
        try builder.append("\"", origin: origin)
        let escapesUnicode = escapesUnicode
        try builder.append(text) { scalar in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case "\n": "\\n"
            case "\r": "\\r"
            case "\t": "\\t"
            case "\u{8}": "\\b"
            case "\u{C}": "\\f"
            default:
                scalar.value < 0x20 || escapesUnicode && scalar.value > 0x7E
                    ? UTF16.encode(scalar)?.map(Self.escaped).joined() : nil
            }
        }
        try builder.append("\"", origin: origin)
    }

    private static func escaped(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
