// The values a GGUF file's metadata can hold.

/// One metadata value, widened to the largest type of its kind.
public enum GGUFValue: Sendable, Equatable {
    case unsigned(UInt64)
    case signed(Int64)
    case float(Double)
    case boolean(Bool)
    case string(String)
    case array(GGUFArray)
}

/// A metadata array, all of whose elements have one type.
public enum GGUFArray: Sendable, Equatable {
    case unsigned([UInt64])
    case signed([Int64])
    case float([Double])
    case boolean([Bool])
    case string([String])
    case array([GGUFArray])

    /// The number of elements.
    public var count: Int {
        switch self {
        case .unsigned(let values): values.count
        case .signed(let values): values.count
        case .float(let values): values.count
        case .boolean(let values): values.count
        case .string(let values): values.count
        case .array(let values): values.count
        }
    }
}

extension GGUFValue {
    /// The integer, if this is one that fits `Int`.
    public var integer: Int? {
        switch self {
        case .unsigned(let value): Int(exactly: value)
        case .signed(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The number, if this is one, with a fraction or without.
    public var number: Double? {
        switch self {
        case .unsigned(let value): Double(value)
        case .signed(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    /// The truth value, if this is one.
    public var boolean: Bool? {
        guard case .boolean(let value) = self else { return nil }
        return value
    }

    /// The text, if this is one.
    public var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    /// The texts, if this is an array of them.
    public var strings: [String]? {
        guard case .array(.string(let values)) = self else { return nil }
        return values
    }

    /// The integers, if this is an array of them and all fit `Int`.
    public var integers: [Int]? {
        switch self {
        case .array(.unsigned(let values)):
            let integers = values.compactMap { Int(exactly: $0) }
            return integers.count == values.count ? integers : nil
        case .array(.signed(let values)):
            return values.map { Int($0) }
        default:
            return nil
        }
    }

    /// The numbers, if this is an array of floating-point ones.
    public var floats: [Double]? {
        guard case .array(.float(let values)) = self else { return nil }
        return values
    }
}
