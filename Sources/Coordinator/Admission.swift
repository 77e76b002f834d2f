import Speculation
import Synchronization
import Transformer

/// What is decided about a request before it is queued; callable from any thread.
package final class Admission: Sendable {
    package struct Limits: Sendable {
        package var contextLength: Int
        package var vocabularySize: Int
        package var maxRequests: Int
        package var maxQueuedTokens: Int

        package init(contextLength: Int, vocabularySize: Int, maxRequests: Int, maxQueuedTokens: Int) {
            self.contextLength = contextLength
            self.vocabularySize = vocabularySize
            self.maxRequests = maxRequests
            self.maxQueuedTokens = maxQueuedTokens
        }
    }
    private struct State {
        var notReadyReason: String?
        var isStopping = false
        var requests = 0
        var queuedTokens = 0
        var nextID: UInt64 = 1
        /// Seconds from submission to the first token, smoothed; what Retry-After is guessed from.
        var timeToFirstToken = 1.0
    }

    let limits: Limits
    private let state: Mutex<State>

    package init(limits: Limits, notReadyReason: String) {
        self.limits = limits
        state = Mutex(State(notReadyReason: notReadyReason))
    }

    package var readiness: Readiness {
        state.withLock { $0.notReadyReason.map { .notReady(reason: $0) } ?? .ready }
    }

    func setReadiness(_ notReadyReason: String?) {
        state.withLock { $0.notReadyReason = notReadyReason }
    }

    /// Takes nothing more.
    func stop() { state.withLock { $0.isStopping = true } }

    /// Takes a request in and numbers it, or refuses it.
    package func admit(_ request: GenerationRequest) throws(RequestError) -> UInt64 {
        try check(request)
        let limits = limits
        let verdict: Result<UInt64, RequestError> = state.withLock { state in
            // An outage is waited for: see RequestTable. Only a coordinator that ends takes nothing more.
            guard !state.isStopping else {
                return .failure(
                    RequestError(.unavailable, "the coordinator is stopping", retryAfter: .seconds(2)))
            }
            let retry = Duration.seconds(max(1, min(60, state.timeToFirstToken.rounded(.up))))
            guard state.requests < limits.maxRequests else {
                return .failure(
                    RequestError(
                        .overloaded, "\(state.requests) requests are being served, the limit is \(limits.maxRequests)",
                        retryAfter: retry))
            }
            // A lone prompt is always taken, however long.
            guard state.queuedTokens == 0 || state.queuedTokens + request.prompt.count <= limits.maxQueuedTokens else {
                return .failure(
                    RequestError(
                        .overloaded,
                        "\(state.queuedTokens) prompt tokens are queued, the limit is \(limits.maxQueuedTokens)",
                        retryAfter: retry))
            }
            state.requests += 1
            state.queuedTokens += request.prompt.count
            defer { state.nextID += 1 }
            return .success(state.nextID)
        }
        return try verdict.get()
    }

    /// The request has its first token, or will never have one: its prompt no longer queues.
    func promptDone(tokens: Int, after seconds: Double?) {
        state.withLock { state in
            state.queuedTokens -= tokens
            if let seconds { state.timeToFirstToken += 0.2 * (seconds - state.timeToFirstToken) }
        }
    }

    func requestDone() { state.withLock { $0.requests -= 1 } }

    private func check(_ request: GenerationRequest) throws(RequestError) {
        let count = request.prompt.count
        guard count > 0 else { throw RequestError(.invalidRequest, "the prompt is empty", field: "prompt") }
        guard request.maxTokens >= 0 else {
            throw RequestError(
                .invalidRequest, "max_tokens must be at least 0, found \(request.maxTokens)", field: "max_tokens")
        }
        if let top = request.promptLogProbabilities, !(0...20).contains(top) {
            throw RequestError(
                .invalidRequest, "prompt_logprobs must be 0 to 20, found \(top)", field: "prompt_logprobs")
        }
        guard count <= limits.contextLength, request.maxTokens <= limits.contextLength - count else {
            throw RequestError(
                .promptTooLong,
                "the prompt's \(count) tokens and max_tokens \(request.maxTokens) exceed the model's context of "
                    + "\(limits.contextLength) tokens; shorten the prompt or ask for fewer tokens",
                field: count >= limits.contextLength ? "prompt" : "max_tokens")
        }
        if let bad = request.prompt.first(where: { $0 < 0 || Int($0) >= limits.vocabularySize }) {
            throw RequestError(
                .invalidRequest, "token id \(bad) is outside the vocabulary 0..<\(limits.vocabularySize)",
                field: "prompt")
        }
        if let bad = request.protected.first(where: { $0.lowerBound < 0 || $0.upperBound > count }) {
            throw RequestError(
                .invalidRequest, "the protected span \(bad) lies outside the prompt's 0..<\(count)",
                field: "keep_spans")
        }
        do {
            try request.sampling.validate()
        } catch {
            throw RequestError(.invalidRequest, "\(error)", field: error.field)
        }
        do {
            try request.speculation.validate()
        } catch {
            var field = "speculative_prefill"
            if case .invalidParameter(let name, _, _) = error { field += ".\(name)" }
            throw RequestError(.invalidRequest, "\(error)", field: field)
        }
    }
}
