// Equality and order, as Python has them.

extension Value {
    /// `==`.
    func equals(_ other: Value, _ budget: Budget) throws(TemplateError) -> Bool {
        try budget.spend()
        switch (self, other) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let left), .text(let right)):
            guard left.bytes.count == right.bytes.count else { return false }
            try budget.spend(left.bytes.count >> 5)
            return left.bytes == right.bytes
        case (.largeInteger(let left), .largeInteger(let right)): return left.bytes == right.bytes
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            guard left.items.count == right.items.count else { return false }
            for index in left.items.indices where try !left.items[index].equals(right.items[index], budget) {
                return false
            }
            return true
        case (.mapping(let left), .mapping(let right)):
            guard left.contents.count == right.contents.count else { return false }
            for (index, key) in left.contents.keys.enumerated() {
                guard let value = right.contents[try key.key(budget)] else { return false }
                guard try left.contents.values[index].equals(value, budget) else { return false }
            }
            return true
        case (.range(let left), .range(let right)):
            return left.count == right.count
                && (left.count == 0 || left.start == right.start && (left.count == 1 || left.step == right.step))
        case (.view(let left), .view(let right)): return left.mapping === right.mapping && left.kind == right.kind
        case (.iterator(let left), .iterator(let right)): return left === right
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.function(let left), .function(let right)): return left === right
        default:
            if let left = asInteger, let right = other.asInteger { return left == right }
            if let left = asFloat, let right = other.asFloat { return Self.order(left, self, right, other) == 0 }
            return false
        }
    }

    /// -1, 0 or 1 as one number is less than, equal to or greater than another; nil with NaN. Integers are compared
    /// with floats exactly.
    private static func order(_ left: Double, _ leftValue: Value, _ right: Double, _ rightValue: Value) -> Int? {
        if left.isNaN || right.isNaN { return nil }
        if left != right { return left < right ? -1 : 1 }
        if let leftInteger = leftValue.asInteger, let rightExact = Int(exactly: right) {
            return (leftInteger > rightExact ? 1 : 0) - (leftInteger < rightExact ? 1 : 0)
        }
        if let rightInteger = rightValue.asInteger, let leftExact = Int(exactly: left) {
            return (leftExact > rightInteger ? 1 : 0) - (leftExact < rightInteger ? 1 : 0)
        }
        return 0
    }

    /// The order of two values, -1, 0 or 1; nil where NaN is one of them. Throws for types that have no order;
    /// `sign` names the operator in the error.
    func order(_ other: Value, _ sign: String, _ budget: Budget) throws(TemplateError) -> Int? {
        try budget.spend()
        if case .undefined(let undefined) = self { throw undefined.error }
        if case .undefined(let undefined) = other { throw undefined.error }
        switch (self, other) {
        case (.text(let left), .text(let right)):
            try budget.spend(min(left.bytes.count, right.bytes.count) >> 5)
            // The order of UTF-8 bytes is that of code points.
            if left.bytes == right.bytes { return 0 }
            return left.bytes.lexicographicallyPrecedes(right.bytes) ? -1 : 1
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (one, two) in zip(left.items, right.items) where try !one.equals(two, budget) {
                return try one.order(two, sign, budget)
            }
            let (one, two) = (left.items.count, right.items.count)
            return (one > two ? 1 : 0) - (one < two ? 1 : 0)
        default:
            if let left = asInteger, let right = other.asInteger {
                return (left > right ? 1 : 0) - (left < right ? 1 : 0)
            }
            if let left = asFloat, let right = other.asFloat { return Self.order(left, self, right, other) }
            throw .type("'\(sign)' not supported between instances of '\(typeName)' and '\(other.typeName)'")
        }
    }

    /// `self in container`.
    func isIn(_ container: Value, _ budget: Budget) throws(TemplateError) -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = self else {
                throw .type("'in <string>' requires string as left operand, not \(typeName)")
            }
            try budget.spend((text.bytes.count + part.bytes.count) >> 5)
            return text.contains(part)
        case .mapping(let mapping): return mapping.contents[try key(budget)] != nil
        case .view(let view) where view.kind == .keys: return view.mapping.contents[try key(budget)] != nil
        case .range(let range):
            guard let value = asInteger, range.count > 0 else { return false }
            let first = min(range.start, range[range.count - 1])
            let last = max(range.start, range[range.count - 1])
            return value >= first && value <= last && (value - range.start) % range.step == 0
        case .iterator(let iterator):
            while let item = try iterator.next() {
                if try item.equals(self, budget) { return true }
            }
            return false
        case .list, .tuple, .view, .undefined:
            for item in try container.elements(budget) where try item.equals(self, budget) { return true }
            return false
        default: throw .type("argument of type '\(container.typeName)' is not iterable")
        }
    }

    /// What a loop over the value meets. An iterator is used up.
    func elements(_ budget: Budget) throws(TemplateError) -> [Value] {
        let items: [Value]
        switch self {
        case .undefined: items = []
        case .list(let list), .tuple(let list): items = list.items
        case .mapping(let mapping): items = mapping.contents.keys
        case .view(let view): items = try view.items()
        case .iterator(let iterator): items = try iterator.rest()
        case .range(let range): items = (0..<range.count).map { .integer(range[$0]) }
        case .text(let text):
            try budget.spend(entries: text.count)
            items = text.characters.map { .text($0) }
        default: throw .type("'\(typeName)' object is not iterable")
        }
        try budget.spend(1 + items.count)
        return items
    }

    /// `len`; nil for what has none.
    var length: Int? {
        switch self {
        case .undefined: 0
        case .text(let text): text.count
        case .list(let list), .tuple(let list): list.items.count
        case .mapping(let mapping): mapping.contents.count
        case .view(let view): view.mapping.contents.count
        case .range(let range): range.count
        case .loop(let loop): loop.items.count
        default: nil
        }
    }
}
