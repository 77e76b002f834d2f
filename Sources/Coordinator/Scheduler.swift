import DequeModule
import Transformer

/// Which rows travel next: a pure value that turns requests into micro-batches, and samples into tokens.
///
/// Decode rows go first, prompts fill what is left in the order they came. A prompt's rows are cut so that it alone keeps
/// every stage busy; a request's prompt rows may follow each other down the pipeline without waiting, its decode rows
/// can't. KV rows are reserved for the kept tokens and the answer when a request's first rows leave, and given back when
/// every stage has freed them.
struct Scheduler {
    struct Limits: Equatable {
        /// Rows of one micro-batch.
        var maxRows: Int
        /// Micro-batches under way.
        var maxInFlight: Int
        var stageCount: Int
        var kvRows: Int
        /// Fewer prompt rows than this make inefficient products.
        var minRows = 64
    }

    /// A request whose prompt has been pruned (or not).
    struct Work {
        var id: UInt64
        /// Kept prompt tokens, and their position ids in the unpruned prompt.
        var tokens: [Int32]
        var positions: [Int32]
        /// M: generation continues at this position.
        var promptCount: Int
        var maxTokens: Int
        var sampling: SamplingParameters
        /// Tokens that end the answer; empty to go on regardless.
        var ends: Set<Int32>

        var kvRows: Int { tokens.count + maxTokens - 1 }
    }

    struct Part: Equatable {
        var request: UInt64
        var tokens: [Int32]
        var positions: [Int32]
        /// In a request's first part.
        var opening: Opening?
        var sample: Bool
        var step: Int
    }
    struct Opening: Equatable {
        var kvRows: Int
        var sampling: SamplingParameters
    }
    struct MicroBatch: Equatable {
        var id: UInt64
        var parts: [Part]
        var rows: Int { parts.reduce(0) { $0 + $1.tokens.count } }
    }

    enum Effect: Equatable {
        case token(UInt64, SampledToken)
        case finished(UInt64, FinishReason)
        /// Tell the stages to free the request.
        case release(UInt64)
    }

    private struct Active {
        let work: Work
        var rowsSent = 0
        var generated = 0
        /// Sampled, and to be sent down as the next decode row.
        var pendingToken: Int32?
        var isPrefilling: Bool { rowsSent < work.tokens.count }
    }

    let limits: Limits
    private var waiting: Deque<Work> = []
    private var active: [UInt64: Active] = [:]
    /// Active requests whose prompt is not all sent, in order of arrival.
    private var prefilling: Deque<UInt64> = []
    /// Active requests with a pending token, in the order they came.
    private var decodable: Deque<UInt64> = []
    private var inFlight: [UInt64: [UInt64]] = [:]
    private var releasing: [UInt64: Int] = [:]
    private var reservedRows = 0
    private var nextMicroBatch: UInt64 = 1

    init(limits: Limits) { self.limits = limits }

    var isIdle: Bool { waiting.isEmpty && active.isEmpty }
    var waitingCount: Int { waiting.count }
    var activeCount: Int { active.count }
    var inFlightCount: Int { inFlight.count }
    /// KV rows that active and not yet freed requests hold.
    var kvRowsReserved: Int { reservedRows }

    /// Queues a request. It must fit: `work.kvRows <= limits.kvRows`, and at least one token.
    mutating func add(_ work: Work) { waiting.append(work) }

    /// The next micro-batch to send, or `nil`: nothing to do, or enough under way.
    mutating func next() -> MicroBatch? {
        guard inFlight.count < limits.maxInFlight else { return nil }
        var parts: [Part] = []
        var room = limits.maxRows
        takeDecodeRows(&parts, room: &room)
        takePromptRows(&parts, room: &room)
        guard !parts.isEmpty else { return nil }
        defer { nextMicroBatch += 1 }
        inFlight[nextMicroBatch] = parts.map(\.request)
        return MicroBatch(id: nextMicroBatch, parts: parts)
    }

    private mutating func takeDecodeRows(_ parts: inout [Part], room: inout Int) {
        while room > 0, let id = decodable.popFirst() {
            guard let request = active[id], let token = request.pendingToken else { continue }
            active[id]?.pendingToken = nil
            parts.append(
                Part(
                    request: id, tokens: [token],
                    positions: [Int32(request.work.promptCount + request.generated - 1)], opening: nil, sample: true,
                    step: request.generated))
            room -= 1
        }
    }

    private mutating func takePromptRows(_ parts: inout [Part], room: inout Int) {
        var index = 0
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
            let rows = min(room, work.tokens.count - request.rowsSent, share(of: work.tokens.count))
            let range = request.rowsSent..<request.rowsSent + rows
            request.rowsSent = range.upperBound
            active[id] = request
            parts.append(
                Part(
                    request: id, tokens: Array(work.tokens[range]), positions: Array(work.positions[range]),
                    opening: range.lowerBound == 0 ? Opening(kvRows: work.kvRows, sampling: work.sampling) : nil,
                    sample: !request.isPrefilling, step: 0))
            room -= rows
            if request.isPrefilling { index += 1 } else { prefilling.remove(at: index) }
        }
    }

    /// Rows of one prompt in one micro-batch. Cut into n micro-batches, a lone prompt is through S stages in
    /// (n+S-1)/(nS) of the time one stage would take for all layers: so about two micro-batches a stage, unless that makes
    /// them too small to compute well. When other prompts follow they keep the stages busy, and nothing is cut.
    private func share(of count: Int) -> Int {
        guard limits.stageCount > 1, prefilling.count + waiting.count == 1 else { return limits.maxRows }
        let even = (count + 2 * limits.stageCount - 1) / (2 * limits.stageCount)
        return min(limits.maxRows, max(limits.minRows, (even + 31) / 32 * 32))
    }

    /// A micro-batch came out of the last stage. Samples of requests that are gone are ignored.
    mutating func complete(_ microBatch: UInt64, samples: [(request: UInt64, token: SampledToken)]) -> [Effect] {
        guard let expected = inFlight.removeValue(forKey: microBatch) else { return [] }
        var effects: [Effect] = []
        for (id, token) in samples where expected.contains(id) {
            guard var request = active[id] else { continue }
            request.generated += 1
            if request.work.ends.contains(token.token) {
                effects += [.finished(id, .stop)] + end(id)
                continue
            }
            effects.append(.token(id, token))
            if request.generated >= request.work.maxTokens {
                effects += [.finished(id, .length)] + end(id)
                continue
            }
            request.pendingToken = token.token
            active[id] = request
            decodable.append(id)
        }
        return effects
    }

    /// A stage could not compute a micro-batch: its requests are lost, and freed everywhere.
    mutating func lose(_ microBatch: UInt64) -> (lost: [UInt64], effects: [Effect]) {
        let lost = (inFlight.removeValue(forKey: microBatch) ?? []).filter { active[$0] != nil }
        return (lost, lost.flatMap { end($0) })
    }

    /// Takes a request out, wherever it is.
    mutating func cancel(_ id: UInt64) -> [Effect] {
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
    mutating func released(_ ids: [UInt64]) {
        for id in ids { reservedRows -= releasing.removeValue(forKey: id) ?? 0 }
    }
}
