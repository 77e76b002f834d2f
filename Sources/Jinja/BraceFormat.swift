// Python's `str.format`.

extension Renderer {
    /// `format.format(arguments)`.
    func braces(_ format: Text, _ arguments: CallArguments) throws(TemplateError) -> Text {
        var next = 0
        let text = try braces(format, arguments, &next, level: 0)
        return format.isMarkup ? text.markup : text
    }

    /// `next`: the number of the positional value that an empty field takes.
    private func braces(
        _ format: Text, _ arguments: CallArguments, _ next: inout Int, level: Int
    ) throws(TemplateError) -> Text {
        guard level < 2 else { throw .type("Max string recursion exceeded") }
        var builder = TextBuilder(budget)
        let bytes = format.bytes
        var offset = 0
        var done = 0
        while offset < bytes.count {
            let byte = bytes[offset]
            guard byte == 0x7B || byte == 0x7D else {
                offset += 1
                continue
            }
            try budget.spend()
            if offset + 1 < bytes.count, bytes[offset + 1] == byte {
                try builder.append(format, done..<(offset + 1))
                offset += 2
                done = offset
                continue
            }
            guard byte == 0x7B else { throw .type("Single '}' encountered in format string") }
            guard let end = Self.fieldEnd(bytes, offset + 1) else {
                throw .type("expected '}' before end of string")
            }
            try builder.append(format, done..<offset)
            let field = format.slice((offset + 1)..<end)
            var text = try self.field(field, arguments, &next, level)
            if format.isMarkup { text = try text.escapedForHTML(budget) }
            try builder.append(text)
            offset = end + 1
            done = offset
        }
        try builder.append(format, done..<bytes.count)
        return builder.adopted
    }

    /// Where the brace is that closes the one before `start`.
    private static func fieldEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        var open = 1
        for offset in start..<bytes.count {
            if bytes[offset] == 0x7B { open += 1 }
            if bytes[offset] == 0x7D { open -= 1 }
            if open == 0 { return offset }
        }
        return nil
    }

    /// The text of what stands between two braces: `name!r:specification`.
    private func field(
        _ field: Text, _ arguments: CallArguments, _ next: inout Int, _ level: Int
    ) throws(TemplateError) -> Text {
        let bytes = field.bytes
        var bracket = 0
        let nameEnd =
            bytes.firstIndex { byte in
                if byte == 0x5B { bracket += 1 }
                if byte == 0x5D { bracket -= 1 }
                return bracket <= 0 && (byte == 0x21 || byte == 0x3A)
            } ?? bytes.count
        var value = try looked(up: field.slice(0..<nameEnd).string, arguments, &next)
        var rest = nameEnd
        if rest < bytes.count, bytes[rest] == 0x21 {
            guard rest + 1 < bytes.count else { throw .type("end of string while looking for conversion specifier") }
            switch bytes[rest + 1] {
            case 0x72, 0x61: value = .text(try value.repr(budget))
            case 0x73: value = .text(try value.text(budget))
            default: throw .type("Unknown conversion specifier")
            }
            rest += 2
            guard rest == bytes.count || bytes[rest] == 0x3A else {
                throw .type("expected ':' after conversion specifier")
            }
        }
        guard rest < bytes.count else { return try value.text(budget) }
        let specification = try braces(field.slice((rest + 1)..<bytes.count), arguments, &next, level: level + 1)
        if specification.isEmpty { return try value.text(budget) }
        return try FormatSpecification(specification).text(of: value, budget)
    }

    /// The value a field names: `0`, `name`, nothing, with `.attribute` and `[key]` behind it.
    private func looked(
        up name: String, _ arguments: CallArguments, _ next: inout Int
    ) throws(TemplateError) -> Value {
        let firstEnd = name.firstIndex { $0 == "." || $0 == "[" } ?? name.endIndex
        let first = name[..<firstEnd]
        var value: Value
        if first.isEmpty || first.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            let index = first.isEmpty ? next : Int(first) ?? .max
            if first.isEmpty { next += 1 }
            guard index < arguments.positional.count else {
                throw .type("Replacement index \(index) out of range for positional args tuple")
            }
            value = arguments.positional[index]
        } else {
            guard let found = arguments.named.first(where: { $0.name == first })?.value else {
                throw .type("format has no value called '\(first)'")
            }
            value = found
        }
        var rest = name[firstEnd...]
        while let mark = rest.popFirst() {
            if mark == "." {
                let end = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
                value = try attribute(of: value, String(rest[..<end]), line)
                rest = rest[end...]
            } else {
                guard mark == "[", let end = rest.firstIndex(of: "]") else {
                    throw .type("Only '.' or '[' may follow ']' in format field specifier")
                }
                let key = rest[..<end]
                let isIndex = !key.isEmpty && key.utf8.allSatisfy { (0x30...0x39).contains($0) }
                value = try item(of: value, isIndex ? .integer(Int(key) ?? .max) : .words(String(key)))
                rest = rest[rest.index(after: end)...]
            }
        }
        return value
    }
}
