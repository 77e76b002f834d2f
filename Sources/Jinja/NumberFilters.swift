// Filters that make numbers, or text of them.

extension Renderer {
    func numberFilter(_ name: String, _ input: Value, _ call: CallArguments) throws(TemplateError) -> Value? {
        switch name {
        case "int": return try integer(input, call)
        case "float":
            let fallback = try call.bound(name, ["default"])[0] ?? .float(0)
            if case .undefined(let undefined) = input { throw undefined.error }
            if case .text(let text) = input { return NumberText.float(text).map { .float($0) } ?? fallback }
            return input.asFloat.map { .float($0) } ?? fallback
        case "abs":
            _ = try call.bound(name, [])
            if case .float(let number) = input { return .float(abs(number)) }
            guard let number = input.asInteger else {
                throw .type("bad operand type for abs(): '\(input.typeName)'")
            }
            return number < 0 ? try negated(input) : .integer(number)
        case "round": return try rounded(input, call)
        case "sum":
            let bound = try call.bound(name, ["attribute", "start"])
            var total = bound[1] ?? .integer(0)
            if case .text = total { throw .type("sum() can't sum strings [use ''.join(seq) instead]") }
            for item in try input.elements(budget) {
                total = try arithmetic(.add, total, try attribute(bound[0], of: item))
            }
            return total
        case "wordcount":
            _ = try call.bound(name, [])
            var count = 0
            var isInside = false
            for scalar in try input.text(budget).string.unicodeScalars {
                let isWord = scalar.isPythonAlphanumeric || scalar == "_"
                if isWord, !isInside { count += 1 }
                isInside = isWord
            }
            return .integer(count)
        case "filesizeformat": return try fileSize(input, call)
        default: return nil
        }
    }

    private func integer(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("int", ["default", "base"])
        let fallback = bound[0] ?? .integer(0)
        switch input {
        case .undefined(let undefined): throw undefined.error
        case .largeInteger: throw Self.overflow
        case .text(let text):
            if let value = NumberText.integer(text, base: try bound.integer(1) ?? 10) { return .integer(value) }
            guard let number = NumberText.float(text), number.isFinite else { return fallback }
            return try truncated(number)
        case .float(let number):
            if number.isNaN { return fallback }
            return try truncated(number)
        default: return input.asInteger.map { .integer($0) } ?? fallback
        }
    }

    private func truncated(_ number: Double) throws(TemplateError) -> Value {
        guard let value = Int(exactly: number.rounded(.towardZero)) else { throw Self.overflow }
        return .integer(value)
    }

    private func rounded(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let bound = try call.bound("round", ["precision", "method"])
        let precision = try bound.integer(0) ?? 0
        let method = try bound.text(1)?.string ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw .type("method must be common, ceil or floor")
        }
        guard let number = input.asFloat else {
            throw .type("type \(input.typeName) doesn't define __round__ method")
        }
        guard abs(precision) <= 300 else { throw .type("round(): 'precision' must be -300 to 300") }
        guard method == "common" else {
            let scale = FloatMath.power(10, Double(precision))
            return .float((number * scale).rounded(method == "ceil" ? .up : .down) / scale)
        }
        if let integer = input.asInteger {
            guard precision < 0 else { return .integer(integer) }
            let scale = FloatMath.power(10, Double(-precision))
            return try truncated((Double(integer) / scale).rounded(.toNearestOrEven) * scale)
        }
        guard number.isFinite else { return input }
        if precision < 0 {
            let scale = FloatMath.power(10, Double(-precision))
            return .float((number / scale).rounded(.toNearestOrEven) * scale)
        }
        return .float(Double(FloatFormat.text(number, "f", precision)) ?? number)
    }

    private func fileSize(_ input: Value, _ call: CallArguments) throws(TemplateError) -> Value {
        let isBinary = try call.bound("filesizeformat", ["binary"]).flag(0)
        let size: Double? = if case .text(let text) = input { NumberText.float(text) } else { input.asFloat }
        guard let size, size.isFinite else { throw .type("filesizeformat takes a number") }
        let base = isBinary ? 1024.0 : 1000.0
        if size == 1 { return .words("1 Byte") }
        if size < base { return .words("\(Int(size)) Bytes") }
        let units =
            (isBinary ? ["KiB"] : ["kB"]) + ["M", "G", "T", "P", "E", "Z", "Y"].map { $0 + (isBinary ? "iB" : "B") }
        var unit = base
        for (index, name) in units.enumerated() {
            unit *= base
            if size < unit || index == units.count - 1 {
                return .words("\(FloatFormat.text(base * size / unit, "f", 1)) \(name)")
            }
        }
        return .none
    }
}
