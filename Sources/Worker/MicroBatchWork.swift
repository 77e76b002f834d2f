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
}

/// A micro-batch that has been checked: every count agrees with every other, and with the stage's limits.
struct MicroBatchWork: Sendable {
    struct Part: Sendable {
        var request: UInt64
        var positions: [Int32]
        /// Empty behind stage 0.
        var tokens: [Int32]
        /// In a request's first segment: KV rows to reserve, and how to sample.
        var opening: Opening?
        var sample: Bool
        var step: Int
        /// The tokens that follow the first rows, as many as are to be scored.
        var targets: [Int32]
    }

    struct Opening: Sendable {
        var kvRows: Int
        var sampling: SamplingParameters
        /// Most likely tokens to report with each target.
        var topTargets: Int
        /// As it came, for the next stage.
        var message: OpeningMessage
    }

    var id: UInt64
    var parts: [Part]
    var rows: Int
    var stageMicroseconds: [UInt64]
    /// Rows x hidden, Float32; `nil` at stage 0.
    var hidden: Frame?

    /// - Throws: `MessageError` naming the field at fault.
    init(_ message: MicroBatchMessage, tensors: [Frame], limits: StageLimits) throws(MessageError) {
        id = message.id
        stageMicroseconds = message.stageMicroseconds
        guard stageMicroseconds.count < 1024 else { throw MessageError("micro_batch.stage_microseconds", "too many") }
        parts = []
        rows = 0
        var seen: Set<UInt64> = []
        for (index, segment) in message.segments.enumerated() {
            let place = "micro_batch.segments[\(index)]"
            guard seen.insert(segment.request).inserted else {
                throw MessageError("\(place).request", "\(segment.request) stands twice in one micro-batch")
            }
            parts.append(try Part(segment, place: place, limits: limits))
            rows += segment.positions.count
            guard rows <= limits.maxRows else {
                throw MessageError("micro_batch.segments", "more than the agreed \(limits.maxRows) rows")
            }
        }
        guard rows > 0 else { throw MessageError("micro_batch.segments", "no row") }
        if limits.isFirst {
            guard tensors.isEmpty else { throw MessageError("tensors", "stage 0 takes none, found \(tensors.count)") }
            hidden = nil
        } else {
            guard tensors.count == 1 else { throw MessageError("tensors", "expected 1, found \(tensors.count)") }
            let expected = rows * limits.hiddenSize * MemoryLayout<Float>.size
            guard tensors[0].count == expected else {
                throw MessageError(
                    "tensors[0]",
                    "expected \(rows) x \(limits.hiddenSize) Float32 = \(expected) bytes, found \(tensors[0].count)")
            }
            hidden = tensors[0]
        }
    }

    /// A row whose logits are wanted, and why.
    struct Output: Sendable {
        var row: Int
        /// The part it belongs to.
        var part: Int
        /// The token to score; `nil`: one is to be sampled.
        var target: Int32?
    }

    /// The rows whose logits are wanted, ascending.
    var outputs: [Output] {
        var first = 0
        return parts.enumerated().flatMap { index, part in
            defer { first += part.positions.count }
            let scored = part.targets.enumerated().map { Output(row: first + $0, part: index, target: $1) }
            return scored
                + (part.sample ? [Output(row: first + part.positions.count - 1, part: index, target: nil)] : [])
        }
    }

    /// The same micro-batch as the next stage gets it, hidden rows aside.
    func forwarded(computeMicroseconds: UInt64) -> MicroBatchMessage {
        var message = MicroBatchMessage()
        message.id = id
        message.stageMicroseconds = stageMicroseconds + [computeMicroseconds]
        message.segments = parts.map { part in
            var segment = SegmentMessage()
            segment.request = part.request
            segment.positions = part.positions.map(UInt32.init)
            segment.sample = part.sample
            segment.step = UInt32(part.step)
            segment.targets = part.targets.map(UInt32.init)
            if let opening = part.opening { segment.opening = opening.message }
            return segment
        }
        return message
    }
}

extension MicroBatchWork.Part {
    init(_ segment: SegmentMessage, place: String, limits: StageLimits) throws(MessageError) {
        guard !segment.positions.isEmpty else { throw MessageError("\(place).positions", "empty") }
        guard segment.positions.allSatisfy({ $0 < limits.contextLength }) else {
            throw MessageError("\(place).positions", "beyond the context of \(limits.contextLength)")
        }
        let expectedTokens = limits.isFirst ? segment.positions.count : 0
        guard segment.tokens.count == expectedTokens else {
            throw MessageError("\(place).tokens", "expected \(expectedTokens), found \(segment.tokens.count)")
        }
        guard segment.tokens.allSatisfy({ $0 <= UInt32(Int32.max) }) else {
            throw MessageError("\(place).tokens", "a token id is out of range")
        }
        request = segment.request
        positions = segment.positions.map(Int32.init)
        tokens = segment.tokens.map(Int32.init)
        sample = segment.sample
        step = Int(segment.step)
        let targets = segment.positions.count - (segment.sample ? 1 : 0)
        guard segment.targets.isEmpty || segment.targets.count == targets else {
            throw MessageError("\(place).targets", "expected none or \(targets), found \(segment.targets.count)")
        }
        guard segment.targets.allSatisfy({ $0 < limits.vocabularySize }) else {
            throw MessageError("\(place).targets", "outside the vocabulary of \(limits.vocabularySize)")
        }
        self.targets = segment.targets.map(Int32.init)
        guard segment.hasOpening else {
            opening = nil
            return
        }
        let kvRows = Int(segment.opening.kvRows)
        guard (segment.positions.count...max(segment.positions.count, limits.kvRows)).contains(kvRows) else {
            throw MessageError("\(place).opening.kv_rows", "\(kvRows) is outside \(positions.count)...\(limits.kvRows)")
        }
        guard segment.opening.hasSampling else { throw MessageError("\(place).opening.sampling", "missing") }
        let sampling = SamplingParameters(segment.opening.sampling)
        do {
            try sampling.validate()
        } catch {
            throw MessageError("\(place).opening.sampling", "\(error)")
        }
        guard segment.opening.topTargets <= 20 else {
            throw MessageError("\(place).opening.top_targets", "\(segment.opening.topTargets) is outside 0...20")
        }
        opening = MicroBatchWork.Opening(
            kvRows: kvRows, sampling: sampling, topTargets: Int(segment.opening.topTargets), message: segment.opening)
    }
}
