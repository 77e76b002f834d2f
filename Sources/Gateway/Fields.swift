// Typed reading of one JSON object of a request, with errors that name the field, what was expected and what was found.

import OutsideText

/// A field's name, whatever it is.
struct FieldName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// The fields of one JSON object. A `null` reads as an absent field, as OpenAI's API treats it.
struct Fields {
    private let container: KeyedDecodingContainer<FieldName>
    private let path: String

    /// Opens the object at the decoder's place. `called` names the value in the error when it is no object.
    init(_ decoder: any Decoder, called name: String) throws {
        path = Self.describe(decoder.codingPath)
        do {
            container = try decoder.container(keyedBy: FieldName.self)
        } catch {
            let place = path.isEmpty ? name : path
            throw APIError.wrongType(place, expected: "a JSON object", found: Self.kind(of: decoder))
        }
    }

    /// Every name in the object, `null` fields included, in the order of the alphabet.
    var names: [String] { container.allKeys.map(\.stringValue).sorted() }

    /// The field's name with its path: `messages[2].content`.
    func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    /// Whether the field is there and not `null`.
    func has(_ name: String) -> Bool {
        let key = FieldName(stringValue: name)
        return container.contains(key) && (try? container.decodeNil(forKey: key)) == false
    }

    func string(_ name: String) throws -> String? { try value(name, expected: "a string") }

    func boolean(_ name: String) throws -> Bool? { try value(name, expected: "true or false") }

    func number(_ name: String) throws -> Double? { try value(name, expected: "a number") }

    func integer(_ name: String) throws -> Int? { try value(name, expected: "an integer") }

    /// Decodes the field; `expected` says in words what it must be.
    func value<Value: Decodable>(_ name: String, as type: Value.Type = Value.self, expected: String) throws -> Value? {
        guard has(name) else { return nil }
        let key = FieldName(stringValue: name)
        do {
            return try container.decode(type, forKey: key)
        } catch let error as APIError {
            throw error
        } catch {
            throw APIError.wrongType(place(name), expected: expected, found: kind(name))
        }
    }

    /// Throws for the first field that is in none of the given sets.
    func refuseUnknown(_ known: Set<String>, hint: (String) -> String? = { _ in nil }) throws {
        guard let name = names.first(where: { !known.contains($0) }) else { return }
        let advice = hint(name) ?? "Known are: \(known.sorted().joined(separator: ", "))."
        let place = place(name.shown)
        throw APIError.invalid(place, "Unrecognized field '\(place)'. \(advice)", code: "unknown_field")
    }

    /// What the field holds, in words for an error message.
    func kind(_ name: String) -> String {
        (try? container.superDecoder(forKey: FieldName(stringValue: name))).map { Self.kind(of: $0) } ?? "nothing"
    }

    /// What a decoder's value is, in words for an error message.
    static func kind(of decoder: any Decoder) -> String {
        if (try? decoder.container(keyedBy: FieldName.self)) != nil { return "an object" }
        if (try? decoder.unkeyedContainer()) != nil { return "an array" }
        guard let single = try? decoder.singleValueContainer() else { return "nothing" }
        if single.decodeNil() { return "null" }
        if let value = try? single.decode(Bool.self) { return "\(value)" }
        if (try? single.decode(String.self)) != nil { return "a string" }
        if let value = try? single.decode(Double.self) { return "the number \(value)" }
        return "a number too large to hold"
    }

    /// `messages[2].content` from a decoder's path.
    static func describe(_ path: [any CodingKey]) -> String {
        path.reduce(into: "") { place, key in
            if let index = key.intValue {
                place += "[\(index)]"
            } else {
                place += (place.isEmpty ? "" : ".") + key.stringValue
            }
        }
    }
}
