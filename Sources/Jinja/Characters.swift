// Python's classes of characters.

extension Unicode.Scalar {
    /// `str.isspace`, which is also what `strip`, `split` and `\s` take for white space.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0: true
        case 0..<0x1680: false
        case 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// A line ends behind it, for `str.splitlines`.
    var isLineEnd: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    var isPythonAlpha: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isPythonDecimal: Bool { properties.generalCategory == .decimalNumber }

    var isPythonDigit: Bool {
        isPythonDecimal || properties.numericType == .digit
    }

    var isPythonNumeric: Bool { properties.numericType != nil }

    var isPythonAlphanumeric: Bool { isPythonAlpha || isPythonNumeric }

    /// `repr` writes it as it is.
    var isPythonPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: self == " "
        default: true
        }
    }

    /// May begin a name.
    var isNameStart: Bool {
        isASCII ? self == "_" || properties.isAlphabetic : properties.isXIDStart
    }

    /// May stand inside a name.
    var isNamePart: Bool {
        isASCII ? self == "_" || properties.isAlphabetic || (0x30...0x39).contains(value) : properties.isXIDContinue
    }
}
