// The general categories of Unicode as Swift knows them, for split patterns.

internal import COniguruma

/// Oniguruma 6.9.8 has the tables of Unicode 14, in which the letters of later versions are nothing at all. The classes that
/// split patterns use are therefore defined anew from the tables of Swift's own library, which are those of Unicode 17.
enum UnicodeTables {
    /// Defines the classes under their short names, over Oniguruma's own; before any pattern is compiled.
    ///
    /// - Returns: whether Oniguruma took all of them.
    static func define() -> Bool {
        var categories = [Runs](repeating: Runs(), count: names.count)
        var groups = [Runs](repeating: Runs(), count: groupNames.count)
        for plane in planes {
            for code in plane {
                guard let scalar = Unicode.Scalar(code), let place = place(scalar.properties.generalCategory) else {
                    continue
                }
                if let category = place.category { categories[category].add(code) }
                groups[place.group].add(code)
            }
        }
        return (Array(zip(names, categories)) + Array(zip(groupNames, groups))).allSatisfy { name, runs in
            onig_unicode_define_user_property(name, runs.permanentCopy()) == ONIG_NORMAL
        }
    }

    /// Where characters of these classes are. Planes 4 to 13 are empty, the last two are for private use.
    private static let planes: [Range<UInt32>] = [0..<0x40000, 0xE0000..<0xF0000]

    private static let names = ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No"]
    private static let groupNames = ["L", "M", "N", "P", "S"]

    /// A category's place among the names above, and its group's; nil for white space, control characters and what is
    /// unassigned, whose classes stay Oniguruma's.
    private static func place(_ category: Unicode.GeneralCategory) -> (category: Int?, group: Int)? {
        switch category {
        case .uppercaseLetter: (0, 0)
        case .lowercaseLetter: (1, 0)
        case .titlecaseLetter: (2, 0)
        case .modifierLetter: (3, 0)
        case .otherLetter: (4, 0)
        case .nonspacingMark: (5, 1)
        case .spacingMark: (6, 1)
        case .enclosingMark: (7, 1)
        case .decimalNumber: (8, 2)
        case .letterNumber: (9, 2)
        case .otherNumber: (10, 2)
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            (nil, 3)
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: (nil, 4)
        default: nil
        }
    }

    /// Runs of code points, each with its first and last.
    private struct Runs {
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
