// Python's mini-language for writing one value: width, fill, sign, digits.

/// What stands behind the colon in `{:>8.2f}`, and what stands in `%-8.2f`.
struct FormatSpecification {
    var fill = Text(" ")
    /// `<`, `>`, `^` or `=`; nil: as the type of the value wants it.
    var alignment: Character?
    /// `+`, `-` or a space.
    var sign: Character = "-"
    var isAlternate = false
    var width = 0
    /// `,` or `_` between thousands.
    var grouping: Character?
    var precision: Int?
    /// The letter at the end.
    var type: Character?

    /// Widest field, in characters.
    static let widest = 100_000

    init() {}

    /// Reads a specification as `format` and `str.format` have it.
    init(_ source: Text) throws(TemplateError) {
        var rest = Array(source.string)[...]
        let aligns: Set<Character> = ["<", ">", "^", "="]
        if rest.count > 1, aligns.contains(rest[1]) {
            fill = Text(String(rest[0]))
            alignment = rest[1]
            rest = rest.dropFirst(2)
        } else if let first = rest.first, aligns.contains(first) {
            alignment = first
            rest = rest.dropFirst()
        }
        if let first = rest.first, "+- ".contains(first) {
            sign = first
            rest = rest.dropFirst()
        }
        if rest.first == "#" {
            isAlternate = true
            rest = rest.dropFirst()
        }
        if rest.first == "0" {
            rest = rest.dropFirst()
            if alignment == nil {
                fill = Text("0")
                alignment = "="
            }
        }
        width = try Self.number(&rest) ?? 0
        if let first = rest.first, first == "," || first == "_" {
            grouping = first
            rest = rest.dropFirst()
        }
        if rest.first == "." {
            rest = rest.dropFirst()
            guard let digits = try Self.number(&rest) else { throw .type("Format specifier missing precision") }
            precision = digits
        }
        type = rest.popFirst()
        guard rest.isEmpty else { throw .type("Invalid format specifier '\(source.string)'") }
    }

    static func number(_ rest: inout ArraySlice<Character>) throws(TemplateError) -> Int? {
        var value: Int?
        while let digit = rest.first, digit.isASCII, let number = digit.wholeNumberValue {
            value = (value ?? 0) * 10 + number
            guard value ?? 0 <= widest else {
                throw TemplateError(.limit, "a width or precision above \(widest)")
            }
            rest = rest.dropFirst()
        }
        return value
    }

    /// `text` padded to the width.
    func padded(_ text: Text, defaultAlignment: Character, _ budget: Budget) throws(TemplateError) -> Text {
        let missing = max(width - text.count, 0)
        let alignment = alignment ?? defaultAlignment
        var builder = TextBuilder(budget)
        if alignment == "=" {
            var signEnd = 0
            if let first = text.bytes.first, first == 0x2D || first == 0x2B || first == 0x20 { signEnd = 1 }
            if isAlternate, text.bytes.count > signEnd + 1, text.bytes[signEnd] == 0x30,
                [0x62, 0x6F, 0x78].contains(text.bytes[signEnd + 1] | 0x20)
            {
                signEnd += 2
            }
            try builder.append(text, 0..<signEnd)
            try builder.append(fill, count: missing)
            try builder.append(text, signEnd..<text.bytes.count)
            return builder.text
        }
        let left = alignment == "<" ? 0 : alignment == ">" ? missing : missing / 2
        try builder.append(fill, count: left)
        try builder.append(text)
        try builder.append(fill, count: missing - left)
        return builder.text
    }

    /// An integer's digits with prefix and sign.
    func text(of value: Int) throws(TemplateError) -> String {
        let radix =
            switch type {
            case nil, "d", "n", "i", "u": 10
            case "b": 2
            case "o": 8
            case "x", "X": 16
            case let other?: throw .type("Unknown format code '\(other)' for object of type 'int'")
            }
        if precision != nil { throw .type("Precision not allowed in integer format specifier") }
        let digits = String(value.magnitude, radix: radix, uppercase: type == "X")
        let prefix = isAlternate && radix != 10 ? "0" + String(type ?? "x") : ""
        return signed(isNegative: value < 0) + prefix + grouped(digits, every: radix == 10 ? 3 : 4)
    }

    /// A float's digits with sign.
    func text(of value: Double) throws(TemplateError) -> String {
        var digits: String
        let magnitude = value.magnitude
        switch type {
        case nil where precision == nil: digits = NumberText.repr(magnitude)
        case nil:
            digits = FloatFormat.text(magnitude, "g", max(precision ?? 6, 1), keepsPoint: isAlternate)
            // Without a letter a float looks like one.
            if !digits.contains(where: { ".en".contains($0) }) { digits += ".0" }
        case "f", "F", "e", "E", "g", "G":
            let form = String(type ?? "g")
            let wanted = precision ?? 6
            digits = FloatFormat.text(
                magnitude, form, form.lowercased() == "g" ? max(wanted, 1) : wanted, keepsPoint: isAlternate)
        case "n": digits = FloatFormat.text(magnitude, "g", max(precision ?? 6, 1))
        case "%": digits = FloatFormat.text(magnitude * 100, "f", precision ?? 6) + "%"
        case let other?: throw .type("Unknown format code '\(other)' for object of type 'float'")
        }
        let end = digits.firstIndex { !$0.isNumber } ?? digits.endIndex
        let whole = grouped(String(digits[..<end]), every: 3)
        return signed(isNegative: value.sign == .minus && !value.isNaN) + whole + digits[end...]
    }

    private func signed(isNegative: Bool) -> String {
        isNegative ? "-" : sign == "-" ? "" : String(sign)
    }

    private func grouped(_ digits: String, every count: Int) -> String {
        guard let grouping else { return digits }
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % count == 0 { result.append(grouping) }
            result.append(digit)
        }
        return result
    }

    /// `format(value, specification)`.
    func text(of value: Value, _ budget: Budget) throws(TemplateError) -> Text {
        let isFloatType = type.map { "eEfFgG%".contains($0) } ?? false
        switch value {
        case .text, .none, .undefined:
            guard type == nil || type == "s" else {
                throw .type("Unknown format code '\(type ?? "s")' for object of type '\(value.typeName)'")
            }
            var text = try value.text(budget)
            if let precision { text = text.slice(0..<text.offset(ofCharacter: precision)) }
            return try padded(text, defaultAlignment: "<", budget)
        case .boolean, .integer:
            guard let integer = value.asInteger else { throw Renderer.overflow }
            if type == "c" {
                guard let scalar = Unicode.Scalar(UInt32(clamping: integer)) else {
                    throw .type("%c arg not in range(0x110000)")
                }
                return try padded(Text(String(scalar)), defaultAlignment: "<", budget)
            }
            let digits = isFloatType ? try text(of: Double(integer)) : try text(of: integer)
            return try padded(Text(digits), defaultAlignment: ">", budget)
        case .float(let number): return try padded(Text(try text(of: number)), defaultAlignment: ">", budget)
        default:
            guard type == nil, width == 0, precision == nil else {
                throw .type("unsupported format string passed to \(value.typeName).__format__")
            }
            return try value.text(budget)
        }
    }
}
