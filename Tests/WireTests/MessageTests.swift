import SwiftProtobuf
import Testing
import Wire

@Suite("Messages")
struct MessageTests {
    private func frame(_ bytes: [UInt8]) throws -> Frame {
        try bytes.withUnsafeBytes { bytes throws(ZeroMQError) in try Frame(copying: bytes) }
    }

    @Test func whatIsSentIsRead() throws {
        var batch = MicroBatchMessage()
        batch.id = 9
        var segment = SegmentMessage()
        segment.request = 4
        segment.positions = [1, 5, 9]
        batch.segments = [segment]
        let sent = Message(epoch: 3, sequence: 17, .microBatch(batch), tensors: [try frame([1, 2, 3, 4])])
        let read = try Message(frames: try sent.frames())
        #expect(read.envelope == sent.envelope)
        #expect(read.envelope.epoch == 3 && read.envelope.sequence == 17)
        #expect(read.tensors.count == 1)
        #expect(read.tensors[0].withBytes { Array($0) } == [1, 2, 3, 4])
    }

    @Test func anotherVersionIsNamed() throws {
        var envelope = Message(.heartbeatReply(HeartbeatReply())).envelope
        envelope.version = 99
        let bytes: [UInt8] = try envelope.serializedBytes()
        let frames = [try frame(bytes)]
        let error = #expect(throws: MessageError.self) { try Message(frames: frames) }
        #expect(error?.field == "envelope.version")
        #expect(error?.problem.contains("99") == true)
    }

    @Test func nothingAndEmptinessAreErrors() throws {
        #expect(throws: MessageError.self) { try Message(frames: [Frame]()) }
        let empty = [try frame([])]
        #expect(throws: MessageError.self) { try Message(frames: empty) }
    }

    /// No bytes crash the reader: truncations and flipped bits of a real message.
    @Test func damagedBytesAreErrorsOrOtherMessages() throws {
        var batch = MicroBatchMessage()
        var segment = SegmentMessage()
        segment.positions = Array(0..<64)
        segment.tokens = Array(0..<64)
        segment.opening.kvRows = 5
        batch.segments = [segment, segment]
        let bytes: [UInt8] = try Message(epoch: 1, sequence: 2, .microBatch(batch)).envelope.serializedBytes()
        var errors = 0
        for count in 0..<bytes.count {
            do { _ = try Message(frames: [try frame(Array(bytes.prefix(count)))]) } catch is MessageError {
                errors += 1
            }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[index] ^= 1 << bit
                do { _ = try Message(frames: [try frame(damaged)]) } catch is MessageError { errors += 1 }
            }
        }
        #expect(errors > bytes.count / 2)
    }

    @Test func anEdgeSeesLossDoublingAndOldEpochs() {
        var check = SequenceCheck(epoch: 5)
        #expect(check.check(epoch: 5, sequence: 1) == .inOrder)
        #expect(check.check(epoch: 4, sequence: 2) == .stale)
        #expect(check.check(epoch: 5, sequence: 2) == .inOrder)
        #expect(check.check(epoch: 5, sequence: 2) == .gap(expected: 3, found: 2))
        #expect(check.check(epoch: 5, sequence: 4) == .gap(expected: 3, found: 4))
        #expect(check.check(epoch: 6, sequence: 3) == .stale)
        #expect(check.check(epoch: 5, sequence: 3) == .inOrder)
    }
}
