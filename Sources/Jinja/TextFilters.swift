// Filters that make text.

extension Renderer {
    func textFilter(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "trim":
            let characters = try call.bound(name, ["chars"]).text(0)
            return .text(try input.text(budget).stripped(of: characters))
        case "upper", "lower", "capitalize":
            _ = try call.bound(name, [])
            let text = try input.text(budget)
            try budget.spend(bytes: text.bytes.count)
            return .text(Self.cased(name, text))
        case "title":
            _ = try call.bound(name, [])
            return .text(try input.text(budget).wordsTitled)
        case "string":
            _ = try call.bound(name, [])
            return .text(try input.text(budget))
        case "replace":
            let bound = try call.bound(name, ["old", "new", "count"], required: 2)
            let text = try input.text(budget).plain
            let old = try (bound[0] ?? .none).text(budget)
            let new = try (bound[1] ?? .none).text(budget)
            return .text(try text.replacing(old, with: new, limit: try bound.integer(2) ?? -1, budget))
        case "center":
            let width = try call.bound(name, ["width"]).integer(0) ?? 80
            return .text(try padded(try input.text(budget), width, Text(" "), name))
        case "indent": return .text(try indented(input, call))
        case "join": return .text(try joined(input, call))
        case "tojson": return .text(try json(input, call))
        case "format":
            guard call.positional.isEmpty || call.named.isEmpty else {
                throw .type("can't handle positional and keyword arguments at the same time")
            }
            let text = try input.text(budget)
            guard !call.named.isEmpty else { return .text(try percent(text, try .tuple(call.positional))) }
            var contents = MappingContents()
            for (key, value) in call.named { contents.set(key, value) }
            return .text(try percent(text, .mapping(try Mapping(contents))))
        case "truncate": return try truncated(input, call)
        case "safe": return .text(try input.text(budget).markup)
        case "e", "escape": return .text(try input.text(budget).escapedForHTML(budget))
        case "forceescape": return .text(try input.text(budget).plain.escapedForHTML(budget))
        case "striptags": return .text(try withoutTags(try input.text(budget)))
        case "urlencode": return .text(try urlEncoded(input))
        case "xmlattr": return .text(try markupAttributes(input, call))
        default: return nil
        }
    }

    private func indented(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Text {
        let bound = try call.bound("indent", ["width", "first", "blank"])
        if case .undefined(let undefined) = input { throw undefined.error }
        guard case .text(let text) = input else {
            throw .type("unsupported operand type(s) for +=: '\(input.typeName)' and 'str'")
        }
        var unit = TextBuilder(budget)
        if case .text(let given)? = bound[0] {
            try unit.append(given)
        } else {
            try unit.append(Text(" "), count: try bound.integer(0) ?? 4)
        }
        let indent = unit.text
        var builder = TextBuilder(budget)
        // A line break more, so that a last empty line counts as one.
        let lines = Text(text.bytes + [0x0A], mixed: text.runs, origin: .template).lines(keepingEnds: false)
        try budget.spend(entries: lines.count)
        for (index, line) in lines.enumerated() {
            if index > 0 { try builder.append("\n", origin: line.origin(at: 0)) }
            let isIndented = index == 0 ? bound.flag(1) : bound.flag(2) || !line.isEmpty
            if isIndented { try builder.append(indent) }
            try builder.append(line)
        }
        return builder.adopted
    }

    private func joined(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Text {
        let bound = try call.bound("join", ["d", "attribute"])
        let separator = try (bound[0] ?? .words("")).text(budget)
        var builder = TextBuilder(budget)
        for (index, item) in try input.elements(budget).enumerated() {
            if index > 0 { try builder.append(separator) }
            try builder.append(str: try attribute(bound[1], of: item), budget)
        }
        return builder.adopted
    }

    private func json(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Text {
        let bound = try call.bound("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
        var writer = JSONText(budget)
        writer.escapesUnicode = bound.flag(0)
        writer.sortsKeys = bound.flag(3)
        if case .text(let indent)? = bound[1] {
            writer.indent = indent
        } else if let width = try bound.integer(1) {
            var builder = TextBuilder(budget)
            try builder.append(Text(" "), count: width)
            writer.indent = builder.text
        }
        if writer.indent != nil { writer.itemSeparator = Text(",") }
        if let separators = bound[2], !separators.isNone {
            let parts = try separators.elements(budget)
            guard parts.count == 2, case .text(let item) = parts[0], case .text(let key) = parts[1] else {
                throw .type("tojson(): 'separators' must be two strings")
            }
            (writer.itemSeparator, writer.keySeparator) = (item, key)
        }
        return try writer.text(of: input)
    }

    private func truncated(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("truncate", ["length", "killwords", "end", "leeway"])
        let length = try bound.integer(0) ?? 255
        let end = try bound.text(2) ?? Text("...")
        let leeway = try bound.integer(3) ?? 5
        guard length >= end.count else { throw .type("expected length >= \(end.count), got \(length)") }
        guard leeway >= 0 else { throw .type("expected leeway >= 0, got \(leeway)") }
        guard let count = input.length else { throw .type("object of type '\(input.typeName)' has no len()") }
        if count <= length || count - length <= leeway { return input }
        guard case .text(let text) = input else { throw .type("truncate() takes a string, not \(input.typeName)") }
        var kept = text.slice(0..<text.offset(ofCharacter: length - end.count))
        if !bound.flag(1), let space = kept.findLast([0x20], in: 0..<kept.bytes.count) { kept = kept.slice(0..<space) }
        var builder = TextBuilder(budget)
        try builder.append(kept)
        try builder.append(end)
        return .text(builder.adopted)
    }

    private func withoutTags(_ text: Text) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        var start = 0
        for (open, close) in [("<!--", "-->"), ("<", ">")] {
            let source = builder.bytes.isEmpty && start == 0 ? text : builder.text
            builder = TextBuilder(budget)
            start = 0
            let (opening, closing) = (Array(open.utf8), Array(close.utf8))
            while let found = source.find(opening, in: start..<source.bytes.count),
                let end = source.find(closing, in: found..<source.bytes.count)
            {
                try builder.append(source, start..<found)
                start = end + closing.count
            }
            try builder.append(source, start..<source.bytes.count)
        }
        var words = TextBuilder(budget)
        for (index, word) in builder.text.split(nil, limit: -1).enumerated() {
            if index > 0 { try words.append(" ") }
            try words.append(word)
        }
        return words.adopted
    }

    private func urlEncoded(_ input: Value) throws(TemplateError) -> Text {
        let pairs: [Value]
        switch input {
        case .mapping(let mapping): pairs = try mapping.contents.pairs()
        case .list, .tuple, .view, .iterator, .range: pairs = try input.elements(budget)
        default: return try quoted(try input.text(budget), keepsSlash: true)
        }
        var builder = TextBuilder(budget)
        for (index, pair) in pairs.enumerated() {
            let parts = try pair.elements(budget)
            guard parts.count == 2 else { throw .type("urlencode takes pairs") }
            if index > 0 { try builder.append("&") }
            try builder.append(try quoted(try parts[0].text(budget), keepsSlash: false))
            try builder.append("=")
            try builder.append(try quoted(try parts[1].text(budget), keepsSlash: false))
        }
        return builder.adopted
    }

    private func quoted(_ text: Text, keepsSlash: Bool) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        try builder.append(text) { scalar in
            if scalar.isASCII, scalar.isPythonAlphanumeric || "_.-~".unicodeScalars.contains(scalar) { return nil }
            if scalar == "/", keepsSlash { return nil }
            if scalar == " ", !keepsSlash { return "+" }
            return String(scalar).utf8.reduce(into: "") { text, byte in
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return builder.text
    }

    private func markupAttributes(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Text {
        let bound = try call.bound("xmlattr", ["autospace"])
        guard case .mapping(let mapping) = input else { throw .type("xmlattr takes a mapping") }
        var builder = TextBuilder(budget)
        var isFirst = true
        for (key, value) in zip(mapping.contents.keys, mapping.contents.values) {
            if value.isNone || value.isUndefined { continue }
            guard case .text(let name) = key else { throw .type("expected string or bytes-like object") }
            guard !name.bytes.contains(where: { " \t\n\r\u{B}\u{C}/>=".utf8.contains($0) }) else {
                throw .type("Invalid character in attribute name: \(try key.repr(budget).string)")
            }
            if !isFirst || bound.flag(0, default: true) { try builder.append(" ") }
            isFirst = false
            try builder.append(try name.escapedForHTML(budget))
            try builder.append("=\"")
            try builder.append(try value.text(budget).escapedForHTML(budget))
            try builder.append("\"")
        }
        return builder.adopted
    }
}
