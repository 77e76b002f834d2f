// From a request's head to the endpoint that answers it.

import Coordinator
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import OutsideText

/// What a request brings besides itself: its connection.
struct GatewayContext: InitializableFromSource, Sendable {
    let channel: any Channel

    init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Answers every request; an error leaves here only when the connection itself is broken.
struct GatewayResponder: HTTPResponder {
    let service: any GenerationService
    /// The release, for the metrics.
    let version: String
    let limits: GatewayLimits
    let open: OpenGenerations
    let logger: Logger
    /// Seconds since 1970 at which this gateway came up: the model's time of creation as far as clients care.
    let created = Int(Date().timeIntervalSince1970)

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        switch Route.match(method: request.method, path: request.uri.path) {
        case .route(.answer(let endpoint)):
            return try await read(request, context) { body, log in
                try await answer(endpoint, body, context.channel, &log)
            }
        case .route(.tokenize):
            return try await read(request, context) { body, log in try tokenize(body, &log) }
        case .route(.models):
            return try .json(ModelList(data: [model]), headOnly: request.method == .head)
        case .route(.model(let id)) where id == model.id:
            return try .json(model, headOnly: request.method == .head)
        case .route(.model(let id)):
            return try refusal(.unknownModel(id, served: model.id), request, context)
        case .route(.live):
            return try .json(HealthBody(status: "live"), headOnly: request.method == .head)
        case .route(.ready):
            guard case .notReady(let reason) = service.readiness() else {
                return try .json(HealthBody(status: "ready"), headOnly: request.method == .head)
            }
            return try .json(
                HealthBody(status: "not ready", reason: reason), status: .serviceUnavailable,
                headers: [.retryAfter: "1"], headOnly: request.method == .head)
        case .route(.metrics):
            return .metrics(service.metrics().prometheusText(version: version), headOnly: request.method == .head)
        case .wrongMethod(let allowed):
            let error = APIError(
                status: .methodNotAllowed, type: "invalid_request_error", code: "method_not_allowed", parameter: nil,
                message: "\(request.method.rawValue) is not possible on \(request.uri.path.shown): use \(allowed).")
            var response = try refusal(error, request, context)
            response.headers[.allow] = allowed
            return response
        case .unknown:
            let error = APIError(
                status: .notFound, type: "invalid_request_error", code: "unknown_url", parameter: nil,
                message: "Unknown URL \(request.method.rawValue) \(request.uri.path.shown).")
            return try refusal(error, request, context)
        }
    }

    private var model: ModelList.Model {
        ModelList.Model(id: service.modelName, created: created, contextLength: service.contextLength)
    }

    /// Refuses a request whose body, if it has one, is left unread.
    private func refusal(_ error: APIError, _ request: Request, _ context: GatewayContext) throws -> Response {
        RequestLog(route: request.uri.path, logger: logger).end(error.status, error: error)
        let hasBody = request.headers[.contentLength].map { $0 != "0" } ?? request.headers.contains(.transferEncoding)
        return hasBody ? try .lastRefusal(error, on: context.channel) : try .refusal(error)
    }

    /// Takes in a request's body and lets `answer` make a response of it; an `APIError` of either becomes a refusal.
    private func read(
        _ request: Request, _ context: GatewayContext,
        _ answer: (Data, inout RequestLog) async throws -> Response
    ) async throws -> Response {
        var log = RequestLog(route: request.uri.path, logger: logger)
        let body: Data
        do {
            body = try await RequestBodyReader(limits: limits).read(request)
        } catch let error as APIError {
            log.end(error.status, error: error)
            return try .lastRefusal(error, on: context.channel)
        } catch {
            log.end(RequestLog.clientClosed)
            throw error
        }
        do {
            return try await answer(body, &log)
        } catch let error as APIError {
            log.end(error.status, error: error)
            return try .refusal(error)
        }
    }

    private func answer(
        _ endpoint: Endpoint, _ body: Data, _ channel: any Channel, _ log: inout RequestLog
    ) async throws -> Response {
        let call = try call(endpoint, body)
        log.note(.promptTokens, call.request.prompt.count)
        let generation = try submit(call)
        return try await answer(call, generation, channel, log)
    }

    private func tokenize(_ body: Data, _ log: inout RequestLog) throws -> Response {
        let tokens = try RequestParsing.decode(TokenizeFields.self, from: body).tokens(for: service)
        log.note(.promptTokens, tokens.count)
        let response = try Response.json(
            TokenizeBody(count: tokens.count, contextLength: service.contextLength, tokens: tokens))
        log.end(.ok)
        return response
    }

    private func call(_ endpoint: Endpoint, _ body: Data) throws(APIError) -> Call {
        switch endpoint {
        case .completions:
            try Call(RequestParsing.decode(CompletionFields.self, from: body), for: service)
        case .chat:
            try Call(
                RequestParsing.decode(ChatFields.self, from: body), for: service,
                defaultTokens: limits.defaultChatTokens)
        }
    }

    private func submit(_ call: Call) throws(APIError) -> Generation {
        do {
            return try service.submit(call.request)
        } catch {
            throw APIError(error, promptField: call.endpoint.promptField)
        }
    }

    private func answer(
        _ call: Call, _ generation: Generation, _ channel: any Channel, _ log: RequestLog
    ) async throws -> Response {
        let tenure = Tenure(generation, on: channel, among: open)
        try await tenure.watch()
        let writer = AnswerWriter(call: call, model: service.modelName, tokenizer: service.tokenizer)
        var session = AnswerSession(writer: writer, tenure: tenure, log: log)
        let headers: HTTPFields = [.requestID: writer.id]
        do {
            guard call.stream else { return Response(json: try await session.whole(), headers: headers) }
            let first = try await session.first()
            return .events(session, first, headers: headers)
        } catch let error as APIError {
            session.fail(error)
            return try .refusal(error, headers: headers)
        }
    }
}

extension Response {
    /// A stream of server-sent events.
    fileprivate static func events(
        _ session: consuming sending AnswerSession, _ first: Answer.Step, headers: HTTPFields
    ) -> Response {
        var headers = headers
        headers[.contentType] = "text/event-stream"
        headers[.cacheControl] = "no-cache"
        // Proxies must pass each event on as it comes.
        headers[.accelBuffering] = "no"
        let handOver = HandOver(session)
        let body = ResponseBody { body in
            guard var session = handOver.take() else { return }
            try await session.stream(from: first, to: &body)
            try await body.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }
}

extension HTTPField.Name {
    // Constants spelled as the standard demands, so neither can be nil.
    fileprivate static let requestID = HTTPField.Name("x-request-id")!
    fileprivate static let accelBuffering = HTTPField.Name("x-accel-buffering")!
}
