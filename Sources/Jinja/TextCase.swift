// Upper and lower case, as Python's str does it.

extension Text {
    /// Every character changed by `change`, which is told the characters around it.
    private func mapped(_ change: (_ index: Int, _ all: [Unicode.Scalar]) -> String) -> Text {
        let all = Array(string.unicodeScalars)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var changedRuns: [OriginRun] = []
        var old = 0
        for index in all.indices {
            let origin = origin(at: old)
            old += UTF8.width(all[index])
            result.append(contentsOf: change(index, all).utf8)
            changedRuns.extend(to: result.count, origin)
        }
        var text = Text(result, mixed: changedRuns, origin: origin)
        text.isMarkup = isMarkup
        return text
    }

    private func ascii(_ change: (UInt8) -> UInt8) -> Text {
        var text = Text(bytes.map(change), mixed: mixed, origin: origin)
        text.isMarkup = isMarkup
        return text
    }

    private static func isUpper(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) }
    private static func isLower(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }

    var uppercased: Text {
        guard !isASCII else { return ascii { Self.isLower($0) ? $0 - 32 : $0 } }
        return mapped { index, all in all[index].properties.uppercaseMapping }
    }

    var lowercased: Text {
        guard !isASCII else { return ascii { Self.isUpper($0) ? $0 + 32 : $0 } }
        return mapped { Self.lower($0, $1) }
    }

    var swappedCase: Text {
        mapped { index, all in
            all[index].properties.isUppercase ? Self.lower(index, all) : all[index].properties.uppercaseMapping
        }
    }

    /// The first character in title case, the others in lower case.
    var capitalized: Text {
        mapped { index, all in index == 0 ? all[0].properties.titlecaseMapping : Self.lower(index, all) }
    }

    /// `str.title`: every letter that follows no letter in title case.
    var titled: Text {
        mapped { index, all in
            let follows = index > 0 && Self.isCased(all[index - 1])
            return follows ? Self.lower(index, all) : all[index].properties.titlecaseMapping
        }
    }

    /// Jinja's `title`: letters that begin the text or follow white space or one of `-({[<`.
    var wordsTitled: Text {
        mapped { index, all in
            let isStart = index == 0 || all[index - 1].isPythonSpace || "-({[<".unicodeScalars.contains(all[index - 1])
            return isStart ? all[index].properties.uppercaseMapping : Self.lower(index, all)
        }
    }

    private static func isCased(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        return properties.isUppercase || properties.isLowercase || properties.generalCategory == .titlecaseLetter
    }

    /// A Greek sigma that ends a word has a form of its own.
    private static func lower(_ index: Int, _ all: [Unicode.Scalar]) -> String {
        guard all[index].value == 0x3A3 else { return all[index].properties.lowercaseMapping }
        func first(_ indices: some Sequence<Int>) -> Unicode.Scalar? {
            indices.lazy.map { all[$0] }.first { !$0.properties.isCaseIgnorable }
        }
        let before = first(stride(from: index - 1, through: 0, by: -1))
        let after = first((index + 1)..<all.count)
        let isFinal = before.map(isCased) == true && after.map(isCased) != true
        return isFinal ? "\u{3C2}" : "\u{3C3}"
    }

    /// Whether it has cased characters and all of them are of the wanted case.
    func isCased(upper: Bool) -> Bool {
        var found = false
        for scalar in string.unicodeScalars {
            let properties = scalar.properties
            if properties.generalCategory == .titlecaseLetter { return false }
            if upper ? properties.isLowercase : properties.isUppercase { return false }
            if upper ? properties.isUppercase : properties.isLowercase { found = true }
        }
        return found
    }

    /// `str.istitle`.
    var isTitled: Bool {
        var found = false
        var follows = false
        for scalar in string.unicodeScalars {
            let properties = scalar.properties
            let isUpper = properties.isUppercase || properties.generalCategory == .titlecaseLetter
            if isUpper ? follows : properties.isLowercase && !follows { return false }
            follows = isUpper || properties.isLowercase
            found = found || follows
        }
        return found
    }
}
