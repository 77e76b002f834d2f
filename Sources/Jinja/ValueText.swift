// Values as text: Python's str and repr.

extension TextBuilder {
    /// `str(value)`.
    mutating func append(str value: Value, _ budget: Budget) throws(TemplateError) {
        switch value {
        case .undefined: break
        case .text(let text): try append(text)
        default: try append(repr: value, budget)
        }
    }

    /// `repr(value)`.
    mutating func append(repr value: Value, _ budget: Budget, nested: Int = 0) throws(TemplateError) {
        try budget.spend()
        guard nested <= Limits.nesting else { throw TemplateError(.limit, "values nest too deep to be written") }
        switch value {
        case .undefined: try append("Undefined")
        case .none: try append("None")
        case .boolean(let value): try append(value ? "True" : "False")
        case .integer(let value): try append(String(value))
        case .largeInteger(let digits): try append(digits)
        case .float(let value): try append(NumberText.repr(value))
        case .text(let text):
            if text.isMarkup { try append("Markup(") }
            try append(quoted: text)
            if text.isMarkup { try append(")") }
        case .list(let list): try append(list.items, "[", "]", budget, nested)
        case .tuple(let list): try append(list.items, "(", list.items.count == 1 ? ",)" : ")", budget, nested)
        case .mapping(let mapping): try append(mapping.contents, budget, nested)
        case .range(let range):
            try append("range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))")
        case .view(let view):
            try append("\(view.kind.rawValue)(")
            try append(try view.items(), "[", "]", budget, nested)
            try append(")")
        case .namespace(let namespace):
            try append("<Namespace ")
            try append(namespace.attributes, budget, nested)
            try append(">")
        case .loop(let loop): try append("<LoopContext \(loop.index + 1)/\(loop.items.count)>")
        case .iterator, .function: try append("<\(value.typeName) object>")
        }
    }

    private mutating func append(
        _ items: [Value], _ open: String, _ close: String, _ budget: Budget, _ nested: Int
    ) throws(TemplateError) {
        try append(open)
        for (index, item) in items.enumerated() {
            if index > 0 { try append(", ") }
            try append(repr: item, budget, nested: nested + 1)
        }
        try append(close)
    }

    private mutating func append(
        _ contents: MappingContents, _ budget: Budget, _ nested: Int
    ) throws(TemplateError) {
        try append("{")
        for (index, key) in contents.keys.enumerated() {
            if index > 0 { try append(", ") }
            try append(repr: key, budget, nested: nested + 1)
            try append(": ")
            try append(repr: contents.values[index], budget, nested: nested + 1)
        }
        try append("}")
    }

    /// A string as Python writes it in its source.
    private mutating func append(quoted text: Text) throws(TemplateError) {
        let hasSingle = text.bytes.contains(0x27)
        let quote: UInt8 = hasSingle && !text.bytes.contains(0x22) ? 0x22 : 0x27
        let mark = String(UnicodeScalar(quote))
        try append(mark)
        try append(text) { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\n": "\\n"
            case "\r": "\\r"
            case "\t": "\\t"
            default:
                scalar.value == UInt32(quote)
                    ? "\\" + mark : scalar.isPythonPrintable ? nil : Self.escaped(scalar)
            }
        }
        try append(mark)
    }

    /// A text in which some characters are written otherwise: `escape` returns nil for those that stay.
    mutating func append(
        _ text: Text, escape: (Unicode.Scalar) -> String?
    ) throws(TemplateError) {
        var done = 0
        var offset = 0
        while offset < text.bytes.count {
            let end = offset + Text.width(text.bytes[offset])
            if let escaped = escape(text.scalar(at: offset)) {
                try append(text, done..<offset)
                try append(escaped, origin: text.origin(at: offset))
                done = end
            }
            offset = end
        }
        try append(text, done..<offset)
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    }
}

extension Value {
    /// `str(self)`.
    func text(_ budget: Budget) throws(TemplateError) -> Text {
        if case .text(let text) = self { return text }
        var builder = TextBuilder(budget)
        try builder.append(str: self, budget)
        return builder.adopted
    }

    /// `repr(self)`.
    func repr(_ budget: Budget) throws(TemplateError) -> Text {
        var builder = TextBuilder(budget)
        try builder.append(repr: self, budget)
        return builder.adopted
    }
}

extension Text {
    /// The text as HTML, as markupsafe escapes it.
    func escapedForHTML(_ budget: Budget) throws(TemplateError) -> Text {
        if isMarkup { return self }
        var builder = TextBuilder(budget)
        try builder.append(self) { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "'": "&#39;"
            case "\"": "&#34;"
            default: nil
            }
        }
        var text = builder.text
        text.isMarkup = true
        return text
    }

    /// The same text, taken for HTML.
    var markup: Text {
        var text = self
        text.isMarkup = true
        return text
    }

    /// The same text, taken for plain.
    var plain: Text {
        var text = self
        text.isMarkup = false
        return text
    }
}
