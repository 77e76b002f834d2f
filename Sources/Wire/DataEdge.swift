/// One end of a one-to-one edge that sends: a dealer towards one peer's router.
///
/// Numbers its messages. Nothing waits in it: the pipeline's bound on micro-batches under way keeps every queue far
/// below the library's high-water mark, so a message that can't be taken means that the link is down.
package final class OutgoingEdge {
    package let socket: Socket
    package let endpoint: String
    private var sequence: UInt64 = 0

    /// - Parameters:
    ///   - identity: what the peer's router sees; carries the epoch, so that a stale link can't be taken for a new one.
    package init(
        to endpoint: String, identity: String, context: ZeroMQContext, limits: Socket.Limits
    ) throws(ZeroMQError) {
        socket = try Socket(.dealer, context: context, limits: limits)
        try socket.setIdentity(Array(identity.utf8.prefix(255)))
        try socket.connect(endpoint)
        self.endpoint = endpoint
    }

    /// Sends a body with the next sequence number.
    package func send(epoch: UInt64, _ body: Envelope.OneOf_Body, tensors: [Frame] = []) throws -> Socket.SendResult {
        let message = Message(epoch: epoch, sequence: sequence + 1, body, tensors: tensors)
        let result = try socket.send(try message.frames())
        if result == .sent { sequence += 1 }
        return result
    }
}

/// The receiving end's check that an edge lost, doubled and reordered nothing.
package struct SequenceCheck: Sendable {
    package private(set) var epoch: UInt64
    private var next: UInt64 = 1

    package init(epoch: UInt64) { self.epoch = epoch }

    package enum Verdict: Equatable {
        case inOrder
        /// Of another epoch: drop it silently.
        case stale
        case gap(expected: UInt64, found: UInt64)
    }

    package mutating func check(epoch: UInt64, sequence: UInt64) -> Verdict {
        guard epoch == self.epoch else { return .stale }
        guard sequence == next else { return .gap(expected: next, found: sequence) }
        next += 1
        return .inOrder
    }
}
