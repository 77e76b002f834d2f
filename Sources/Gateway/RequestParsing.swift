// From the bytes of a request body to its fields; a body that is no JSON is refused with the place of its fault.

import Foundation
import OutsideText

/// Reads one request value from JSON.
enum RequestParsing {
    /// Decodes a whole body that keeps within `limits`. Throws `APIError` and nothing else.
    static func decode<Value: Decodable>(
        _ type: Value.Type, from body: Data, limits: JSONShape.Limits
    ) throws(APIError) -> Value {
        guard !body.isEmpty else {
            throw .invalid(nil, "The request body is empty: send a JSON object.", code: "invalid_json")
        }
        do {
            try JSONShape.check(body.span, limits)
        } catch {
            throw error.error
        }
        do {
            let decoder = JSONDecoder()
            decoder.userInfo[.requestBody] = body
            return try decoder.decode(type, from: body)
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
            return (text ?? "\(error)").shown(upTo: 200).trimmingCharacters(in: CharacterSet(charactersIn: ". "))
        }
    }
}
