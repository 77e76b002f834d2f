/// Why a received message was thrown away: which field, what was expected and what came.
package struct MessageError: Error, Sendable, CustomStringConvertible, Equatable {
    package var field: String
    package var problem: String

    package init(_ field: String, _ problem: String) {
        self.field = field
        self.problem = problem
    }

    package var description: String { "\(field): \(problem)" }
}

/// What one process tells another.
package enum Message: Equatable, Sendable {
    // Control edges.
    case report(Report)
    case desired(Desired)
    // Data edges.
    /// The link stands; carries nothing.
    case probe
    case microBatch(WireMicroBatch)
    case outcome(WireOutcome)
    /// Free what these requests hold.
    case release([UInt64])
    case score(WireScore)
    case scored(WireScored)
}

/// A message with its place on an edge, and the tensors behind it.
package struct Packet: Sendable {
    /// ``Epoch/none`` on control edges. Messages of another epoch are dropped.
    package var epoch: Epoch
    /// On data edges 1, 2, 3 ... per edge and epoch; 0: not counted.
    package var sequence: UInt64
    package var message: Message
    package var tensors: [Frame]

    package init(epoch: Epoch = .none, sequence: UInt64 = 0, _ message: Message, tensors: [Frame] = []) {
        self.epoch = epoch
        self.sequence = sequence
        self.message = message
        self.tensors = tensors
    }
}

/// The receiving end's check that an edge lost, doubled and reordered nothing.
package struct SequenceCheck: Sendable, Equatable {
    package let epoch: Epoch
    /// The last number received in order.
    package private(set) var received: UInt64 = 0

    package init(epoch: Epoch) { self.epoch = epoch }

    package enum Verdict: Equatable {
        case inOrder
        /// Of another epoch, or not counted: not for the reader.
        case stale
        /// Came before: a transport that doubles.
        case doubled
        case gap(expected: UInt64, found: UInt64)
    }

    package mutating func check(_ packet: Packet) -> Verdict {
        guard packet.epoch == epoch, packet.sequence != 0 else { return .stale }
        guard packet.sequence > received else { return .doubled }
        guard packet.sequence == received + 1 else { return .gap(expected: received + 1, found: packet.sequence) }
        received += 1
        return .inOrder
    }
}
