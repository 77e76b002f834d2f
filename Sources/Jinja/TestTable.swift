// Jinja's tests: what stands behind `is`.

extension Renderer {
    static let testNames: Set<String> = [
        "odd", "even", "divisibleby", "defined", "undefined", "filter", "test", "none", "boolean", "false", "true",
        "integer", "float", "lower", "upper", "string", "mapping", "number", "sequence", "iterable", "callable",
        "sameas", "escaped", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<",
        "lt", "lessthan", "<=", "le",
    ]

    /// `value is name(arguments)`.
    func test(_ name: String, _ value: Value, _ call: CallArguments) throws(TemplateError) -> Bool {
        if let sign = Self.comparison(name) {
            let other = try call.bound(name, ["other"], required: 1)[0] ?? .none
            return try compare(value, sign, other)
        }
        switch name {
        case "in":
            let container = try call.bound(name, ["seq"], required: 1)[0] ?? .none
            return try value.isIn(container, budget)
        case "sameas":
            return Self.isSame(value, try call.bound(name, ["other"], required: 1)[0] ?? .none)
        case "divisibleby":
            let number = try call.bound(name, ["num"], required: 1)[0] ?? .none
            return try arithmetic(.modulo, value, number).equals(.integer(0), budget)
        case "odd", "even":
            _ = try call.bound(name, [])
            let remainder = try arithmetic(.modulo, value, .integer(2))
            return try remainder.equals(.integer(name == "odd" ? 1 : 0), budget)
        case "lower", "upper":
            _ = try call.bound(name, [])
            return try value.text(budget).isCased(upper: name == "upper")
        case "filter", "test":
            _ = try call.bound(name, [])
            let names = name == "filter" ? Self.filterNames : Self.testNames
            return value.asText.map { names.contains($0.string) } ?? false
        default:
            _ = try call.bound(name, [])
            guard let holds = Self.isOf(name, value) else {
                throw TemplateError(.runtime, "no test is called '\(name)'")
            }
            return holds
        }
    }

    private static func comparison(_ name: String) -> Token.Sign? {
        switch name {
        case "==", "eq", "equalto": .equal
        case "!=", "ne": .notEqual
        case ">", "gt", "greaterthan": .greater
        case ">=", "ge": .greaterOrEqual
        case "<", "lt", "lessthan": .less
        case "<=", "le": .lessOrEqual
        default: nil
        }
    }

    /// The tests of what kind of value it is; nil for other names.
    private static func isOf(_ name: String, _ value: Value) -> Bool? {
        switch (name, value) {
        case ("defined", _): !value.isUndefined
        case ("undefined", _): value.isUndefined
        case ("none", _): value.isNone
        case ("boolean", .boolean): true
        case ("true", .boolean(let flag)): flag
        case ("false", .boolean(let flag)): !flag
        case ("integer", .integer), ("integer", .largeInteger): true
        case ("float", .float): true
        case ("number", .boolean), ("number", .integer), ("number", .largeInteger), ("number", .float): true
        case ("string", .text): true
        case ("mapping", .mapping): true
        case ("escaped", .text(let text)): text.isMarkup
        case ("sequence", .text), ("sequence", .list), ("sequence", .tuple), ("sequence", .mapping): true
        case ("sequence", .range), ("sequence", .undefined): true
        case ("iterable", .text), ("iterable", .list), ("iterable", .tuple), ("iterable", .mapping): true
        case ("iterable", .range), ("iterable", .undefined), ("iterable", .view), ("iterable", .iterator): true
        case ("iterable", .loop): true
        case ("callable", .undefined), ("callable", .loop): true
        case ("callable", .function(let function)):
            if case .cycler = function.kind { false } else { true }
        default: testNames.contains(name) ? false : nil
        }
    }

    /// Python's `is`, as far as values that never change can tell.
    private static func isSame(_ left: Value, _ right: Value) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.boolean(let left), .boolean(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.float(let left), .float(let right)): left == right
        case (.text(let left), .text(let right)): left.bytes == right.bytes
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)): left === right
        case (.mapping(let left), .mapping(let right)): left === right
        case (.namespace(let left), .namespace(let right)): left === right
        case (.iterator(let left), .iterator(let right)): left === right
        case (.loop(let left), .loop(let right)): left === right
        case (.function(let left), .function(let right)): left === right
        default: false
        }
    }
}
