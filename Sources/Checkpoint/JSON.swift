// JSON values whose strings are bytes and whose objects keep their order.

/// A JSON value. Strings are UTF-8 bytes, because Swift's `String` takes canonically equivalent texts for equal and
/// vocabularies have entries that differ only in that.
package enum JSON: Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case boolean(Bool)
    /// A number without point and exponent that fits.
    case integer(Int)
    /// One that does not fit: its digits, with their sign.
    case largeInteger([UInt8])
    /// Any other number.
    case number(Double)
    /// A string.
    case string([UInt8])
    /// An array.
    case array([JSON])
    /// Members in the file's order; a key may occur twice.
    case object([(key: [UInt8], value: JSON)])

    /// A string.
    package static func text(_ text: String) -> JSON { .string(Array(text.utf8)) }

    /// The last member called `key`; nil when this is no object, has none, or has `null` there.
    package subscript(key: String) -> JSON? {
        guard case .object(let members) = self,
            let member = members.last(where: { $0.key.elementsEqual(key.utf8) })
        else { return nil }
        if case .null = member.value { return nil }
        return member.value
    }

    /// A string's bytes.
    package var bytes: [UInt8]? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    /// A string.
    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    /// A flag.
    package var boolean: Bool? {
        guard case .boolean(let value) = self else { return nil }
        return value
    }

    /// An integer.
    package var integer: Int? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// An array's entries.
    package var array: [JSON]? {
        guard case .array(let value) = self else { return nil }
        return value
    }

    /// An object's members.
    package var object: [(key: [UInt8], value: JSON)]? {
        guard case .object(let value) = self else { return nil }
        return value
    }
}
