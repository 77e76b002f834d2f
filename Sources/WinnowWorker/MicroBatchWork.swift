import Transformer
import Wire

/// The bounds a stage was given with its assignment; what comes off the wire is held against them before it is used.
struct StageLimits: Sendable, Equatable {
    var maxRows: Int
    var kvRows: Int
    var isFirst: Bool
    var isLast: Bool
    var hiddenSize: Int
    var vocabularySize: Int
    var contextLength: Int
    var wireType: WireType
}

/// A micro-batch whose shape has been checked: every count agrees with every other, and with the stage's limits. What is
/// wrong with one request's segment alone is a failure of that request, and the others go on.
struct MicroBatchWork: Sendable {
    struct Part: Sendable {
        var segment: WireSegment
        /// In a request's first segment: how to sample.
        var sampling: SamplingParameters?
        /// Its first row among those that came.
        var firstRow: Int

        var rows: Int { segment.positions.count }
    }

    /// A row whose logits are wanted, and why.
    struct Output: Sendable {
        /// Among the rows that are computed.
        var row: Int
        /// The part it belongs to.
        var part: Int
        var purpose: Purpose
    }

    enum Purpose: Sendable, Equatable {
        /// How likely this token is that follows.
        case score(Int32)
        /// What follows the last row but for drafts, and so many of them.
        case sample(draft: Int)
    }

    let id: UInt64
    /// What can be computed.
    private(set) var parts: [Part] = []
    /// What can't, here or at a stage before.
    private(set) var failures: [WireFailure]
    let stageMicroseconds: [UInt64]
    private(set) var stageTimes: [WireStageTime]
    /// Rows as they came, those of failed segments among them; `nil` at stage 0, and where there are none.
    let hidden: Frame?

    /// - Throws: `MessageError` naming the field that no sound neighbour would have sent.
    init(_ message: WireMicroBatch, tensors: [Frame], limits: StageLimits) throws(MessageError) {
        id = message.id
        stageMicroseconds = message.stageMicroseconds
        stageTimes = message.stageTimes
        failures = message.failures
        guard stageMicroseconds.count < 4096, stageTimes.count < 4096 else {
            throw MessageError("micro_batch.stage_microseconds", "too many")
        }
        guard failures.count <= limits.maxRows else { throw MessageError("micro_batch.failures", "too many") }
        var rows = 0
        var seen: Set<UInt64> = []
        for (index, segment) in message.segments.enumerated() {
            let place = "micro_batch.segments[\(index)]"
            guard seen.insert(segment.request).inserted else {
                throw MessageError("\(place).request", "\(segment.request) stands twice in one micro-batch")
            }
            guard !segment.positions.isEmpty else { throw MessageError("\(place).positions", "empty") }
            let expectedTokens = limits.isFirst ? segment.positions.count : 0
            guard segment.tokens.count == expectedTokens else {
                throw MessageError("\(place).tokens", "expected \(expectedTokens), found \(segment.tokens.count)")
            }
            let part = Part(segment: segment, firstRow: rows)
            rows += part.rows
            guard rows <= limits.maxRows else {
                throw MessageError("micro_batch.segments", "more than the agreed \(limits.maxRows) rows")
            }
            parts.append(part)
        }
        guard rows > 0 || !failures.isEmpty else { throw MessageError("micro_batch.segments", "no row") }
        hidden = try Self.tensor(tensors, rows: rows, limits: limits)
        for index in parts.indices { check(index, limits) }
        drop { [failures] part in failures.contains { $0.request == part.segment.request } }
    }

    private static func tensor(
        _ tensors: [Frame], rows: Int, limits: StageLimits
    ) throws(MessageError) -> Frame? {
        let wanted = limits.isFirst || rows == 0 ? 0 : 1
        guard tensors.count == wanted else {
            throw MessageError("tensors", "expected \(wanted), found \(tensors.count)")
        }
        guard let tensor = tensors.first else { return nil }
        let expected = rows * limits.hiddenSize * limits.wireType.bytes
        guard tensor.count == expected else {
            throw MessageError(
                "tensors[0]",
                "expected \(rows) x \(limits.hiddenSize) \(limits.wireType.rawValue) = \(expected) bytes, "
                    + "found \(tensor.count)")
        }
        return tensor
    }

    /// What concerns one request alone.
    private mutating func check(_ index: Int, _ limits: StageLimits) {
        let segment = parts[index].segment
        do throws(MessageError) {
            guard segment.positions.allSatisfy({ Int($0) < limits.contextLength }) else {
                throw MessageError("positions", "beyond the context of \(limits.contextLength)")
            }
            guard segment.tokens.allSatisfy({ Int($0) < limits.vocabularySize }) else {
                throw MessageError("tokens", "outside the vocabulary of \(limits.vocabularySize)")
            }
            let targets = segment.positions.count - (segment.sample ? 1 : 0)
            guard segment.targets.isEmpty || segment.targets.count == targets else {
                throw MessageError("targets", "expected none or \(targets), found \(segment.targets.count)")
            }
            guard segment.targets.allSatisfy({ Int($0) < limits.vocabularySize }) else {
                throw MessageError("targets", "outside the vocabulary of \(limits.vocabularySize)")
            }
            guard segment.decoded <= segment.positions.count else {
                throw MessageError("decoded", "\(segment.decoded) of \(segment.positions.count) rows")
            }
            guard segment.drafts.count <= Protocol.maxDrafts else {
                throw MessageError("drafts", "more than \(Protocol.maxDrafts)")
            }
            // Sampled as if each had come alone, so they must be computed so.
            guard
                segment.drafts.isEmpty
                    || segment.sample && segment.targets.isEmpty
                        && segment.drafts.count < segment.decoded
            else {
                throw MessageError("drafts", "\(segment.drafts.count) for \(segment.decoded) decoded rows")
            }
            guard segment.drafts.allSatisfy({ Int($0) < limits.vocabularySize }) else {
                throw MessageError("drafts", "outside the vocabulary of \(limits.vocabularySize)")
            }
            guard let opening = segment.opening else { return }
            let least = segment.positions.count
            guard (least...max(least, limits.kvRows)).contains(opening.kvRows) else {
                throw MessageError("opening.kv_rows", "\(opening.kvRows) is outside \(least)...\(limits.kvRows)")
            }
            guard (0...20).contains(opening.topTargets) else {
                throw MessageError("opening.top_targets", "\(opening.topTargets) is outside 0...20")
            }
            let sampling = SamplingParameters(opening.sampling)
            do {
                try sampling.validate()
            } catch {
                throw MessageError("opening.sampling", "\(error)")
            }
            parts[index].sampling = sampling
        } catch {
            fail(segment.request, "\(error)")
        }
    }

    /// This stage begins with it now.
    mutating func begin(received: UInt64) {
        stageTimes.append(WireStageTime(received: received, started: ProcessClock.microseconds))
    }

    /// The request goes on no further; its part is left out by the next ``drop(where:)``.
    mutating func fail(_ request: UInt64, _ reason: String) {
        failures.append(WireFailure(request: request, reason: reason))
    }

    /// Leaves out the parts of requests that failed.
    mutating func dropFailed() {
        drop { [failures] part in failures.contains { $0.request == part.segment.request } }
    }

    private mutating func drop(where isOut: (Part) -> Bool) { if !failures.isEmpty { parts.removeAll(where: isOut) } }

    /// Rows that are computed.
    var rows: Int { parts.reduce(0) { $0 + $1.rows } }

    /// The rows whose logits are wanted, ascending.
    var outputs: [Output] {
        var first = 0
        return parts.enumerated().flatMap { index, part in
            defer { first += part.rows }
            let scored = part.segment.targets.enumerated().map {
                Output(row: first + $0, part: index, purpose: .score($1))
            }
            guard part.segment.sample else { return scored }
            let drafts = part.segment.drafts.count
            let sampled = first + part.rows - 1 - drafts
            return scored + (0...drafts).map { Output(row: sampled + $0, part: index, purpose: .sample(draft: $0)) }
        }
    }

    /// The same micro-batch as the next stage gets it, hidden rows aside.
    func forwarded(computeMicroseconds: UInt64) -> WireMicroBatch {
        WireMicroBatch(
            id: id,
            segments: parts.map { part in
                var segment = part.segment
                segment.tokens = []
                return segment
            }, stageMicroseconds: stageMicroseconds + [computeMicroseconds], failures: failures,
            stageTimes: stageTimes)
    }
}

extension SamplingParameters {
    /// As they came with a request's first segment; not yet validated.
    init(_ sampling: WireSampling) {
        self.init(
            temperature: sampling.temperature, topK: sampling.topK, topP: sampling.topP, minP: sampling.minP,
            seed: sampling.seed, topLogProbabilities: sampling.topLogProbabilities)
    }
}

extension WireSample {
    /// What is said of a request whose logits are not finite, so that no token was drawn: a log-probability that is no
    /// number.
    static func withoutToken(request: UInt64, step: Int) -> WireSample {
        WireSample(request: request, step: step, token: 0, logProbability: .nan)
    }

    init(request: UInt64, step: Int, token: SampledToken) {
        self.init(
            request: request, step: step, token: token.token, logProbability: token.logProbability,
            topTokens: token.top.map(\.token), topLogProbabilities: token.top.map(\.logProbability))
    }
}
