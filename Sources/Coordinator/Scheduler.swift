import DequeModule
package import Transformer

/// Which rows travel next: a pure value that turns requests into micro-batches, and samples into tokens.
///
/// Decode rows go first, prompts fill what is left in the order they came. A prompt's rows are cut so that it alone keeps
/// every stage busy; a request's prompt rows may follow each other down the pipeline without waiting, its decode rows
/// can't. KV rows are reserved for the kept tokens and the answer when a request's first rows leave, and given back when
/// every stage has freed them.
package struct Scheduler: Sendable {
    package struct Limits: Equatable, Sendable {
        /// Rows of one micro-batch.
        package var maxRows: Int
        /// Micro-batches under way.
        package var maxInFlight: Int
        package var stageCount: Int
        package var kvRows: Int
        /// Fewer prompt rows than this make inefficient products.
        package var minRows: Int

        package init(maxRows: Int, maxInFlight: Int, stageCount: Int, kvRows: Int, minRows: Int = ChunkPlan.minRows) {
            self.maxRows = maxRows
            self.maxInFlight = maxInFlight
            self.stageCount = stageCount
            self.kvRows = kvRows
            self.minRows = minRows
        }
    }

    /// A request whose prompt has been pruned (or not), from its beginning or from where another pipeline left it.
    package struct Work: Sendable {
        package var id: UInt64
        /// Kept prompt tokens, and their position ids in the unpruned prompt; after them the `firstStep` tokens that were
        /// generated before, at positions M, M+1, ...
        package var tokens: [Int32]
        package var positions: [Int32]
        /// M: generation begins at this position.
        package var promptCount: Int
        /// Tokens generated before: 0, or on a replay those at the end of `tokens`. What is sampled next has this step.
        package var firstStep: Int
        /// Of the whole answer, `firstStep` included.
        package var maxTokens: Int
        package var sampling: SamplingParameters
        /// Score the tokens of `tokens`, those generated before included, and report so many of the most likely ones with
        /// each; `nil`: don't.
        package var topTargets: Int?
        /// Tokens that end the answer; empty to go on regardless.
        package var ends: Set<Int32>

        package init(
            id: UInt64, tokens: [Int32], positions: [Int32], promptCount: Int, firstStep: Int = 0, maxTokens: Int,
            sampling: SamplingParameters, topTargets: Int? = nil, ends: Set<Int32>
        ) {
            self.id = id
            self.tokens = tokens
            self.positions = positions
            self.promptCount = promptCount
            self.firstStep = firstStep
            self.maxTokens = maxTokens
            self.sampling = sampling
            self.topTargets = topTargets
            self.ends = ends
        }

        /// The last token of an answer needs no row.
        package var kvRows: Int { tokens.count + max(0, maxTokens - firstStep - 1) }
    }

    package struct Part: Equatable, Sendable {
        package var request: UInt64
        package var tokens: [Int32]
        package var positions: [Int32]
        /// Rows of the request that went before these.
        package var cached: Int
        /// In a request's first part.
        package var opening: Opening?
        package var sample: Bool
        package var step: Int
        /// The prompt tokens that follow its rows, where they are to be scored.
        package var targets: [Int32] = []
        /// Its last so many rows are of the answer, not of the prompt: they are computed as decoded ones.
        package var decoded = 0
        /// Guesses of the tokens to be sampled; they are its last tokens.
        package var drafts: [Int32] = []
    }
    package struct Opening: Equatable, Sendable {
        package var kvRows: Int
        package var sampling: SamplingParameters
        /// Most likely tokens to report with each target.
        package var topTargets = 0
    }
    package struct MicroBatch: Equatable, Sendable {
        package var id: UInt64
        package var parts: [Part]
        package var rows: Int { parts.reduce(0) { $0 + $1.tokens.count } }
        /// What its cost depends on.
        package var segments: [CostSegment] { parts.map { CostSegment(cached: $0.cached, rows: $0.tokens.count) } }
    }

    package enum Effect: Equatable, Sendable {
        /// The next prompt tokens, scored.
        case promptTokens(UInt64, [SampledToken])
        case token(UInt64, SampledToken)
        case endToken(UInt64, SampledToken)
        case finished(UInt64, FinishReason)
        /// A stage could not compute it, or gave an answer that cannot be right.
        case failed(UInt64, String)
        /// So many guesses were sent down, and so many of them were right.
        case drafted(UInt64, proposed: Int, accepted: Int)
        /// Tell the stages to free the request.
        case release(UInt64)
    }

    private struct Active {
        let work: Work
        var rowsSent = 0
        /// Tokens of the answer so far, `work.firstStep` included.
        var generated: Int
        /// Sampled, and to be sent down as the next decode row.
        var pendingToken: Int32?
        /// Guesses of what follows it, to be sent down with it.
        var drafts: [Int32] = []
        /// It waits for them.
        var isHeld = false
        /// How the prompt is cut while it is alone; made when that is first needed.
        var plan: ChunkPlan?

        init(work: Work) {
            self.work = work
            generated = work.firstStep
        }

        var isPrefilling: Bool { rowsSent < work.tokens.count }
    }

    /// What the stages are to answer for a part.
    private struct Expected {
        let request: UInt64
        let rows: Int
        let isSampled: Bool
        let targets: [Int32]
        let drafts: [Int32]
    }

    package let limits: Limits
    /// Cuts a lone prompt into chunks that take the stages equal times; without it they have equal rows.
    package var cost: PipelineCost?
    private var waiting: Deque<Work> = []
    private var active: [UInt64: Active] = [:]
    /// Active requests whose prompt is not all sent, in order of arrival.
    private var prefilling: Deque<UInt64> = []
    /// Active requests with a pending token, in the order they came.
    private var decodable: Deque<UInt64> = []
    /// The parts of each micro-batch under way.
    private var inFlight: [UInt64: [Expected]] = [:]
    private var releasing: [UInt64: Int] = [:]
    private var reservedRows = 0
    private var nextMicroBatch: UInt64 = 1

    package init(limits: Limits) { self.limits = limits }

    package var isIdle: Bool { waiting.isEmpty && active.isEmpty }
    /// KV rows that active and not yet freed requests hold.
    package var kvRowsReserved: Int { reservedRows }
    /// KV rows that neither those hold nor waiting requests will; below 0 when more is asked for than there is.
    package var kvRowsFree: Int { limits.kvRows - reservedRows - waiting.reduce(0) { $0 + $1.kvRows } }
    /// Prompt rows that have not been sent, and requests whose prompt has.
    package var queuedRows: (prompt: Int, decoding: Int) {
        var rows = waiting.reduce(0) { $0 + $1.tokens.count }
        var decoding = 0
        for request in active.values {
            if request.isPrefilling { rows += request.work.tokens.count - request.rowsSent } else { decoding += 1 }
        }
        return (rows, decoding)
    }
    /// Rows of the micro-batches under way.
    package var rowsInFlight: Int { inFlight.values.joined().reduce(0) { $0 + $1.rows } }

    /// Queues a request. It must fit: `work.kvRows <= limits.kvRows`, and at least one token.
    package mutating func add(_ work: Work) { waiting.append(work) }

    /// The next micro-batch to send, or `nil`: nothing to do, or enough under way.
    package mutating func next() -> MicroBatch? {
        guard inFlight.count < limits.maxInFlight else { return nil }
        var parts: [Part] = []
        var room = limits.maxRows
        takeDecodeRows(&parts, room: &room)
        takePromptRows(&parts, room: &room)
        guard !parts.isEmpty else { return nil }
        defer { nextMicroBatch += 1 }
        inFlight[nextMicroBatch] = parts.map {
            Expected(
                request: $0.request, rows: $0.tokens.count, isSampled: $0.sample, targets: $0.targets,
                drafts: $0.drafts)
        }
        return MicroBatch(id: nextMicroBatch, parts: parts)
    }

    private mutating func takeDecodeRows(_ parts: inout [Part], room: inout Int) {
        while room > 0, let id = decodable.popFirst() {
            guard let request = active[id], let token = request.pendingToken else { continue }
            let drafts = Array(request.drafts.prefix(room - 1))
            active[id]?.pendingToken = nil
            active[id]?.drafts = []
            let rows = 1 + drafts.count
            let position = request.work.promptCount + request.generated - 1
            parts.append(
                Part(
                    request: id, tokens: [token] + drafts, positions: (position..<position + rows).map(Int32.init),
                    cached: request.work.tokens.count + request.generated - request.work.firstStep - 1, opening: nil,
                    sample: true, step: request.generated, decoded: rows, drafts: drafts))
            room -= rows
        }
    }

    private mutating func takePromptRows(_ parts: inout [Part], room: inout Int) {
        var index = 0
        var isShared = prefilling.count + waiting.count > 1
        while room > 0 {
            if index == prefilling.count {
                guard let work = waiting.first, reservedRows + work.kvRows <= limits.kvRows else { return }
                waiting.removeFirst()
                reservedRows += work.kvRows
                active[work.id] = Active(work: work)
                prefilling.append(work.id)
            }
            let id = prefilling[index]
            guard var request = active[id] else {
                prefilling.remove(at: index)
                continue
            }
            let work = request.work
            let rows = min(
                room, work.tokens.count - request.rowsSent, isShared ? limits.maxRows : share(of: &request))
            let range = request.rowsSent..<request.rowsSent + rows
            let following = range.lowerBound + 1..<min(range.upperBound + 1, work.tokens.count)
            request.rowsSent = range.upperBound
            active[id] = request
            parts.append(
                Part(
                    request: id, tokens: Array(work.tokens[range]), positions: Array(work.positions[range]),
                    cached: range.lowerBound,
                    opening: range.lowerBound == 0
                        ? Opening(kvRows: work.kvRows, sampling: work.sampling, topTargets: work.topTargets ?? 0) : nil,
                    sample: !request.isPrefilling, step: work.firstStep,
                    targets: work.topTargets == nil ? [] : Array(work.tokens[following]),
                    decoded: range.upperBound
                        - min(range.upperBound, max(range.lowerBound, work.tokens.count - work.firstStep))))
            room -= rows
            isShared = true
            if request.isPrefilling { index += 1 } else { prefilling.remove(at: index) }
        }
    }

    /// Rows of a lone prompt in one micro-batch. When other prompts follow they keep the stages busy, and nothing is cut.
    ///
    /// Without a cost model: cut into n micro-batches, a lone prompt is through S stages in (n+S-1)/(nS) of the time one
    /// stage would take for all layers, so about two micro-batches a stage, unless that makes them too small to compute well.
    private func share(of request: inout Active) -> Int {
        guard limits.stageCount > 1 else { return limits.maxRows }
        let count = request.work.tokens.count
        if let cost {
            let plan =
                request.plan
                ?? ChunkPlan(rows: count, cost: cost, minRows: limits.minRows, maxRows: limits.maxRows)
            request.plan = plan
            return plan.rows(cached: request.rowsSent)
        }
        let even = (count + 2 * limits.stageCount - 1) / (2 * limits.stageCount)
        return min(limits.maxRows, max(limits.minRows, (even + 31) / 32 * 32))
    }

    /// A micro-batch came out of the last stage. What it says of requests that are gone is ignored.
    ///
    /// - Parameter failed: requests whose rows a stage could not compute, and why. They end; the others go on.
    package mutating func complete(
        _ microBatch: UInt64, samples: [(request: UInt64, token: SampledToken)],
        targets: [(request: UInt64, token: SampledToken)] = [], failed: [UInt64: String] = [:]
    ) -> [Effect] {
        guard let expected = inFlight.removeValue(forKey: microBatch) else { return [] }
        let sampled = Dictionary(grouping: samples, by: \.request)
        let scored = Dictionary(grouping: targets, by: \.request)
        return expected.flatMap { part in
            take(
                part, sampled: (sampled[part.request] ?? []).map(\.token),
                scored: (scored[part.request] ?? []).map(\.token), failure: failed[part.request])
        }
    }

    /// The answer to one part.
    private mutating func take(
        _ part: Expected, sampled: [SampledToken], scored: [SampledToken], failure: String?
    ) -> [Effect] {
        let id = part.request
        guard var request = active[id] else { return [] }
        if let failure { return [.failed(id, failure)] + end(id) }
        guard scored.map(\.token) == part.targets else {
            return [.failed(id, "the last stage scored other tokens than the prompt's")] + end(id)
        }
        // Without its token the request would wait for ever; and each further one follows guesses that were right.
        guard (part.isSampled ? 1...1 + part.drafts.count : 0...0).contains(sampled.count),
            part.drafts.starts(with: sampled.dropLast().map(\.token))
        else {
            return [.failed(id, "the last stage drew \(sampled.count) tokens for rows that ask for another number")]
                + end(id)
        }
        var effects: [Effect] = scored.isEmpty ? [] : [.promptTokens(id, scored)]
        if !part.drafts.isEmpty {
            effects.append(.drafted(id, proposed: part.drafts.count, accepted: sampled.count - 1))
        }
        for token in sampled {
            guard request.generated < request.work.maxTokens else {
                // The prompt is through, which is all that was asked for.
                return effects + [.finished(id, .length)] + end(id)
            }
            request.generated += 1
            if request.work.ends.contains(token.token) {
                return effects + [.endToken(id, token), .finished(id, .stop)] + end(id)
            }
            effects.append(.token(id, token))
            if request.generated >= request.work.maxTokens { return effects + [.finished(id, .length)] + end(id) }
            request.pendingToken = token.token
        }
        guard !sampled.isEmpty else { return effects }
        active[id] = request
        decodable.append(id)
        return effects
    }

    // MARK: Guesses

    /// How many guesses of what follows its last token are of use; 0 for a request that has no token to go on from.
    package func draftRoom(_ id: UInt64) -> Int {
        guard let request = active[id], request.pendingToken != nil else { return 0 }
        // After the last guess one more token is sampled.
        return max(0, min(request.work.maxTokens - request.generated, limits.maxRows) - 1)
    }

    /// Keeps a request back until ``resume(_:drafts:)``. `false`: its rows are not waiting to be sent.
    package mutating func hold(_ id: UInt64) -> Bool {
        guard active[id]?.pendingToken != nil, let index = decodable.firstIndex(of: id) else { return false }
        decodable.remove(at: index)
        active[id]?.isHeld = true
        return true
    }

    /// Lets a request that was kept back go on, with guesses of what follows its last token. Nothing for others.
    package mutating func resume(_ id: UInt64, drafts: [Int32]) {
        guard active[id]?.isHeld == true else { return }
        active[id]?.isHeld = false
        let room = draftRoom(id)
        active[id]?.drafts = Array(drafts.prefix(room))
        decodable.append(id)
    }

    /// Takes a request out, wherever it is.
    package mutating func cancel(_ id: UInt64) -> [Effect] {
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            waiting.remove(at: index)
            return []
        }
        return end(id)
    }

    private mutating func end(_ id: UInt64) -> [Effect] {
        guard let request = active.removeValue(forKey: id) else { return [] }
        releasing[id] = request.work.kvRows
        return [.release(id)]
    }

    /// Every stage has freed these requests.
    package mutating func released(_ ids: [UInt64]) {
        for id in ids { reservedRows -= releasing.removeValue(forKey: id) ?? 0 }
    }
}
