package import Speculation
import Transformer
import Wire

/// Every request from its admission to its single end, and what a replay needs of it. A pure value: events and their
/// times in, directives out.
///
///     waiting to be scored -> scoring -> waiting for a pipeline -> in a pipeline -> ended
///
/// A pipeline that falls sends its requests back to waiting: the kept tokens and those given out go down another one, and
/// the next token is sampled at the step where the stream stopped. Sampling depends on (seed, step) alone, so the
/// continuation is the one that was lost.
package struct RequestTable: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package struct Limits: Sendable {
        /// The longest a request may take.
        package var timeout: Duration
        /// The longest it waits for a pipeline when there is none.
        package var replayWait: Duration
        /// The most pipelines that may fall under it.
        package var maxReplays: Int
        /// How long a prompt waits for a speculator when there is none.
        package var speculatorWait = Duration.seconds(2)

        package init(timeout: Duration, replayWait: Duration, maxReplays: Int) {
            self.timeout = timeout
            self.replayWait = replayWait
            self.maxReplays = maxReplays
        }
    }

    package enum Ending: Sendable {
        case finished(FinishReason)
        case failed(RequestError)
    }

    package enum Directive: Sendable {
        /// Its first wait is over: nobody scores it any more.
        case stopScoring(UInt64)
        /// Takes it out of the pipeline that it is in.
        case withdraw(UInt64, from: Int)
        case emit(UInt64, GenerationEvent)
        /// The one end; `given` tokens were told before.
        case end(UInt64, Ending, promptTokens: Int, given: Int)
        /// Seconds from submission to the first token.
        case firstToken(UInt64, promptTokens: Int, after: Double)
        case pruned(promptTokens: Int, keptTokens: Int)
        case replayed(UInt64)
    }

    package enum Phase: Equatable, Sendable {
        /// For a speculator; the attempts that failed.
        case waitingToBeScored(attempts: Int)
        case scoring(attempts: Int)
        /// For a pipeline, since then.
        case waiting
        case running(pipeline: Int)
    }

    package struct Entry: Sendable {
        package let request: GenerationRequest
        package let start: Instant
        package let deadline: Instant
        package fileprivate(set) var phase: Phase
        /// Since when it is in that phase.
        package fileprivate(set) var since: Instant
        package fileprivate(set) var selection: Selection?
        /// Tokens given out.
        package fileprivate(set) var given: [Int32] = []
        /// Prompt tokens that were told with their log-probabilities, and those that came of the present pipeline.
        fileprivate var promptTokensGiven = 0
        fileprivate var promptSeen = 0
        package fileprivate(set) var falls = 0
        fileprivate var lastFall: String?
        /// How the pipeline computes on which it began.
        package fileprivate(set) var arithmetic: String?
    }

    private let limits: Limits
    private let ends: Set<Int32>
    private var entries: [UInt64: Entry] = [:]
    private var order: [UInt64] = []

    /// - Parameter ends: tokens that end an answer.
    package init(limits: Limits, ends: Set<Int32>) {
        self.limits = limits
        self.ends = ends
    }

    package subscript(_ id: UInt64) -> Entry? { entries[id] }
    package var ids: [UInt64] { order }
    package var isEmpty: Bool { entries.isEmpty }

    /// Requests that wait for a speculator, in order of arrival.
    package var unscored: [UInt64] {
        order.filter { if case .waitingToBeScored = entries[$0]?.phase { true } else { false } }
    }

    /// Requests that wait for a pipeline, in order of arrival.
    package var unrouted: [UInt64] { order.filter { entries[$0]?.phase == .waiting } }

    /// How many wait for a speculator or a pipeline.
    package var waitingCount: Int {
        entries.values.count {
            switch $0.phase {
            case .waitingToBeScored, .waiting: true
            case .scoring, .running: false
            }
        }
    }

    // MARK: Coming

    package mutating func add(
        _ id: UInt64, _ request: GenerationRequest, choice: PrefillChoice, now: Instant
    ) -> [Directive] {
        let limit = min(request.deadline ?? limits.timeout, limits.timeout)
        entries[id] = Entry(
            request: request, start: now, deadline: now + limit, phase: .waitingToBeScored(attempts: 0), since: now)
        order.append(id)
        switch choice {
        case .speculate: return []
        case .dense(let fallback):
            return select(id, .all(promptCount: request.prompt.count), time: nil, fallback: fallback, now: now)
        }
    }

    /// A speculator has begun with it.
    package mutating func scoring(_ id: UInt64, now: Instant) {
        guard case .waitingToBeScored(let attempts) = entries[id]?.phase else { return }
        entries[id]?.phase = .scoring(attempts: attempts)
        entries[id]?.since = now
    }

    /// Its importance is known.
    package mutating func scored(_ id: UInt64, _ selection: Selection, time: Duration, now: Instant) -> [Directive] {
        guard case .scoring = entries[id]?.phase else { return [] }
        return select(id, selection, time: time, fallback: nil, now: now)
    }

    /// Its prompt could not be scored. `isFinal`: it would fail elsewhere too.
    package mutating func scoringFailed(
        _ id: UInt64, reason: String, isFinal: Bool, now: Instant
    ) -> [Directive] {
        guard case .scoring(let attempts) = entries[id]?.phase, let entry = entries[id] else { return [] }
        guard isFinal || attempts >= 1 else {
            entries[id]?.phase = .waitingToBeScored(attempts: attempts + 1)
            entries[id]?.since = now
            return []
        }
        return select(
            id, .all(promptCount: entry.request.prompt.count), time: nil, fallback: "speculation failed: \(reason)",
            now: now)
    }

    private mutating func select(
        _ id: UInt64, _ selection: Selection, time: Duration?, fallback: String?, now: Instant
    ) -> [Directive] {
        entries[id]?.selection = selection
        entries[id]?.phase = .waiting
        entries[id]?.since = now
        let report = SpeculationReport(
            promptTokens: selection.promptCount, keptTokens: selection.keptCount, keepRate: selection.keepRate,
            speculation: time, keptSpans: selection.spans, fallback: fallback)
        return [
            .emit(id, .prompt(report)),
            .pruned(promptTokens: selection.promptCount, keptTokens: selection.keptCount),
        ]
    }

    // MARK: In a pipeline

    /// What a pipeline has to do for it: all from the beginning, or from where another left it.
    package func work(_ id: UInt64) -> Scheduler.Work? {
        guard let entry = entries[id], let kept = entry.selection?.kept else { return nil }
        let request = entry.request
        let count = request.prompt.count
        return Scheduler.Work(
            id: id, tokens: kept.map { request.prompt[Int($0)] } + entry.given,
            positions: kept + (0..<entry.given.count).map { Int32(count + $0) }, promptCount: count,
            firstStep: entry.given.count, maxTokens: request.maxTokens, sampling: request.sampling,
            topTargets: request.promptLogProbabilities, ends: request.ignoreEOS ? [] : ends)
    }

    package mutating func routed(_ id: UInt64, to pipeline: Int, arithmetic: String, now: Instant) -> [Directive] {
        guard entries[id]?.phase == .waiting else { return [] }
        entries[id]?.phase = .running(pipeline: pipeline)
        entries[id]?.since = now
        if entries[id]?.arithmetic == nil { entries[id]?.arithmetic = arithmetic }
        let falls = entries[id]?.falls ?? 0
        return falls == 0 ? [] : [.emit(id, .replayed(falls)), .replayed(id)]
    }

    package mutating func apply(_ effects: [Scheduler.Effect], now: Instant) -> [Directive] {
        var directives: [Directive] = []
        for effect in effects {
            switch effect {
            case .promptTokens(let id, let tokens):
                guard let entry = entries[id] else { continue }
                // A replay scores again what was told already, and the tokens that were given.
                let wanted = entry.promptTokensGiven..<max(entry.promptTokensGiven, entry.request.prompt.count - 1)
                let fresh = tokens.enumerated().filter { wanted.contains(entry.promptSeen + $0.offset) }.map(\.element)
                entries[id]?.promptSeen += tokens.count
                guard !fresh.isEmpty else { continue }
                entries[id]?.promptTokensGiven += fresh.count
                directives.append(.emit(id, .promptTokens(fresh)))
            case .endToken(let id, let token):
                if entries[id] != nil { directives.append(.emit(id, .endToken(token))) }
            case .token(let id, let token):
                guard let entry = entries[id] else { continue }
                if entry.given.isEmpty {
                    directives.append(
                        .firstToken(
                            id, promptTokens: entry.request.prompt.count,
                            after: entry.start.duration(to: now) / .seconds(1)))
                }
                entries[id]?.given.append(token.token)
                directives.append(.emit(id, .token(token)))
            case .finished(let id, let reason): directives += end(id, .finished(reason))
            case .failed(let id, let reason):
                directives += end(id, .failed(RequestError(.internalError, "a stage could not compute: \(reason)")))
            case .drafted, .release: break
            }
        }
        return directives
    }

    /// A pipeline is no more, and with it the KV of every request in it.
    package mutating func fell(_ pipeline: Int, reason: String, now: Instant) -> [Directive] {
        var directives: [Directive] = []
        for id in order where entries[id]?.phase == .running(pipeline: pipeline) {
            let falls = (entries[id]?.falls ?? 0) + 1
            guard falls <= limits.maxReplays else {
                directives += end(
                    id,
                    .failed(
                        RequestError(
                            .workerLost,
                            "\(counted(falls, "pipeline")) fell while serving this request, so it is not tried again; "
                                + "the last one: \(reason)", retryAfter: .seconds(2))))
                continue
            }
            entries[id]?.falls = falls
            entries[id]?.lastFall = reason
            entries[id]?.phase = .waiting
            entries[id]?.since = now
            entries[id]?.promptSeen = 0
        }
        return directives
    }

    // MARK: Ending

    /// Ends what has run out of time.
    ///
    /// - Parameters:
    ///   - notReadyReason: why no pipeline stands; `nil` when one does.
    ///   - hasSpeculator: whether one stands or is local.
    package mutating func tick(now: Instant, notReadyReason: String?, hasSpeculator: Bool) -> [Directive] {
        var directives: [Directive] = []
        for id in order {
            guard let entry = entries[id] else { continue }
            if entry.deadline <= now {
                directives += end(
                    id, .failed(RequestError(.deadlineExceeded, "the request did not end within its time")))
            } else if entry.phase == .waiting, let reason = notReadyReason,
                entry.since.duration(to: now) > limits.replayWait
            {
                let error =
                    entry.lastFall.map {
                        RequestError(
                            .workerLost,
                            "the pipeline was lost (\($0)) and no other came within "
                                + "\(limits.replayWait.components.seconds) s: \(reason)", retryAfter: .seconds(2))
                    }
                    ?? RequestError(.unavailable, "no pipeline stands: \(reason)", retryAfter: .seconds(2))
                directives += end(id, .failed(error))
            } else if case .waitingToBeScored(let attempts) = entry.phase, !hasSpeculator,
                entry.since.duration(to: now) > limits.speculatorWait
            {
                let text =
                    attempts == 0
                    ? "no speculator is there" : "speculation failed: the speculator was lost and no other came"
                directives += select(
                    id, .all(promptCount: entry.request.prompt.count), time: nil, fallback: text, now: now)
            }
        }
        return directives
    }

    /// Ends a request, whatever it is doing. Nothing for one that has ended.
    package mutating func end(_ id: UInt64, _ ending: Ending) -> [Directive] {
        guard let entry = entries.removeValue(forKey: id) else { return [] }
        order.removeAll { $0 == id }
        var directives: [Directive] = []
        switch entry.phase {
        case .scoring: directives.append(.stopScoring(id))
        case .running(let pipeline): directives.append(.withdraw(id, from: pipeline))
        case .waitingToBeScored, .waiting: break
        }
        directives.append(
            .end(id, ending, promptTokens: entry.request.prompt.count, given: entry.given.count))
        return directives
    }
}
