// JSON values whose strings are bytes.

/// A JSON value. Strings are UTF-8 bytes, because Swift's `String` takes canonically equivalent texts for equal and
/// vocabularies have entries that differ only in that.
package enum JSON: Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string([UInt8])
    case array([JSON])
    /// Members in the file's order; a key may occur twice.
    case object([(key: [UInt8], value: JSON)])

    /// The last member called `key`; nil when this is no object, has none, or has `null` there.
    package subscript(key: String) -> JSON? {
        guard case .object(let members) = self,
            let member = members.last(where: { $0.key.elementsEqual(key.utf8) })
        else { return nil }
        if case .null = member.value { return nil }
        return member.value
    }

    package var bytes: [UInt8]? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    package var boolean: Bool? {
        guard case .boolean(let value) = self else { return nil }
        return value
    }

    package var integer: Int? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    package var array: [JSON]? {
        guard case .array(let value) = self else { return nil }
        return value
    }

    package var object: [(key: [UInt8], value: JSON)]? {
        guard case .object(let value) = self else { return nil }
        return value
    }
}
