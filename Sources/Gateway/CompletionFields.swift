// The body of POST /v1/completions.

/// Prompts as text or as token ids, and how to answer them.
struct CompletionFields: Decodable, Sendable {
    /// At least one.
    var prompts: [Prompt]
    /// Whether a text gets the tokenizer's special tokens (BOS) around it.
    var addSpecialTokens: Bool
    /// The answer begins with the prompt.
    var echo: Bool
    var answer: AnswerFields
    var maxTokens: Int?
    /// Log-probabilities to report per token besides the chosen one's; `nil`: report none.
    var logProbabilities: Int?

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "The request body")
        answer = try AnswerFields(fields, own: ["prompt", "echo", "add_special_tokens"])
        echo = try fields.boolean("echo") ?? false
        addSpecialTokens = try fields.boolean("add_special_tokens") ?? true
        // An echo may be all that is wanted.
        maxTokens = try AnswerFields.maxTokens(fields, names: ["max_tokens"], atLeast: echo ? 0 : 1)
        logProbabilities = try fields.integer("logprobs")
        if let count = logProbabilities, !(0...20).contains(count) {
            throw APIError.invalid("logprobs", "'logprobs' is \(count); allowed is 0 to 20.")
        }
        guard let prompts: Prompts = try fields.value("prompt", expected: Prompts.expected) else {
            throw APIError.invalid("prompt", "'prompt' is missing: send a string or an array of token ids.")
        }
        self.prompts = prompts.all
    }

    /// One prompt. Token ids are not yet checked against a vocabulary.
    enum Prompt: Equatable, Sendable {
        case text(String)
        case tokens([Int])
    }

    /// One prompt, or several.
    private struct Prompts: Decodable {
        static let expected = "a string, an array of token ids, or an array of strings or of such arrays"

        var all: [Prompt]

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let text = try? value.decode(String.self) {
                all = [.text(text)]
            } else if let tokens = try? value.decode([Int].self) {
                all = [.tokens(tokens)]
            } else if let texts = try? value.decode([String].self) {
                all = texts.map(Prompt.text)
            } else if let lists = try? value.decode([[Int]].self) {
                all = lists.map(Prompt.tokens)
            } else {
                throw try Self.fault(decoder)
            }
        }

        /// The first element that does not go with the others.
        private static func fault(_ decoder: any Decoder) throws -> APIError {
            guard var list = try? decoder.unkeyedContainer() else {
                return .wrongType("prompt", expected: expected, found: Fields.kind(of: decoder))
            }
            let isOfTexts = (try? list.decode(String.self)) != nil
            let isOfLists = !isOfTexts && (try? list.nestedUnkeyedContainer()) != nil
            list = try decoder.unkeyedContainer()
            while !list.isAtEnd {
                let place = "prompt[\(list.currentIndex)]"
                let element = try list.superDecoder()
                if isOfTexts {
                    if (try? element.singleValueContainer().decode(String.self)) != nil { continue }
                    return .wrongType(place, expected: "a string like the first", found: Fields.kind(of: element))
                }
                if isOfLists {
                    guard var inner = try? element.unkeyedContainer() else {
                        return .wrongType(
                            place, expected: "an array of token ids like the first", found: Fields.kind(of: element))
                    }
                    if let fault = try tokenFault(&inner, place: place) { return fault }
                    continue
                }
                if (try? element.singleValueContainer().decode(Int.self)) != nil { continue }
                return .wrongType(place, expected: "a token id", found: Fields.kind(of: element))
            }
            return .wrongType("prompt", expected: expected, found: "an array")
        }

        private static func tokenFault(_ list: inout any UnkeyedDecodingContainer, place: String) throws -> APIError? {
            while !list.isAtEnd {
                if (try? list.decode(Int.self)) != nil { continue }
                let place = "\(place)[\(list.currentIndex)]"
                return .wrongType(place, expected: "a token id", found: Fields.kind(of: try list.superDecoder()))
            }
            return nil
        }
    }
}
