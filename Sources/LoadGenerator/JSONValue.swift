// JSON of any shape: request bodies are put together from parts nobody here knows.

import Foundation

/// A JSON value.
public indirect enum JSONValue: Sendable, Equatable, Codable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A whole number that fits 64 bits.
    case integer(Int64)
    /// Any other number.
    case number(Double)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object.
    case object([String: JSONValue])

    /// Reads any JSON value.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// Writes the value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    /// Reads a JSON object from text.
    ///
    /// - Parameter place: what to call the text in the error, for example `--extra-body`.
    /// - Throws: a usage error when the text is not JSON, or not an object.
    public static func object(parsing text: String, place: String) throws(LoadGeneratorError) -> [String: JSONValue] {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) else {
            throw LoadGeneratorError(.usage, place, "not valid JSON: \(text.prefix(80))")
        }
        guard case .object(let fields) = value else {
            throw LoadGeneratorError(.usage, place, "must be a JSON object such as {\"top_p\": 0.9}")
        }
        return fields
    }

    /// This object with another laid over it: objects merge field by field, anything else is replaced.
    static func merged(_ below: [String: JSONValue], _ above: [String: JSONValue]) -> [String: JSONValue] {
        below.merging(above) { old, new in
            guard case .object(let oldFields) = old, case .object(let newFields) = new else { return new }
            return .object(merged(oldFields, newFields))
        }
    }
}
