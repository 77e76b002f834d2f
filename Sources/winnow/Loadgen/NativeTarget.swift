// A coordinator in the load generator's own process: load without HTTP.

import Coordinator
import Gateway
import LoadGenerator
import Tokenizer
import Transformer

/// Asks a coordinator directly. What lies between this and an HTTP target is the gateway.
struct NativeTarget: LoadTarget {
    let service: any GenerationService

    func counters() async -> ServerCounters? {
        ServerCounters(text: InProcessRequest.metrics(of: service, version: WinnowVersion.text))
    }

    func send(
        _ request: PreparedRequest, timeout: Duration,
        onFirstToken: @escaping @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response {
        let generation: Generation
        let stop: [String]
        do {
            let call = try InProcessRequest.parse(path: request.endpoint, body: request.body, for: service)
            var parsed = call.request
            parsed.deadline = timeout
            stop = call.stop
            generation = try service.submit(parsed)
        } catch let refusal as InProcessRefusal {
            return Response(outcome: .failed(.httpError, detail: refusal.description), end: .now)
        } catch let error as RequestError {
            return Response(
                outcome: .failed(Self.kind(of: error), detail: error.message), end: .now, retryAfter: error.retryAfter)
        } catch {
            return Response(outcome: .failed(.serverError, detail: "\(error)"), end: .now)
        }
        return await follow(generation, stop: stop, onFirstToken: onFirstToken)
    }

    private func follow(
        _ generation: Generation, stop: [String], onFirstToken: @Sendable (ContinuousClock.Instant) -> Void
    ) async -> Response {
        var response = Response(outcome: .completed, end: .now)
        var detokenizer = StreamingDetokenizer(tokenizer: service.tokenizer)
        var stops = StopMatcher(stop)
        do {
            for try await event in generation {
                switch event {
                case .promptTokens, .endToken, .replayed: break
                case .prompt(let report):
                    response.promptTokens = report.promptTokens
                    response.report = PrefillReport(report)
                case .token(let token):
                    if response.firstToken == nil {
                        let now = ContinuousClock.now
                        response.firstToken = now
                        onFirstToken(now)
                    }
                    guard !stops.isStopped else { continue }
                    response.tokens += 1
                    response.text += stops.append(detokenizer.append(token.token))
                    // Its end follows, as that of a finished request.
                    if stops.isStopped { generation.conclude() }
                case .finished: break
                }
            }
            // An answer may be an end-of-sequence token alone.
            response.firstToken = response.firstToken ?? .now
        } catch {
            response.outcome =
                Task.isCancelled ? .interrupted : .failed(Self.kind(of: error), detail: error.message)
            response.retryAfter = error.retryAfter
        }
        if Task.isCancelled, response.outcome == .completed { response.outcome = .interrupted }
        response.end = .now
        response.text += stops.append(detokenizer.finish()) + stops.finish()
        return response
    }

    private static func kind(of error: RequestError) -> FailureKind {
        switch error.code {
        case .overloaded, .unavailable: .refused
        case .deadlineExceeded: .timeout
        case .invalidRequest, .promptTooLong: .httpError
        case .workerLost, .cancelled, .internalError: .serverError
        }
    }
}

extension PrefillReport {
    fileprivate init(_ report: SpeculationReport) {
        self.init()
        promptTokens = report.promptTokens
        keptTokens = report.keptTokens
        keepRate = report.keepRate
        speculationMilliseconds = report.speculation.map { $0 / .milliseconds(1) }
        fallback = report.fallback
    }
}

/// Counts tokens with the coordinator's tokenizer.
struct NativeTokenCounter: TokenCounter {
    let service: any GenerationService

    func count(_ text: String) async throws(LoadGeneratorError) -> Int { service.tokenizer.encode(text).count }
}
