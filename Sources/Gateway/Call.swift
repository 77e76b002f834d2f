// From a request's fields to the request the coordinator takes.

import Coordinator
import Foundation
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

    /// One answer to one prompt.
    struct Choice: Sendable {
        var request: GenerationRequest
        /// What goes before the answer.
        var echo: EchoedPrompt?
    }

    var endpoint: Endpoint
    /// In the order of their index: the first prompt's answers, then the second's. Not empty.
    var choices: [Choice] = []
    let answersPerPrompt: Int
    /// Tokens of all prompts, however many answers each gets.
    var promptTokens = 0
    var stop: [String]
    var stream: Bool
    var streamOptions: StreamOptions
    var wantsLogProbabilities: Bool

    /// Reads a request's body.
    ///
    /// - Throws: what the client is told instead of an answer.
    init(
        _ endpoint: Endpoint, body: Data, for service: any GenerationService, limits: GatewayLimits
    ) throws(APIError) {
        let shape = JSONShape.Limits.forContext(of: service.contextLength)
        switch endpoint {
        case .completions:
            let fields = try RequestParsing.decode(CompletionFields.self, from: body, limits: shape)
            try self.init(fields, for: service, limits: limits)
        case .chat:
            let fields = try RequestParsing.decode(ChatFields.self, from: body, limits: shape)
            try self.init(fields, for: service, limits: limits)
        }
    }

    /// Tokenises a completion's prompts and checks them against the service.
    init(_ fields: CompletionFields, for service: any GenerationService, limits: GatewayLimits) throws(APIError) {
        try Self.checkModel(fields.answer.model, service)
        self.init(.completions, fields.answer, logProbabilities: fields.logProbabilities)
        try Self.checkCount(prompts: fields.prompts.count, fields.answer, limits)
        for (index, prompt) in fields.prompts.enumerated() {
            let place = fields.prompts.count == 1 ? "prompt" : "prompt[\(index)]"
            let tokens: [Int32]
            var added = 0..<0
            switch prompt {
            case .text(let text):
                guard !text.isEmpty else { throw .invalid(place, "'\(place)' is empty: there is nothing to complete.") }
                try PromptBounds.check(bytes: text.utf8.count, field: place, for: service)
                let ids = service.tokenizer.encode(text, addSpecialTokens: false)
                let around = fields.addSpecialTokens ? service.tokenizer.specialTokens(around: ids) : ([], [])
                tokens = around.0 + ids + around.1
                added = around.0.count..<around.0.count + ids.count
            case .tokens(let ids):
                tokens = try Self.checked(ids, place: place, vocabularySize: service.tokenizer.vocabularySize)
                added = 0..<tokens.count
            }
            let echo =
                fields.echo
                ? EchoedPrompt(
                    tokens, text: added, isScored: fields.logProbabilities != nil, tokenizer: service.tokenizer) : nil
            try add(
                tokens, place: place, echo: echo, fields: fields.answer, maxTokens: fields.maxTokens,
                defaultTokens: Self.defaultCompletionTokens, logProbabilities: fields.logProbabilities, service: service
            )
        }
    }

    /// Renders a conversation with the model's chat template and checks it against the service.
    init(_ fields: ChatFields, for service: any GenerationService, limits: GatewayLimits) throws(APIError) {
        try Self.checkModel(fields.answer.model, service)
        self.init(.chat, fields.answer, logProbabilities: fields.logProbabilities)
        try Self.checkCount(prompts: 1, fields.answer, limits)
        let rendered = try Self.rendered(fields.asked, service)
        let protected =
            rendered.toolSpans + fields.asked.conversation.protectedMessages.flatMap { rendered.messageSpans[$0] }
        try add(
            rendered.tokens, place: "messages", protected: protected, fields: fields.answer,
            maxTokens: fields.maxTokens,
            defaultTokens: limits.defaultChatTokens, logProbabilities: fields.logProbabilities, service: service)
    }

    private init(_ endpoint: Endpoint, _ fields: AnswerFields, logProbabilities: Int?) {
        self.endpoint = endpoint
        answersPerPrompt = fields.count
        stop = fields.stop
        stream = fields.stream
        streamOptions = fields.streamOptions
        wantsLogProbabilities = logProbabilities != nil
    }

    /// Adds the answers to one prompt; `place` is what the request calls it.
    private mutating func add(
        _ tokens: [Int32], place: String, protected: [Range<Int>] = [], echo: EchoedPrompt? = nil, fields: AnswerFields,
        maxTokens: Int?, defaultTokens: Int, logProbabilities: Int?, service: any GenerationService
    ) throws(APIError) {
        guard !tokens.isEmpty else {
            throw .invalid(place, "'\(place)' has no tokens: there is nothing to answer.")
        }
        let room = service.contextLength - tokens.count
        guard room >= maxTokens ?? 1 else {
            let asked = maxTokens.map { " and \($0) for the answer" } ?? ", which leaves no room for an answer"
            throw .invalid(
                place,
                "The model's context is \(service.contextLength) tokens; the request has \(tokens.count) in the prompt\(asked).",
                code: "context_length_exceeded")
        }
        let (speculation, spans) = try Self.speculation(fields.speculation, promptCount: tokens.count, service)
        promptTokens += tokens.count
        for index in 0..<fields.count {
            var sampling = fields.sampling(of: index)
            sampling.topLogProbabilities = logProbabilities
            let request = GenerationRequest(
                prompt: tokens, protected: protected + spans, maxTokens: maxTokens ?? min(defaultTokens, room),
                sampling: sampling, promptLogProbabilities: echo == nil ? nil : logProbabilities,
                ignoreEOS: fields.ignoreEOS, speculation: speculation)
            choices.append(Choice(request: request, echo: echo))
        }
    }

    /// Lets coordinator and trace know the choices by the request's id.
    mutating func name(by identity: RequestIdentity) {
        for index in choices.indices {
            choices[index].request.name = identity.name(ofChoice: index, of: choices.count)
        }
    }

    private static func checkCount(
        prompts: Int, _ fields: AnswerFields, _ limits: GatewayLimits
    ) throws(APIError) {
        guard prompts <= limits.choices else {
            throw .invalid(
                "prompt", "'prompt' holds \(prompts) prompts; at most \(limits.choices) are taken per request.")
        }
        guard fields.count <= limits.choices / max(1, prompts) else {
            throw .invalid(
                "n",
                "'n' is \(fields.count) for \(prompts == 1 ? "one prompt" : "each of \(prompts) prompts"); "
                    + "at most \(limits.choices) answers are given per request.")
        }
    }

    /// What an error of the coordinator means for the given choice.
    func error(_ error: RequestError, choice: Int) -> APIError {
        let prompts = choices.count
        let isOne = prompts == 1 || endpoint == .chat
        return APIError(error, promptField: isOne ? endpoint.promptField : "\(endpoint.promptField)[\(choice)]")
    }

    /// A conversation as the model is to read it.
    static func rendered(
        _ asked: ConversationFields, _ service: any GenerationService
    ) throws(APIError) -> RenderedChat {
        let conversation = asked.conversation
        let text: ChatText
        do {
            text = try service.tokenizer.text(of: conversation, longest: asked.renderedBytes)
        } catch {
            let field = ConversationFields.names.first { error.place.hasPrefix($0) } ?? "messages"
            throw .invalid(field, "The conversation cannot be rendered: \(error)", code: "chat_template")
        }
        try PromptBounds.check(bytes: text.byteCount, field: "messages", for: service)
        let rendered = service.tokenizer.encode(text)
        // Tools that the model is not told of are worse than an error: its answer would look right.
        if conversation.tools != nil, rendered.toolSpans.isEmpty {
            throw .invalid(
                "tools", "'tools' is not supported by this model: its chat template does not write them.",
                code: "unsupported_field")
        }
        return rendered
    }

    /// Throws unless `model` is the one served.
    static func checkModel(_ model: String, _ service: any GenerationService) throws(APIError) {
        guard model == service.modelName else { throw .unknownModel(model, served: service.modelName) }
    }

    private static func checked(_ ids: [Int], place: String, vocabularySize: Int) throws(APIError) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(ids.count)
        for (index, id) in ids.enumerated() {
            guard (0..<vocabularySize).contains(id), let token = Int32(exactly: id) else {
                let place = "\(place)[\(index)]"
                throw .invalid(place, "'\(place)' is \(id); token ids go from 0 to \(vocabularySize - 1).")
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
