// Python's `format % values`.

extension Renderer {
    /// `format % value`.
    func percent(_ format: Text, _ value: Value) throws(TemplateError) -> Text {
        var formatter = PercentFormatter(format: format, budget: budget, value: value)
        let text = try formatter.run()
        return format.isMarkup ? text.markup : text
    }
}

private struct PercentFormatter {
    let format: Text
    let budget: Budget
    let value: Value
    private var builder: TextBuilder
    private var offset = 0
    /// How many of the positional values are used.
    private var used = 0

    init(format: Text, budget: Budget, value: Value) {
        self.format = format
        self.budget = budget
        self.value = value
        builder = TextBuilder(budget)
    }

    mutating func run() throws(TemplateError) -> Text {
        let bytes = format.bytes
        while let mark = format.find([0x25], in: offset..<bytes.count) {
            try builder.append(format, offset..<mark)
            offset = mark + 1
            try directive()
        }
        try builder.append(format, offset..<bytes.count)
        let isAll =
            switch value {
            case .tuple(let list): used >= list.items.count
            // What has elements may be meant for names, and need not be used.
            case .mapping, .list, .range, .undefined: true
            default: used > 0
            }
        guard isAll else { throw .type("not all arguments converted during string formatting") }
        return builder.adopted
    }

    private mutating func next() throws(TemplateError) -> Value {
        used += 1
        if case .tuple(let list) = value {
            guard used <= list.items.count else { throw .type("not enough arguments for format string") }
            return list.items[used - 1]
        }
        guard used == 1 else { throw .type("not enough arguments for format string") }
        return value
    }

    private var byte: UInt8? { offset < format.bytes.count ? format.bytes[offset] : nil }

    private mutating func number() throws(TemplateError) -> Int? {
        if byte == 0x2A {
            offset += 1
            guard let width = try next().asInteger else { throw .type("* wants int") }
            guard abs(width) <= FormatSpecification.widest else {
                throw TemplateError(.limit, "a width above \(FormatSpecification.widest)")
            }
            return width
        }
        let start = offset
        while let digit = byte, (0x30...0x39).contains(digit) { offset += 1 }
        var digits = Array(String(decoding: format.bytes[start..<offset], as: UTF8.self))[...]
        return try FormatSpecification.number(&digits)
    }

    private mutating func directive() throws(TemplateError) {
        try budget.spend()
        var given: Value?
        if byte == 0x28 {
            guard let end = format.find([0x29], in: offset..<format.bytes.count) else {
                throw .type("incomplete format key")
            }
            guard case .mapping(let mapping) = value else { throw .type("format requires a mapping") }
            let name = format.slice((offset + 1)..<end)
            guard let found = mapping.contents[.text(name.bytes)] else {
                throw .type("format has no value called '\(name.string)'")
            }
            given = found
            offset = end + 1
        }
        var specification = FormatSpecification()
        var isZero = false
        while let flag = byte, let known = Optional(Character(UnicodeScalar(flag))), "#0- +".contains(known) {
            switch known {
            case "#": specification.isAlternate = true
            case "0": isZero = true
            case "-": specification.alignment = "<"
            case "+": specification.sign = "+"
            default: if specification.sign != "+" { specification.sign = " " }
            }
            offset += 1
        }
        let width = try number() ?? 0
        if width < 0 { specification.alignment = "<" }
        specification.width = abs(width)
        if byte == 0x2E {
            offset += 1
            specification.precision = max(try number() ?? 0, 0)
        }
        while let letter = byte, letter == 0x68 || letter == 0x6C || letter == 0x4C { offset += 1 }
        guard let letter = byte else { throw .type("incomplete format") }
        offset += 1
        if letter == 0x25 { return try builder.append("%") }
        let type = Character(UnicodeScalar(letter))
        if isZero, specification.alignment == nil, !"csra".contains(type) {
            specification.alignment = "="
            specification.fill = Text("0")
        }
        let value = if let given { given } else { try next() }
        try builder.append(try text(value, type, specification))
    }

    private func text(
        _ value: Value, _ type: Character, _ specification: FormatSpecification
    ) throws(TemplateError) -> Text {
        var specification = specification
        specification.alignment = specification.alignment ?? ">"
        switch type {
        case "s", "r", "a":
            var text = type == "s" ? try value.text(budget) : try value.repr(budget)
            if format.isMarkup { text = try text.escapedForHTML(budget).plain }
            return try specification.text(of: .text(text), budget)
        case "d", "i", "u", "o", "x", "X":
            specification.type = type == "i" || type == "u" ? "d" : type
            let integer: Int? =
                if case .float(let number) = value, specification.type == "d" {
                    Int(exactly: number.rounded(.towardZero))
                } else {
                    value.asInteger
                }
            guard let integer else { throw wrong(type, "a real number is required", value) }
            let digits = specification.precision ?? 0
            specification.precision = nil
            // A precision is the least number of digits.
            var text = try specification.text(of: integer)
            let have = text.count { $0.isHexDigit }
            if have < digits {
                let place = text.firstIndex { $0.isHexDigit } ?? text.endIndex
                text.insert(contentsOf: String(repeating: "0", count: digits - have), at: place)
            }
            return try specification.padded(Text(text), defaultAlignment: ">", budget)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.asFloat else { throw wrong(type, "must be real number", value) }
            specification.type = type
            return try specification.text(of: .float(number), budget)
        case "c":
            if case .text(let text) = value, text.count == 1 {
                return try specification.padded(text, defaultAlignment: ">", budget)
            }
            guard value.asInteger != nil else { throw .type("%c requires int or char") }
            specification.type = "c"
            return try specification.text(of: value, budget)
        default: throw .type("unsupported format character '\(type)'")
        }
    }

    private func wrong(_ type: Character, _ expected: String, _ value: Value) -> TemplateError {
        if case .undefined(let undefined) = value { return undefined.error }
        return .type("%\(type) format: \(expected), not \(value.typeName)")
    }
}
