// The body of POST /v1/completions.

/// A prompt as text or as token ids, and how to answer it.
struct CompletionFields: Decodable, Sendable {
    var prompt: Prompt
    var answer: AnswerFields
    var maxTokens: Int?
    /// Log-probabilities to report per token besides the chosen one's; `nil`: report none.
    var logProbabilities: Int?

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "The request body")
        answer = try AnswerFields(fields, own: ["prompt"])
        maxTokens = try AnswerFields.maxTokens(fields, names: ["max_tokens"])
        logProbabilities = try fields.integer("logprobs")
        if let count = logProbabilities, !(0...20).contains(count) {
            throw APIError.invalid("logprobs", "'logprobs' is \(count); allowed is 0 to 20.")
        }
        guard let prompt: Prompt = try fields.value("prompt", expected: Prompt.expected) else {
            throw APIError.invalid("prompt", "'prompt' is missing: send a string or an array of token ids.")
        }
        self.prompt = prompt
    }

    /// One prompt. Token ids are not yet checked against a vocabulary.
    enum Prompt: Decodable, Equatable, Sendable {
        case text(String)
        case tokens([Int])

        static let expected = "a string, an array with one string, or an array of token ids"

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let text = try? value.decode(String.self) {
                self = .text(text)
            } else if let tokens = try? value.decode([Int].self) {
                self = .tokens(tokens)
            } else if let texts = try? value.decode([String].self) {
                self = .text(try Self.only(texts))
            } else if let lists = try? value.decode([[Int]].self) {
                self = .tokens(try Self.only(lists))
            } else {
                throw try Self.fault(decoder)
            }
        }

        private static func only<Element>(_ prompts: [Element]) throws -> Element {
            guard prompts.count == 1, let prompt = prompts.first else {
                throw APIError.invalid(
                    "prompt",
                    "'prompt' holds \(prompts.count) prompts; one is taken per request: send the others as requests of their own."
                )
            }
            return prompt
        }

        /// The first element that is no token id.
        private static func fault(_ decoder: any Decoder) throws -> APIError {
            guard var list = try? decoder.unkeyedContainer() else {
                return .wrongType("prompt", expected: expected, found: Fields.kind(of: decoder))
            }
            while !list.isAtEnd {
                if (try? list.decode(Int.self)) != nil { continue }
                let place = "prompt[\(list.currentIndex)]"
                return .wrongType(place, expected: "a token id", found: Fields.kind(of: try list.superDecoder()))
            }
            return .wrongType("prompt", expected: expected, found: "an array")
        }
    }
}
