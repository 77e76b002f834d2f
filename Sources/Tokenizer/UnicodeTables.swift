// The general categories of Unicode as Swift knows them, for split patterns.

internal import COniguruma

/// Oniguruma 6.9.8 has the tables of Unicode 14, in which the letters of later versions are nothing at all. The classes that
/// split patterns use are therefore defined anew from the tables of Swift's own library, which are those of Unicode 17.
enum UnicodeTables {
    /// Defines the classes under their short names, over Oniguruma's own; before any pattern is compiled.
    ///
    /// - Returns: whether Oniguruma took all of them.
    static func define() -> Bool {
        var classes = Dictionary(uniqueKeysWithValues: names.map { ($0, Ranges()) })
        for code in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(code), let name = name(scalar.properties.generalCategory) else {
                continue
            }
            classes[name]?.add(code)
            // The whole group: L for Lu.
            if name.count == 2 { classes[String(name.prefix(1))]?.add(code) }
        }
        return classes.allSatisfy { name, ranges in
            onig_unicode_define_user_property(name, ranges.permanentCopy()) == ONIG_NORMAL
        }
    }

    private static let names = [
        "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "S",
    ]

    /// The category's name among those above; nil for white space, control characters and what is unassigned, whose
    /// classes stay Oniguruma's.
    private static func name(_ category: Unicode.GeneralCategory) -> String? {
        switch category {
        case .uppercaseLetter: "Lu"
        case .lowercaseLetter: "Ll"
        case .titlecaseLetter: "Lt"
        case .modifierLetter: "Lm"
        case .otherLetter: "Lo"
        case .nonspacingMark: "Mn"
        case .spacingMark: "Mc"
        case .enclosingMark: "Me"
        case .decimalNumber: "Nd"
        case .letterNumber: "Nl"
        case .otherNumber: "No"
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            "P"
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: "S"
        default: nil
        }
    }

    /// Runs of code points, each with its first and last.
    private struct Ranges {
        private var bounds: [OnigCodePoint] = []

        /// Adds the code point that follows all others.
        mutating func add(_ code: UInt32) {
            if let last = bounds.last, last + 1 == code {
                bounds[bounds.count - 1] = code
            } else {
                bounds += [code, code]
            }
        }

        /// The number of runs and the runs, as Oniguruma wants them: it keeps the pointer for as long as the process lives.
        func permanentCopy() -> UnsafeMutablePointer<OnigCodePoint> {
            let copy = UnsafeMutablePointer<OnigCodePoint>.allocate(capacity: bounds.count + 1)
            copy.initialize(to: OnigCodePoint(bounds.count / 2))
            (copy + 1).initialize(from: bounds, count: bounds.count)
            return copy
        }
    }
}
