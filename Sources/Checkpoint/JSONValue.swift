// JSON as it stands in a file, read field by field with errors that name the field.

/// A JSON value.
package indirect enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The kind of value, for messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer(let value): "the number \(value)"
        case .number(let value): "the number \(value)"
        case .string(let value): "the string \"\(value.prefix(80))\""
        case .array: "a list"
        case .object: "an object"
        }
    }
}

extension JSONValue {
    /// Takes a parsed value. A whole number that is written with a fraction or an exponent counts as an integer.
    package init(_ json: JSON) {
        switch json {
        case .null: self = .null
        case .boolean(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value):
            self = abs(value) < 0x1p53 ? Int(exactly: value).map { .integer($0) } ?? .number(value) : .number(value)
        case .largeInteger(let digits): self = .number(Double(String(decoding: digits, as: UTF8.self)) ?? .infinity)
        case .string(let bytes): self = .string(String(decoding: bytes, as: UTF8.self))
        case .array(let values): self = .array(values.map { JSONValue($0) })
        case .object(let members):
            var fields: [String: JSONValue] = [:]
            fields.reserveCapacity(members.count)
            for (key, value) in members { fields[String(decoding: key, as: UTF8.self)] = JSONValue(value) }
            self = .object(fields)
        }
    }
}

extension JSONValue: Encodable {
    package func encode(to encoder: any Encoder) throws {
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
}

/// The fields of one JSON object of a file. A field that is missing or null reads as nil.
package struct JSONObject: Sendable {
    /// The file, for errors.
    package let path: String
    /// Where in the file the object is, for errors; empty at the top.
    package let place: String
    /// The fields.
    package let fields: [String: JSONValue]

    package init(path: String, place: String = "", fields: [String: JSONValue]) {
        self.path = path
        self.place = place
        self.fields = fields
    }

    /// Reads a file that holds one object, of at most `limit` bytes.
    package init(file path: String, limit: Int = 64 << 20) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        guard file.count <= limit else {
            throw CheckpointError(
                path: path, place: "", problem: "\(file.count) bytes; at most \(limit) are expected of such a file")
        }
        let parsed = file.withBytes { Self.parse($0, path: path, place: "") }
        self = try parsed.get()
    }

    /// Reads one object from bytes. Of fields with the same name the last counts, as in most readers.
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, path: String, place: String
    ) -> Result<JSONObject, CheckpointError> {
        func fail(_ place: String, _ problem: String) -> Result<JSONObject, CheckpointError> {
            .failure(CheckpointError(path: path, place: place, problem: problem))
        }
        do throws(JSONParser.Fault) {
            guard case .object(let fields) = JSONValue(try JSONParser.parse(bytes)) else {
                return fail(place, "not valid JSON: its top level is not an object")
            }
            return .success(JSONObject(path: path, place: place, fields: fields))
        } catch {
            return fail(place, "not valid JSON: \(error.problem) at byte \(error.offset)")
        }
    }

    /// An integer, if the field is there.
    package func integer(_ key: String) throws(CheckpointError) -> Int? {
        switch fields[key] {
        case nil, .null: return nil
        case .integer(let value): return value
        case .some(let value): throw error(key, "expected an integer, found \(value.kind)")
        }
    }

    /// An integer that must be there and in `range`.
    package func integer(_ key: String, in range: ClosedRange<Int>) throws(CheckpointError) -> Int {
        guard let value = try integer(key) else { throw error(key, "missing") }
        guard range.contains(value) else {
            throw error(key, "\(value) is outside \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A finite number, if the field is there.
    package func number(_ key: String) throws(CheckpointError) -> Double? {
        switch fields[key] {
        case nil, .null: return nil
        case .integer(let value): return Double(value)
        case .number(let value): return value
        case .some(let value): throw error(key, "expected a number, found \(value.kind)")
        }
    }

    /// A string, if the field is there.
    package func string(_ key: String) throws(CheckpointError) -> String? {
        switch fields[key] {
        case nil, .null: return nil
        case .string(let value): return value
        case .some(let value): throw error(key, "expected a string, found \(value.kind)")
        }
    }

    /// A boolean, if the field is there.
    package func bool(_ key: String) throws(CheckpointError) -> Bool? {
        switch fields[key] {
        case nil, .null: return nil
        case .bool(let value): return value
        case .some(let value): throw error(key, "expected true or false, found \(value.kind)")
        }
    }

    /// An object inside this one, if the field is there.
    package func object(_ key: String) throws(CheckpointError) -> JSONObject? {
        switch fields[key] {
        case nil, .null: return nil
        case .object(let value):
            return JSONObject(path: path, place: place.isEmpty ? key : "\(place).\(key)", fields: value)
        case .some(let value): throw error(key, "expected an object, found \(value.kind)")
        }
    }

    /// A token id or a list of them; empty if the field is missing.
    package func tokens(_ key: String) throws(CheckpointError) -> [Int32] {
        let values: [JSONValue]
        switch fields[key] {
        case nil, .null: values = []
        case .array(let list): values = list
        case .some(let single): values = [single]
        }
        var tokens: [Int32] = []
        for value in values {
            guard case .integer(let id) = value, let token = Int32(exactly: id), token >= 0 else {
                throw error(key, "expected a token id or a list of them, found \(value.kind)")
            }
            tokens.append(token)
        }
        return tokens
    }

    /// An error about one of the fields.
    package func error(_ key: String, _ problem: String, fix: String? = nil) -> CheckpointError {
        CheckpointError(path: path, place: place.isEmpty ? key : "\(place).\(key)", problem: problem, fix: fix)
    }
}
