// What a JSON text is made of, found in one pass before anything of it is built.

/// Bounds on a JSON text, and what no decoder says well: bytes that are no UTF-8, halves of surrogate pairs.
///
/// A decoder takes some fifty bytes for each value, be it two bytes long: `[1,1,1,...]` of 16 MB would be half a gigabyte.
package enum JSONShape {
    package struct Limits: Equatable, Sendable {
        /// Arrays and objects within each other.
        package var depth: Int
        /// Values, keys and containers together.
        package var values: Int

        package init(depth: Int = 256, values: Int = 1 << 18) {
            self.depth = depth
            self.values = values
        }

        /// Limits that leave room for several prompts of a whole context each as token ids.
        static func forContext(of tokens: Int) -> Limits {
            Limits(values: max(1 << 18, tokens.multipliedReportingOverflow(by: 4).partialValue))
        }
    }

    /// Why a text is not read, and where: bytes from its start.
    package enum Fault: Error, Equatable {
        case notUTF8(offset: Int)
        case tooDeep(offset: Int, most: Int)
        case tooMany(most: Int)
        case loneSurrogate(offset: Int, escape: String)

        var error: APIError {
            switch self {
            case .notUTF8(let offset):
                .invalid(
                    nil, "The request body is not UTF-8: invalid byte sequence at offset \(offset).",
                    code: "invalid_json")
            case .tooDeep(let offset, let most):
                .invalid(
                    nil,
                    "The request body is not valid JSON for this server: at offset \(offset) it nests deeper than \(most) levels.",
                    code: "invalid_json")
            case .tooMany(let most):
                .invalid(
                    nil, "The request body holds more than the \(most) values taken here.", code: "request_too_large")
            case .loneSurrogate(let offset, let escape):
                .invalid(
                    nil,
                    "The request body holds \(escape) at offset \(offset), a lone surrogate, which is half of a character: send both halves, or the character itself.",
                    code: "invalid_unicode")
            }
        }
    }

    /// Looks through a text. What else is wrong with it is the decoder's to say.
    package static func check(_ text: Span<UInt8>, _ limits: Limits = Limits()) throws(Fault) {
        do {
            _ = try UTF8Span(validating: text)
        } catch {
            throw .notUTF8(offset: error.byteOffsets.lowerBound)
        }
        var depth = 0
        var values = 1
        var at = 0
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""):
                at = try endOfString(text, from: at + 1)
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                values += 1
                if depth > limits.depth { throw .tooDeep(offset: at, most: limits.depth) }
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ","), UInt8(ascii: ":"): values += 1
            default: break
            }
            if values > limits.values { throw .tooMany(most: limits.values) }
            at += 1
        }
    }

    /// Where a string that begins before `start` ends, behind its quote.
    private static func endOfString(_ text: Span<UInt8>, from start: Int) throws(Fault) -> Int {
        var at = start
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""): return at + 1
            case UInt8(ascii: "\\"):
                guard let unit = codeUnit(text, at) else {
                    at += 2
                    continue
                }
                if UTF16.isLeadSurrogate(unit), let next = codeUnit(text, at + 6), UTF16.isTrailSurrogate(next) {
                    at += 12
                    continue
                }
                if UTF16.isSurrogate(unit) {
                    throw .loneSurrogate(offset: at, escape: "\\u" + String(unit, radix: 16))
                }
                at += 6
            default: at += 1
            }
        }
        return at
    }

    /// The code unit that an escape `\uXXXX` at `at` stands for; nil if there is none.
    private static func codeUnit(_ text: Span<UInt8>, _ at: Int) -> UInt16? {
        guard at + 6 <= text.count, text[at] == UInt8(ascii: "\\"), text[at + 1] == UInt8(ascii: "u") else {
            return nil
        }
        var unit: UInt16 = 0
        for index in at + 2..<at + 6 {
            guard let digit = Character(Unicode.Scalar(text[index])).hexDigitValue else { return nil }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }
}
