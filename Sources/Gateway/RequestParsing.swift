// From the bytes of a request body to its fields; a body that is no JSON is refused with the place of its fault.

import Foundation

/// Reads one request value from JSON.
enum RequestParsing {
    /// Decodes a whole body. Throws `APIError` and nothing else.
    static func decode<Value: Decodable>(_ type: Value.Type, from body: Data) throws(APIError) -> Value {
        guard !body.isEmpty else {
            throw .invalid(nil, "The request body is empty: send a JSON object.", code: "invalid_json")
        }
        guard String(validating: body, as: UTF8.self) != nil else {
            throw .invalid(nil, "The request body is not UTF-8: \(invalidByte(in: body)).", code: "invalid_json")
        }
        do {
            return try JSONDecoder().decode(type, from: body)
        } catch let error as APIError {
            throw error
        } catch {
            throw .invalid(nil, "The request body is not valid JSON: \(fault(in: body)).", code: "invalid_json")
        }
    }

    /// Where and why the text is no JSON. Only `JSONSerialization` tells the place, so it parses the text once more.
    private static func fault(in body: Data) -> String {
        do {
            _ = try JSONSerialization.jsonObject(with: body, options: [.fragmentsAllowed])
            return "it holds a value that cannot be represented"
        } catch {
            let text = (error as NSError).userInfo[NSDebugDescriptionErrorKey] as? String
            return (text ?? "\(error)").trimmingCharacters(in: CharacterSet(charactersIn: ". "))
        }
    }

    private static func invalidByte(in body: Data) -> String {
        var decoder = UTF8()
        var bytes = body.makeIterator()
        var offset = 0
        while case .scalarValue(let scalar) = decoder.decode(&bytes) {
            offset += UTF8.width(scalar)
        }
        return "invalid byte sequence at offset \(offset)"
    }
}
