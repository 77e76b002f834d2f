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
    /// By which id client and log know the request.
    var identity = RequestIdentity([:], for: nil)
    /// Whose key it brought, where there are keys.
    var caller: Caller?
    /// What its address serves.
    var surface = AccessPolicy.Surface.everything

    init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Answers every request; an error leaves here only when the connection itself is broken.
struct GatewayResponder: HTTPResponder {
    let service: any GenerationService
    /// The release, for the metrics.
    let version: String
    let limits: GatewayLimits
    let budget: BodyBudget
    let work: PromptWork
    let open: OpenGenerations
    let status: StatusFeed
    let access: Access
    let logger: Logger
    /// Seconds since 1970 at which this gateway came up: the model's time of creation as far as clients care.
    let created = Int(Date().timeIntervalSince1970)

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        var context = context
        do throws(Access.Refusal) {
            let entry = try access.entry(
                method: request.method, path: request.uri.path, authorization: request.headers[.authorization],
                at: context.surface)
            if let entry, Route.find(request.uri.path)?.route.isAPI == true {
                context.caller = try access.begin(entry)
            }
        } catch {
            if let reason = error.reason {
                access.refusals.note(reason, from: Connections.address(context.channel.remoteAddress))
            }
            return try refusal(error.error, request, context)
        }
        return try await answer(request, context)
    }

    private func answer(_ request: Request, _ context: GatewayContext) async throws -> Response {
        switch Route.match(method: request.method, path: request.uri.path) {
        case .route(.answer) where open.isDraining:
            return try refusal(
                .server(
                    .serviceUnavailable, code: "unavailable", "This coordinator is ending: ask again, or another one.",
                    retryAfter: .seconds(5)), request, context)
        case .route(.answer(let endpoint)):
            return try await read(request, context, endpoint.promptField) { body, log in
                try await answer(endpoint, body, context, &log)
            }
        case .route(.tokenize):
            return try await read(request, context, "prompt") { body, log in
                try await tokenize(body, context.channel, &log)
            }
        case .route(.models):
            return try .json(ModelList(data: [model]), headOnly: request.method == .head)
        case .route(.model(let id)) where id == model.id:
            return try .json(model, headOnly: request.method == .head)
        case .route(.model(let id)):
            return try refusal(.unknownModel(id, served: model.id), request, context)
        case .route(.live):
            return try .json(HealthBody(status: "live"), headOnly: request.method == .head)
        case .route(.ready):
            guard let reason = notReadyReason else {
                return try .json(HealthBody(status: "ready"), headOnly: request.method == .head)
            }
            // Names of workers are for those who may see the status.
            let isTold =
                context.surface == .operators
                || context.surface == .everything && access.isOperator(authorization: request.headers[.authorization])
            return try .json(
                HealthBody(status: "not ready", reason: isTold ? reason : nil), status: .serviceUnavailable,
                headers: [.retryAfter: "1"], headOnly: request.method == .head)
        case .route(.metrics):
            let text = service.metrics().prometheusText(version: version) + access.prometheusText
            return .metrics(text, headOnly: request.method == .head)
        case .route(.page(let file)): return file.response(headOnly: request.method == .head)
        case .route(.status(isStream: false)): return try status.response(headOnly: request.method == .head)
        case .route(.status(isStream: true)):
            do {
                return try status.stream(headOnly: request.method == .head, silence: limits.silenceTime)
            } catch let error as APIError {
                return try refusal(error, request, context)
            }
        case .wrongMethod(let allowed):
            let error = APIError(
                status: .methodNotAllowed, type: "invalid_request_error", code: "method_not_allowed", parameter: nil,
                message:
                    "\(request.method.rawValue.shown) is not possible on \(request.uri.path.shown): use \(allowed).")
            var response = try refusal(error, request, context)
            response.headers[.allow] = allowed
            return response
        case .unknown:
            let error = APIError(
                status: .notFound, type: "invalid_request_error", code: "unknown_url", parameter: nil,
                message:
                    "Unknown URL \(request.method.rawValue.shown) \(request.uri.path.shown). Known are: \(Route.known)."
            )
            return try refusal(error, request, context)
        }
    }

    private var notReadyReason: String? {
        if open.isDraining { return "the coordinator is ending" }
        if case .notReady(let reason) = service.readiness() { return reason }
        return nil
    }

    private var model: ModelList.Model {
        ModelList.Model(id: service.modelName, created: created, contextLength: service.contextLength)
    }

    /// Refuses a request whose body, if it has one, is left unread.
    func refusal(_ error: APIError, _ request: Request, _ context: GatewayContext) throws -> Response {
        RequestLog(route: request.uri.path, identity: context.identity, caller: context.caller, logger: logger)
            .end(error.status, error: error)
        let hasBody = request.headers[.contentLength].map { $0 != "0" } ?? request.headers.contains(.transferEncoding)
        return hasBody ? try .lastRefusal(error) : try .refusal(error)
    }

    /// Takes in a request's body and lets `answer` make a response of it; an `APIError` of either becomes a refusal.
    /// `field` holds the prompt.
    private func read(
        _ request: Request, _ context: GatewayContext, _ field: String,
        _ answer: (consuming RequestBytes, inout RequestLog) async throws -> Response
    ) async throws -> Response {
        var log = RequestLog(
            route: request.uri.path, identity: context.identity, caller: context.caller, logger: logger)
        let body: RequestBytes
        do {
            let reader = reader
            try reader.check(request.headers, field, contextLength: service.contextLength)
            body = try await reader.read(request, from: Connections.address(context.channel.remoteAddress))
        } catch let error as APIError {
            if error.status == .requestTimeout {
                access.refusals.note(.slowBody, from: Connections.address(context.channel.remoteAddress))
            }
            log.end(error.status, error: error)
            return try .lastRefusal(error)
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

    /// Whether the head of a request already says that its body will be refused.
    func refusesBody(of request: Request) -> Bool {
        guard case .route(let route) = Route.match(method: request.method, path: request.uri.path) else { return true }
        switch route {
        case .answer, .tokenize: break
        default: return true
        }
        do {
            try reader.check(request.headers, "", contextLength: service.contextLength)
            return false
        } catch {
            return true
        }
    }

    private var reader: RequestBodyReader {
        RequestBodyReader(limits: limits, usefulBytes: PromptBounds.bodyBytes(service), budget: budget)
    }

    private func answer(
        _ endpoint: Endpoint, _ body: consuming RequestBytes, _ context: GatewayContext, _ log: inout RequestLog
    ) async throws -> Response {
        var call = try await call(endpoint, body, context.channel)
        call.name(by: context.identity)
        log.note(.promptTokens, call.promptTokens)
        return try await answer(call, context, log)
    }

    /// Reads a body off the threads that serve connections; its bytes are given back when it is read.
    private func call(
        _ endpoint: Endpoint, _ body: consuming RequestBytes, _ channel: any Channel
    ) async throws(APIError) -> Call {
        let body = body
        return try await work.run(bytes: body.data.count, for: channel) { () throws(APIError) in
            try Call(endpoint, body: body.data, for: service, limits: limits)
        }
    }

    private func tokenize(
        _ body: consuming RequestBytes, _ channel: any Channel, _ log: inout RequestLog
    ) async throws -> Response {
        let body = body
        let (count, text) = try await work.run(bytes: body.data.count, for: channel) {
            () throws(APIError) -> (Int, ByteBuffer) in
            let fields = try RequestParsing.decode(TokenizeFields.self, from: body.data, limits: shape)
            let tokens = try fields.tokens(for: service)
            let answer = TokenizeBody(count: tokens.count, contextLength: service.contextLength, tokens: tokens)
            do {
                return (tokens.count, try encoded(answer))
            } catch {
                throw .server(.internalServerError, code: "internal_error", "The answer cannot be written: \(error)")
            }
        }
        log.note(.promptTokens, count)
        log.end(.ok)
        body.share.grow(anywayTo: text.readableBytes)
        var response = Response(json: text)
        // As long as the answer waits to be read, it takes the place of the request's body.
        response.body = ResponseBody(contentLength: text.readableBytes) { [share = body.share] writer in
            try await writer.write(text)
            try await writer.finish(nil)
            _ = share
        }
        return response
    }

    private var shape: JSONShape.Limits { .forContext(of: service.contextLength) }

    private func answer(_ call: Call, _ context: GatewayContext, _ log: RequestLog) async throws -> Response {
        let answer = OpenAnswer(call, to: service, on: context.channel, among: open)
        try answer.begin()
        try await answer.watch()
        let writer = AnswerWriter(call: call, id: context.identity.own, for: service, version: version)
        var session = AnswerSession(
            writer: writer, answer: answer, silenceTime: limits.silenceTime, work: work, log: log)
        guard !call.stream else { return .events(session) }
        do {
            return Response(json: try await session.whole())
        } catch let error as APIError {
            session.fail(error)
            return try .refusal(error)
        }
    }
}

extension Response {
    /// A stream of server-sent events.
    fileprivate static func events(_ session: AnswerSession) -> Response {
        let body = ResponseBody { body in
            var session = session
            try await session.stream(to: &body)
            try await body.finish(nil)
        }
        return Response(status: .ok, headers: .events, body: body)
    }
}
