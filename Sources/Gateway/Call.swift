// From a request's fields to the request the coordinator takes.

import Coordinator
import HTTPTypes
import OutsideText
import Speculation
import Tokenizer
import Transformer

/// The two ways to ask for an answer.
enum Endpoint: Sendable, Equatable {
    case completions
    case chat

    /// The name of the field that holds the prompt.
    var promptField: String { self == .chat ? "messages" : "prompt" }
}

/// A request that passed every check, and how its answer is to be written.
struct Call: Sendable {
    /// OpenAI's default length of a completion, in tokens.
    static let defaultCompletionTokens = 16

    var endpoint: Endpoint
    var request: GenerationRequest
    var stop: [String]
    var stream: Bool
    var includeUsage: Bool

    var wantsLogProbabilities: Bool { request.sampling.topLogProbabilities != nil }

    /// Tokenises a completion's prompt and checks it against the service.
    init(_ fields: CompletionFields, for service: any GenerationService) throws(APIError) {
        try Self.checkModel(fields.answer.model, service)
        let tokens: [Int32]
        switch fields.prompt {
        case .text(let text):
            guard !text.isEmpty else { throw .invalid("prompt", "'prompt' is empty: there is nothing to complete.") }
            try PromptBounds.check(bytes: text.utf8.count, field: "prompt", for: service)
            tokens = service.tokenizer.encode(text)
        case .tokens(let ids):
            tokens = try Self.checked(ids, vocabularySize: service.tokenizer.vocabularySize)
        }
        try self.init(
            .completions, tokens: tokens, protected: [], fields: fields.answer, maxTokens: fields.maxTokens,
            defaultTokens: Self.defaultCompletionTokens, logProbabilities: fields.logProbabilities, service: service)
    }

    /// Renders a conversation with the model's chat template and checks it against the service.
    init(_ fields: ChatFields, for service: any GenerationService, defaultTokens: Int) throws(APIError) {
        try Self.checkModel(fields.answer.model, service)
        let rendered = try Self.rendered(fields.messages, service)
        let protected = zip(fields.messages, rendered.messageSpans).filter(\.0.isProtected).map(\.1)
        try self.init(
            .chat, tokens: rendered.tokens, protected: protected, fields: fields.answer, maxTokens: fields.maxTokens,
            defaultTokens: defaultTokens, logProbabilities: fields.logProbabilities, service: service)
    }

    private init(
        _ endpoint: Endpoint, tokens: [Int32], protected: [Range<Int>], fields: AnswerFields, maxTokens: Int?,
        defaultTokens: Int, logProbabilities: Int?, service: any GenerationService
    ) throws(APIError) {
        guard !tokens.isEmpty else {
            throw .invalid(endpoint.promptField, "'\(endpoint.promptField)' has no tokens: there is nothing to answer.")
        }
        let room = service.contextLength - tokens.count
        guard room >= maxTokens ?? 1 else {
            let asked = maxTokens.map { " and \($0) for the answer" } ?? ", which leaves no room for an answer"
            throw .invalid(
                endpoint.promptField,
                "The model's context is \(service.contextLength) tokens; the request has \(tokens.count) in the prompt\(asked).",
                code: "context_length_exceeded")
        }
        var sampling = fields.sampling
        sampling.topLogProbabilities = logProbabilities
        let (speculation, spans) = try Self.speculation(fields.speculation, promptCount: tokens.count, service)
        self.endpoint = endpoint
        request = GenerationRequest(
            prompt: tokens, protected: protected + spans, maxTokens: maxTokens ?? min(defaultTokens, room),
            sampling: sampling, ignoreEOS: fields.ignoreEOS, speculation: speculation)
        stop = fields.stop
        stream = fields.stream
        includeUsage = fields.includeUsage
    }

    /// A conversation as the model is to read it.
    static func rendered(
        _ messages: [ChatFields.Message], _ service: any GenerationService
    ) throws(APIError) -> RenderedChat {
        try PromptBounds.check(
            bytes: messages.map(\.content.utf8.count).reduce(0, +), field: "messages", for: service)
        do {
            return try service.tokenizer.encode(
                chat: messages.map { ChatMessage(role: $0.role, content: $0.content) })
        } catch {
            throw .invalid("messages", "The conversation cannot be rendered: \(error)", code: "chat_template")
        }
    }

    /// Throws unless `model` is the one served.
    static func checkModel(_ model: String, _ service: any GenerationService) throws(APIError) {
        guard model == service.modelName else { throw .unknownModel(model, served: service.modelName) }
    }

    private static func checked(_ ids: [Int], vocabularySize: Int) throws(APIError) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(ids.count)
        for (index, id) in ids.enumerated() {
            guard (0..<vocabularySize).contains(id), let token = Int32(exactly: id) else {
                throw .invalid(
                    "prompt[\(index)]", "'prompt[\(index)]' is \(id); token ids go from 0 to \(vocabularySize - 1).")
            }
            tokens.append(token)
        }
        return tokens
    }

    private static func speculation(
        _ field: SpeculationField?, promptCount: Int, _ service: any GenerationService
    ) throws(APIError) -> (parameters: SpeculationParameters, spans: [Range<Int>]) {
        guard let field else { return (service.defaultSpeculation, []) }
        let parameters = field.applied(to: service.defaultSpeculation)
        do {
            try parameters.validate()
        } catch {
            guard case .invalidParameter(let field, let value, let allowed) = error else {
                throw .invalid(SpeculationField.name, "\(error)")
            }
            let place = "\(SpeculationField.name).\(field)"
            throw .invalid(place, "'\(place)' is \(value); allowed is \(allowed).")
        }
        for (index, span) in field.keepSpans.enumerated() where span.upperBound > promptCount {
            let place = "\(SpeculationField.name).keep_spans[\(index)]"
            throw .invalid(place, "'\(place)' ends at \(span.upperBound); the prompt has \(promptCount) tokens.")
        }
        return (parameters, field.keepSpans)
    }
}

extension APIError {
    /// A model that is not served here.
    static func unknownModel(_ model: String, served: String) -> APIError {
        APIError(
            status: .notFound, type: "invalid_request_error", code: "model_not_found", parameter: "model",
            message: "The model '\(model.shown)' does not exist here; '\(served)' is served.")
    }
}
