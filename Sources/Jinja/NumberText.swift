// Numbers as Python writes them.

enum NumberText {
    /// `repr` of a float: the shortest digits that read back, scientific below 1e-4 and from 1e16 on.
    static func repr(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let (digits, exponent) = shortest(abs(value))
        let sign = value < 0 ? "-" : ""
        if exponent < -4 || exponent >= 16 {
            let head = String(digits.prefix(1))
            let tail = digits.dropFirst()
            let power = abs(exponent)
            return sign + head + (tail.isEmpty ? "" : "." + tail) + (exponent < 0 ? "e-" : "e+")
                + (power < 10 ? "0" : "") + String(power)
        }
        return sign + positional(digits, exponent)
    }

    /// The shortest decimal digits of a positive value, and the power of ten of the first one.
    private static func shortest(_ value: Double) -> (digits: String, exponent: Int) {
        let parts = value.description.split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let number = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let whole = String(number[0])
        var digits = whole + (number.count > 1 ? String(number[1]) : "")
        exponent += whole.count - 1
        while digits.count > 1, digits.hasPrefix("0") {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        return (digits, exponent)
    }

    private static func positional(_ digits: String, _ exponent: Int) -> String {
        if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + digits }
        guard digits.count > exponent + 1 else {
            return digits + String(repeating: "0", count: exponent + 1 - digits.count) + ".0"
        }
        return digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }

    /// Python's `int(text, base)`; nil when the text is no integer, or one too large to hold.
    static func integer(_ text: Text, base: Int = 10) -> Int? {
        var digits = Substring(text.stripped().string)
        var isNegative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            digits = digits.dropFirst()
        }
        var base = base
        let prefixes: [String: Int] = ["0x": 16, "0o": 8, "0b": 2]
        if let wanted = prefixes[digits.prefix(2).lowercased()], base == wanted || base == 0 {
            base = wanted
            digits = digits.dropFirst(2)
            if digits.first == "_" { digits = digits.dropFirst() }
        } else if base == 0 {
            base = 10
            if digits.count > 1, digits.first == "0", digits.contains(where: { $0 != "0" && $0 != "_" }) { return nil }
        }
        guard (2...36).contains(base), let plain = withoutUnderscores(digits) else { return nil }
        var value = 0
        for scalar in plain.unicodeScalars {
            let digit: Int
            if let number = scalar.properties.numericValue, scalar.isPythonDecimal {
                digit = Int(number)
            } else if let number = Int(String(scalar), radix: 36) {
                digit = number
            } else {
                return nil
            }
            guard digit < base else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: base)
            let (sum, carry) =
                isNegative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            if overflow || carry { return nil }
            value = sum
        }
        return value
    }

    /// Python's `float(text)`.
    static func float(_ text: Text) -> Double? {
        let word = text.stripped().string.lowercased()
        let unsigned = word.hasPrefix("-") || word.hasPrefix("+") ? String(word.dropFirst()) : word
        switch unsigned {
        case "inf", "infinity": return word.hasPrefix("-") ? -.infinity : .infinity
        case "nan": return .nan
        default: break
        }
        guard let first = unsigned.unicodeScalars.first, first == "." || ("0"..."9").contains(first),
            !unsigned.contains("x"), let plain = withoutUnderscores(Substring(word))
        else { return nil }
        return Double(plain.hasSuffix(".") ? plain + "0" : plain.replacingDotBeforeExponent)
    }

    /// Underscores may stand between digits only.
    private static func withoutUnderscores(_ digits: Substring) -> String? {
        guard !digits.isEmpty, !digits.hasPrefix("_"), !digits.hasSuffix("_") else { return nil }
        var isLast = false
        var result = ""
        for character in digits {
            if character == "_" {
                if isLast { return nil }
            } else {
                result.append(character)
            }
            isLast = character == "_"
        }
        return result
    }
}

extension String {
    /// `1.e5` as `1.0e5`.
    fileprivate var replacingDotBeforeExponent: String {
        guard let dot = firstIndex(of: "."), index(after: dot) < endIndex, self[index(after: dot)] == "e" else {
            return self
        }
        return self[..<dot] + ".0" + self[index(after: dot)...]
    }
}
