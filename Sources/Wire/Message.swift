import SwiftProtobuf

package typealias Envelope = Winnow_Wire_V1_Envelope
package typealias Hello = Winnow_Wire_V1_Hello
package typealias Refusal = Winnow_Wire_V1_Refusal
package typealias Assignment = Winnow_Wire_V1_Assignment
package typealias Ready = Winnow_Wire_V1_Ready
package typealias Heartbeat = Winnow_Wire_V1_Heartbeat
package typealias HeartbeatReply = Winnow_Wire_V1_HeartbeatReply
package typealias Fault = Winnow_Wire_V1_Fault
package typealias Goodbye = Winnow_Wire_V1_Goodbye
package typealias MicroBatchMessage = Winnow_Wire_V1_MicroBatch
package typealias SegmentMessage = Winnow_Wire_V1_Segment
package typealias OpeningMessage = Winnow_Wire_V1_Opening
package typealias SamplingMessage = Winnow_Wire_V1_Sampling
package typealias SampleMessage = Winnow_Wire_V1_Sample
package typealias Outcome = Winnow_Wire_V1_Outcome
package typealias Release = Winnow_Wire_V1_Release

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

/// One message of an edge: an envelope and the tensor frames behind it.
package struct Message {
    package var envelope: Envelope
    package var tensors: [Frame]

    /// A message of this protocol version, ready to send.
    package init(
        epoch: UInt64 = 0, sequence: UInt64 = 0, _ body: Envelope.OneOf_Body, tensors: [Frame] = []
    ) {
        envelope = Envelope()
        envelope.version = Protocol.version
        envelope.epoch = epoch
        envelope.sequence = sequence
        envelope.body = body
        self.tensors = tensors
    }

    /// Reads a received message's frames, the peer's identity already taken off.
    ///
    /// Checks the version and that there is a body; what the body says is the reader's to check.
    package init(frames: some Collection<Frame>) throws(MessageError) {
        guard let first = frames.first else { throw MessageError("envelope", "the message has no frame") }
        do {
            envelope = try Envelope(serializedBytes: first.withBytes { [UInt8]($0) })
        } catch {
            throw MessageError("envelope", "not a protobuf envelope of \(first.count) bytes (\(error))")
        }
        // No release has version 0: such bytes happen to parse, but are no message.
        guard envelope.version != 0 else { throw MessageError("envelope", "no version") }
        guard envelope.version == Protocol.version else {
            throw MessageError(
                "envelope.version",
                "expected \(Protocol.version), found \(envelope.version); run the same Winnow release on every host")
        }
        guard envelope.body != nil else { throw MessageError("envelope.body", "missing or of an unknown kind") }
        tensors = Array(frames.dropFirst())
    }

    /// The frames to send, the peer's identity not among them.
    package func frames() throws -> [Frame] {
        let bytes: [UInt8] = try envelope.serializedBytes()
        return try [bytes.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }] + tensors
    }
}
