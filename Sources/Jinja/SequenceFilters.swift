// Filters that take sequences and mappings apart and put them in order.

extension Renderer {
    func sequenceFilter(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "length", "count":
            _ = try call.bound(name, [])
            guard let count = input.length else { throw .type("object of type '\(input.typeName)' has no len()") }
            return .integer(count)
        case "list":
            _ = try call.bound(name, [])
            return try .list(try input.elements(budget))
        case "first":
            if case .iterator(let iterator) = input {
                return try iterator.next() ?? .undefined(.hint("No first item, sequence was empty."))
            }
            return try input.elements(budget).first ?? .undefined(.hint("No first item, sequence was empty."))
        case "last":
            if case .iterator = input { throw .type("'\(input.typeName)' object is not reversible") }
            return try input.elements(budget).last ?? .undefined(.hint("No last item, sequence was empty."))
        case "items":
            if input.isUndefined { return .iterator(try ValueIterator([])) }
            guard case .mapping(let mapping) = input else {
                throw .type("Can only get item pairs from a mapping.")
            }
            return .iterator(try ValueIterator(try mapping.contents.pairs()))
        case "reverse": return try reversed(input)
        case "sort": return try sorted(input, call)
        case "dictsort": return try sortedPairs(input, call)
        case "unique": return try unique(input, call)
        case "groupby": return try grouped(input, call)
        case "batch": return try batches(input, call)
        case "slice": return try slices(input, call)
        case "min", "max": return try extreme(name, input, call)
        case "attr":
            guard let attribute = try call.bound(name, ["name"], required: 1).text(0) else {
                throw .type("attr() takes a string")
            }
            return try ownAttribute(of: input, attribute.string)
                ?? .undefined(.attribute(attribute.string, type: input.objectName))
        default: return nil
        }
    }

    private func reversed(_ input: Value) throws(TemplateError) -> Value {
        if case .text(let text) = input {
            var builder = TextBuilder(budget)
            var end = text.bytes.count
            while end > 0 {
                let start = text.scalar(before: end).start
                try builder.append(text, start..<end)
                end = start
            }
            return .text(builder.text)
        }
        let items = try input.elements(budget)
        if case .iterator = input { return try .list(items.reversed()) }
        return .iterator(try ValueIterator(items.reversed(), type: "\(input.typeName)_reverseiterator"))
    }

    private func sorted(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("sort", ["reverse", "case_sensitive", "attribute"])
        let items = try input.elements(budget)
        var paths: [Value?] = [bound[2]]
        if case .text(let text)? = bound[2] { paths = text.string.split(separator: ",").map { .words(String($0)) } }
        var keys: [Value] = []
        for item in items {
            var parts: [Value] = []
            for path in paths {
                parts.append(try comparable(try attribute(path, of: item), caseSensitive: bound.flag(1)))
            }
            keys.append(try .list(parts))
        }
        return try .list(Sorting.order(keys, reverse: bound.flag(0), budget).map { items[$0] })
    }

    private func sortedPairs(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("dictsort", ["case_sensitive", "by", "reverse"])
        if case .undefined(let undefined) = input { throw undefined.error }
        guard case .mapping(let mapping) = input else {
            throw TemplateError(.undefined, "'\(input.objectName)' has no attribute 'items'")
        }
        let by = try bound.text(1)?.string ?? "key"
        guard by == "key" || by == "value" else { throw .type("You can only sort by either \"key\" or \"value\"") }
        var keys: [Value] = []
        for value in by == "key" ? mapping.contents.keys : mapping.contents.values {
            keys.append(try comparable(value, caseSensitive: bound.flag(0)))
        }
        let pairs = try mapping.contents.pairs()
        return try .list(Sorting.order(keys, reverse: bound.flag(2), budget).map { pairs[$0] })
    }

    private func unique(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("unique", ["case_sensitive", "attribute"])
        var seen: Set<MappingKey> = []
        var chosen: [Value] = []
        for item in try input.elements(budget) {
            let key = try comparable(try attribute(bound[1], of: item), caseSensitive: bound.flag(0))
            if seen.insert(try key.key(budget)).inserted { chosen.append(item) }
        }
        return .iterator(try ValueIterator(chosen))
    }

    private func grouped(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("groupby", ["attribute", "default", "case_sensitive"], required: 1)
        let items = try input.elements(budget)
        var values: [Value] = []
        var keys: [Value] = []
        for item in items {
            values.append(try attribute(bound[0], of: item, default: bound[1]))
            keys.append(try comparable(values[values.count - 1], caseSensitive: bound.flag(2)))
        }
        var groups: [Value] = []
        var members: [Value] = []
        let order = try Sorting.order(keys, budget)
        var first = 0
        for (place, index) in order.enumerated() {
            members.append(items[index])
            let goesOn = place + 1 < order.count ? try keys[order[place + 1]].equals(keys[index], budget) : false
            if !goesOn {
                groups.append(.tuple(try List([values[order[first]], try .list(members)], isGroup: true)))
                members = []
                first = place + 1
            }
        }
        return try .list(groups)
    }

    private func batches(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("batch", ["linecount", "fill_with"], required: 1)
        let count = try bound.integer(0) ?? 0
        var batches: [Value] = []
        var batch: [Value] = []
        for item in try input.elements(budget) {
            if batch.count == count {
                batches.append(try .list(batch))
                batch = []
            }
            batch.append(item)
        }
        if !batch.isEmpty {
            if let fill = bound[1], !fill.isNone, batch.count < count {
                try budget.spend(entries: count)
                batch += [Value](repeating: fill, count: count - batch.count)
            }
            batches.append(try .list(batch))
        }
        return .iterator(try ValueIterator(batches))
    }

    private func slices(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("slice", ["slices", "fill_with"], required: 1)
        let items = try input.elements(budget)
        let count = try bound.integer(0) ?? 0
        guard count != 0 else { throw TemplateError(.runtime, "integer division or modulo by zero") }
        try budget.spend(entries: max(count, 0))
        var slices: [Value] = []
        var start = 0
        for index in 0..<max(count, 0) {
            let isLonger = index < items.count % count
            let end = start + items.count / count + (isLonger ? 1 : 0)
            var slice = Array(items[start..<end])
            if let fill = bound[1], !fill.isNone, !isLonger { slice.append(fill) }
            slices.append(try .list(slice))
            start = end
        }
        return .iterator(try ValueIterator(slices))
    }

    private func extreme(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound(name, ["case_sensitive", "attribute"])
        var best: (item: Value, key: Value)?
        for item in try input.elements(budget) {
            let key = try comparable(try attribute(bound[1], of: item), caseSensitive: bound.flag(0))
            guard let current = best else {
                best = (item, key)
                continue
            }
            let sign = name == "min" ? "<" : ">"
            if try key.order(current.key, sign, budget) == (name == "min" ? -1 : 1) { best = (item, key) }
        }
        return best?.item ?? .undefined(.hint("No aggregated item, sequence was empty."))
    }
}
