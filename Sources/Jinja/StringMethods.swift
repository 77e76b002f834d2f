// The methods of Python's str.

extension Renderer {
    static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper",
        "lower", "title", "capitalize", "swapcase", "casefold", "find", "rfind", "index", "rindex", "count", "join",
        "format", "format_map", "zfill", "center", "ljust", "rjust", "isdigit", "isalpha", "isalnum", "isspace",
        "isupper", "islower", "isnumeric", "isdecimal", "isidentifier", "istitle", "isascii", "isprintable",
        "removeprefix", "removesuffix", "partition", "rpartition", "expandtabs",
    ]

    func stringMethod(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Value {
        try budget.spend(1 + text.bytes.count >> 5)
        if let value = try changed(name, text, call) { return value }
        if let value = try cut(name, text, call) { return value }
        if let value = try asked(name, text, call) { return value }
        throw .type("'\(name)' of 'str' is not supported here")
    }

    /// Methods that give another text.
    private func changed(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "strip", "lstrip", "rstrip":
            let characters = try call.bound(name, ["chars"]).text(0)
            return .text(text.stripped(name == "strip" ? .both : name == "lstrip" ? .left : .right, of: characters))
        case "upper", "lower", "title", "capitalize", "swapcase", "casefold":
            _ = try call.bound(name, [])
            try budget.spend(bytes: text.bytes.count * 3)
            return .text(Self.cased(name, text))
        case "replace":
            let bound = try call.bound(name, ["old", "new", "count"], required: 2)
            guard let old = try bound.text(0), let new = try bound.text(1) else {
                throw .type("replace() takes strings")
            }
            return .text(try text.replacing(old, with: new, limit: try bound.integer(2) ?? -1, budget))
        case "join":
            let items = try call.bound(name, ["iterable"], required: 1)[0] ?? .none
            return .text(try joined(try items.elements(budget), text))
        case "format":
            return .text(try braces(text, call))
        case "format_map":
            guard case .mapping(let mapping)? = try call.bound(name, ["mapping"], required: 1)[0] else {
                throw .type("format_map() takes a mapping")
            }
            let named = zip(mapping.contents.keys, mapping.contents.values).compactMap { key, value in
                key.asText.map { (name: $0.string, value: value) }
            }
            return .text(try braces(text, CallArguments(named: named)))
        case "zfill":
            let width = try call.bound(name, ["width"], required: 1).integer(0) ?? 0
            let sign = text.bytes.first == 0x2B || text.bytes.first == 0x2D ? 1 : 0
            var builder = TextBuilder(budget)
            try builder.append(text, 0..<sign)
            try builder.append(Text("0"), count: Self.missing(width, text))
            try builder.append(text, sign..<text.bytes.count)
            return .text(builder.text)
        case "center", "ljust", "rjust":
            let bound = try call.bound(name, ["width", "fillchar"], required: 1)
            let width = try bound.integer(0) ?? 0
            let fill = try bound.text(1) ?? Text(" ")
            guard fill.count == 1 else { throw .type("The fill character must be exactly one character long") }
            return .text(try padded(text, width, fill, name))
        case "removeprefix", "removesuffix":
            guard let part = try call.bound(name, ["prefix"], required: 1).text(0) else {
                throw .type("\(name)() takes a string")
            }
            let count = text.bytes.count - part.bytes.count
            guard count >= 0 else { return .text(text) }
            if name == "removeprefix" {
                return .text(text.has(part.bytes, at: 0) ? text.slice(part.bytes.count..<text.bytes.count) : text)
            }
            return .text(text.has(part.bytes, at: count) ? text.slice(0..<count) : text)
        case "expandtabs":
            return .text(try expanded(text, try call.bound(name, ["tabsize"]).integer(0) ?? 8))
        default: return nil
        }
    }

    static func cased(_ name: String, _ text: Text) -> Text {
        switch name {
        case "upper": text.uppercased
        case "lower": text.lowercased
        case "title": text.titled
        case "capitalize": text.capitalized
        case "swapcase": text.swappedCase
        default: text.caseFolded
        }
    }

    /// How many characters `text` lacks of `width`.
    private static func missing(_ width: Int, _ text: Text) -> Int {
        let count = text.count
        return width > count ? width - count : 0
    }

    /// `center`, `ljust` or `rjust`.
    func padded(_ text: Text, _ width: Int, _ fill: Text, _ name: String) throws(TemplateError) -> Text {
        let missing = Self.missing(width, text)
        if missing == 0 { return text }
        // Python puts the odd one to the left when the width is odd.
        let left = name == "ljust" ? 0 : name == "rjust" ? missing : missing / 2 + (missing & width & 1)
        var builder = TextBuilder(budget)
        try builder.append(fill, count: left)
        try builder.append(text)
        try builder.append(fill, count: missing - left)
        return builder.text
    }

    private func expanded(_ text: Text, _ size: Int) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        var column = 0
        for character in text.characters {
            try budget.spend()
            if character.bytes == [0x09] {
                let count = size > 0 ? size - column % size : 0
                try builder.append(Text(" ", origin: character.origin), count: count)
                column += count
            } else {
                try builder.append(character)
                column = character.bytes == [0x0A] || character.bytes == [0x0D] ? 0 : column + 1
            }
        }
        return builder.text
    }

    /// `separator.join(items)`.
    private func joined(_ items: [Value], _ separator: Text) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        for (index, item) in items.enumerated() {
            guard case .text(let part) = item else {
                throw .type("sequence item \(index): expected str instance, \(item.typeName) found")
            }
            if index > 0 { try builder.append(separator) }
            try builder.append(part)
        }
        return builder.adopted
    }

    /// Methods that cut a text into several.
    private func cut(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "split", "rsplit":
            let bound = try call.bound(name, ["sep", "maxsplit"])
            let separator = try bound.text(0)
            if separator?.isEmpty == true { throw .type("empty separator") }
            let fromRight = name == "rsplit"
            if fromRight, let separator { try budget.spend(text.backwardCost(separator) >> 5) }
            let parts = text.split(separator, limit: try bound.integer(1) ?? -1, fromRight: fromRight)
            try budget.spend(entries: parts.count)
            return try .list(parts.map { .text($0) })
        case "splitlines":
            let lines = text.lines(keepingEnds: try call.bound(name, ["keepends"]).flag(0))
            try budget.spend(entries: lines.count)
            return try .list(lines.map { .text($0) })
        case "partition", "rpartition":
            guard let separator = try call.bound(name, ["sep"], required: 1).text(0), !separator.isEmpty else {
                throw .type("empty separator")
            }
            let all = 0..<text.bytes.count
            if name == "rpartition" { try budget.spend(text.backwardCost(separator) >> 5) }
            let found =
                name == "partition" ? text.find(separator.bytes, in: all) : text.findLast(separator.bytes, in: all)
            guard let found else {
                let nothing = Value.words("")
                return try .tuple(
                    name == "partition" ? [.text(text), nothing, nothing] : [nothing, nothing, .text(text)])
            }
            let end = found + separator.bytes.count
            return try .tuple([
                .text(text.slice(0..<found)), .text(text.slice(found..<end)), .text(text.slice(end..<text.bytes.count)),
            ])
        default: return nil
        }
    }

    /// Methods that answer a question.
    private func asked(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "startswith", "endswith": return .boolean(try touches(name, text, call))
        case "find", "rfind", "index", "rindex": return try found(name, text, call)
        case "count":
            let bound = try call.bound(name, ["sub", "start", "end"], required: 1)
            guard let part = try bound.text(0) else { throw .type("count() takes a string") }
            guard let range = try byteRange(text, bound, 1, 2) else { return .integer(0) }
            return .integer(text.occurrences(of: part, in: range))
        default:
            _ = try call.bound(name, [])
            return Self.isOf(name, text).map { .boolean($0) }
        }
    }

    /// The bytes between two character numbers as slices have them; nil when the start is behind the end or the text.
    private func byteRange(
        _ text: Text, _ bound: BoundArguments, _ first: Int, _ last: Int
    ) throws(TemplateError) -> Range<Int>? {
        guard bound[first] != nil || bound[last] != nil else { return 0..<text.bytes.count }
        let count = text.count
        func place(_ index: Int) -> Int { index < 0 ? max(index &+ count, 0) : index }
        let start = place(try bound.integer(first) ?? 0)
        let end = min(place(try bound.integer(last) ?? count), count)
        guard start <= end else { return nil }
        return text.offset(ofCharacter: start)..<text.offset(ofCharacter: end)
    }

    private func touches(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Bool {
        let bound = try call.bound(name, ["prefix", "start", "end"], required: 1)
        let parts: [Value] =
            switch bound[0] {
            case .tuple(let list)?: list.items
            case let value?: [value]
            case nil: []
            }
        guard let range = try byteRange(text, bound, 1, 2) else { return false }
        for part in parts {
            if case .undefined(let undefined) = part { throw undefined.error }
            guard case .text(let part) = part else {
                throw .type("\(name) first arg must be str or a tuple of str, not \(part.typeName)")
            }
            guard part.bytes.count <= range.count else { continue }
            let place = name == "startswith" ? range.lowerBound : range.upperBound - part.bytes.count
            if text.has(part.bytes, at: place) { return true }
        }
        return false
    }

    private func found(_ name: String, _ text: Text, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound(name, ["sub", "start", "end"], required: 1)
        guard let part = try bound.text(0) else { throw .type("\(name)() takes a string") }
        let fromRight = name.hasPrefix("r")
        if fromRight { try budget.spend(text.backwardCost(part) >> 5) }
        if let range = try byteRange(text, bound, 1, 2) {
            let offset = fromRight ? text.findLast(part.bytes, in: range) : text.find(part.bytes, in: range)
            if let offset { return .integer(text.character(atOffset: offset)) }
        }
        if name.hasSuffix("index") { throw .type("substring not found") }
        return .integer(-1)
    }

    /// The `is...` methods.
    private static func isOf(_ name: String, _ text: Text) -> Bool? {
        func all(_ test: (Unicode.Scalar) -> Bool) -> Bool {
            !text.isEmpty && text.string.unicodeScalars.allSatisfy(test)
        }
        switch name {
        case "isdigit": return all(\.isPythonDigit)
        case "isdecimal": return all(\.isPythonDecimal)
        case "isnumeric": return all(\.isPythonNumeric)
        case "isalpha": return all(\.isPythonAlpha)
        case "isalnum": return all(\.isPythonAlphanumeric)
        case "isspace": return all(\.isPythonSpace)
        case "isprintable": return text.isEmpty || all(\.isPythonPrintable)
        case "isascii": return text.isASCII
        case "isupper": return text.isCased(upper: true)
        case "islower": return text.isCased(upper: false)
        case "istitle": return text.isTitled
        case "isidentifier":
            guard let first = text.string.unicodeScalars.first, first.isNameStart else { return false }
            return all(\.isNamePart)
        default: return nil
        }
    }
}

extension Text {
    /// `str.casefold`, but for the few characters whose folding is not their lower case.
    var caseFolded: Text {
        guard !isASCII else { return lowercased }
        var folded: [UInt8] = []
        var changedRuns: [OriginRun] = []
        var old = 0
        for scalar in string.unicodeScalars {
            let origin = origin(at: old)
            old += UTF8.width(scalar)
            switch scalar {
            case "ß", "ẞ": folded += Array("ss".utf8)
            case "ς": folded += Array("σ".utf8)
            case "ſ": folded += Array("s".utf8)
            default: folded += Array(scalar.properties.lowercaseMapping.utf8)
            }
            changedRuns.extend(to: folded.count, origin)
        }
        return Text(folded, mixed: changedRuns, origin: origin)
    }
}
