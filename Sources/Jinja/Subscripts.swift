// Attributes, elements and slices.

extension Renderer {
    /// `object.name`.
    func attribute(of object: Value, _ name: String, _ line: Int) throws(TemplateError) -> Value {
        self.line = line
        if let value = try ownAttribute(of: object, name) { return value }
        if case .mapping(let mapping) = object, let value = mapping.contents[name] { return value }
        return .undefined(.attribute(name, type: object.objectName))
    }

    /// What Python's `getattr` finds; nil when there is nothing of that name.
    func ownAttribute(of object: Value, _ name: String) throws(TemplateError) -> Value? {
        try budget.spend()
        if case .undefined(let undefined) = object { throw undefined.error }
        if name.hasPrefix("__"), name.hasSuffix("__"), name.utf8.count > 4 {
            return .undefined(.unsafe(name, type: object.typeName))
        }
        if Self.hasMethod(object, name) { return .function(try Function(.method(object, name))) }
        switch object {
        case .list, .mapping:
            if Self.changing(object).contains(name) { return .undefined(.unsafe(name, type: object.typeName)) }
        case .namespace(let namespace): return namespace.attributes[name]
        case .loop(let loop): return loop.attribute(name)
        case .tuple(let list) where list.isGroup:
            if name == "grouper" { return list.items[0] }
            if name == "list" { return list.items[1] }
        case .function(let function): return try Self.attribute(of: function, name)
        default: break
        }
        if Self.unsupportedAttributes(object).contains(name) {
            throw .type("'\(name)' of '\(object.typeName)' is not supported here")
        }
        return nil
    }

    /// Methods that would change a list or dict, which the sandbox forbids.
    private static func changing(_ object: Value) -> Set<String> {
        if case .list = object {
            return ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]
        }
        return ["clear", "pop", "popitem", "setdefault", "update"]
    }

    /// What Python has and this does not: an error rather than something undefined.
    private static func unsupportedAttributes(_ object: Value) -> Set<String> {
        switch object {
        case .text: ["encode", "translate", "maketrans"]
        case .boolean, .integer, .largeInteger:
            [
                "real", "imag", "numerator", "denominator", "conjugate", "bit_length", "bit_count", "to_bytes",
                "from_bytes", "as_integer_ratio",
            ]
        case .float: ["real", "imag", "conjugate", "hex", "fromhex", "as_integer_ratio"]
        case .range: ["start", "stop", "step"]
        case .view: ["mapping", "isdisjoint"]
        case .iterator: ["send", "throw", "close", "gi_frame", "gi_code", "gi_running", "gi_yieldfrom"]
        default: []
        }
    }

    private static func attribute(of function: Function, _ name: String) throws(TemplateError) -> Value? {
        switch (function.kind, name) {
        case (.macro(let macro, _), "name"): return .words(macro.name)
        case (.macro(let macro, _), "arguments"): return try .tuple(macro.parameters.map { .words($0.name) })
        case (.macro(let macro, _), "catch_kwargs"): return .boolean(macro.usesNamed)
        case (.macro(let macro, _), "catch_varargs"): return .boolean(macro.usesPositional)
        case (.macro(let macro, _), "caller"): return .boolean(macro.usesCaller)
        case (.cycler(let values), "current"): return values[function.turn % values.count]
        default: return nil
        }
    }

    /// `object[key]`.
    func item(of object: Value, _ key: Value) throws(TemplateError) -> Value {
        try budget.spend()
        if case .undefined(let undefined) = object { throw undefined.error }
        switch object {
        case .text(let text):
            if let index = key.asInteger {
                try budget.spend(text.isASCII ? 0 : text.bytes.count >> 3)
                let count = text.count
                let place = index < 0 ? index + count : index
                if place >= 0, place < count {
                    let start = text.offset(ofCharacter: place)
                    return .text(text.slice(start..<(start + Text.width(text.bytes[start]))))
                }
            }
        case .list(let list), .tuple(let list):
            if let index = key.asInteger {
                let place = index < 0 ? index + list.items.count : index
                if list.items.indices.contains(place) { return list.items[place] }
            }
        case .range(let range):
            if let index = key.asInteger {
                let place = index < 0 ? index + range.count : index
                if place >= 0, place < range.count { return .integer(range[place]) }
            }
        case .mapping(let mapping):
            // A key that no mapping can have is one that this one does not have.
            let found: Value?
            do throws(TemplateError) {
                found = mapping.contents[try key.key(budget)]
            } catch {
                guard error.kind == .runtime else { throw error }
                found = nil
            }
            if let found { return found }
        default: break
        }
        if case .text(let name) = key {
            return try ownAttribute(of: object, name.string)
                ?? .undefined(.attribute(name.string, type: object.objectName))
        }
        return .undefined(.element(try key.repr(budget).string, type: object.objectName))
    }

    /// `object[start:stop:step]`.
    func slice(
        _ object: Expression, _ start: Expression?, _ stop: Expression?, _ step: Expression?, _ frame: Frame
    ) throws(TemplateError) -> Value {
        let container = try value(of: object, frame)
        if case .undefined(let undefined) = container { throw undefined.error }
        let first = try bound(start, frame)
        let last = try bound(stop, frame)
        let step = try bound(step, frame) ?? 1
        guard step != 0 else { throw .type("slice step cannot be zero") }
        switch container {
        case .text(let text): return .text(try slice(text, first, last, step))
        case .list(let list):
            return try .list(indices(list.items.count, first, last, step).map { list.items[$0] })
        case .tuple(let list):
            return try .tuple(indices(list.items.count, first, last, step).map { list.items[$0] })
        case .range(let range):
            return try .list(indices(range.count, first, last, step).map { .integer(range[$0]) })
        case .mapping: throw .type("unhashable type: 'slice'")
        default: throw .type("'\(container.typeName)' object is not subscriptable")
        }
    }

    private func bound(_ expression: Expression?, _ frame: Frame) throws(TemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try value(of: expression, frame)
        if value.isNone { return nil }
        if let index = value.asInteger { return index }
        throw .type("slice indices must be integers or None or have an __index__ method")
    }

    /// Python's `slice.indices` for a sequence of `count`: from where to where.
    private func ends(_ count: Int, _ first: Int?, _ last: Int?, _ step: Int) -> (Int, Int) {
        func clamped(_ index: Int) -> Int {
            let low = step > 0 ? 0 : -1
            let high = step > 0 ? count : count - 1
            if index < 0 { return max(index &+ count, low) }
            return min(index, high)
        }
        let start = first.map(clamped) ?? (step > 0 ? 0 : count - 1)
        let stop = last.map(clamped) ?? (step > 0 ? count : -1)
        return (start, stop)
    }

    private func indices(_ count: Int, _ first: Int?, _ last: Int?, _ step: Int) throws(TemplateError) -> [Int] {
        let (start, stop) = ends(count, first, last, step)
        var result: [Int] = []
        var index = start
        while step > 0 ? index < stop : index > stop {
            result.append(index)
            let (next, overflow) = index.addingReportingOverflow(step)
            if overflow { break }
            index = next
        }
        try budget.spend(1 + result.count)
        return result
    }

    private func slice(_ text: Text, _ first: Int?, _ last: Int?, _ step: Int) throws(TemplateError) -> Text {
        try budget.spend(bytes: text.bytes.count)
        let count = text.count
        if step == 1 {
            let (start, stop) = ends(count, first, last, step)
            guard start < stop else { return Text([]) }
            return text.slice(text.offset(ofCharacter: start)..<text.offset(ofCharacter: stop))
        }
        let chosen = try indices(count, first, last, step)
        var builder = TextBuilder(budget)
        if text.isASCII {
            for index in chosen { try builder.append(text, index..<(index + 1)) }
        } else {
            let starts = text.bytes.indices.filter { text.bytes[$0] & 0xC0 != 0x80 }
            for index in chosen {
                try builder.append(text, starts[index]..<(starts[index] + Text.width(text.bytes[starts[index]])))
            }
        }
        return builder.text
    }
}
