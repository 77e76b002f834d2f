import SwiftProtobuf

/// Packets to frames and back: the only place where bytes of the wire are made and read.
///
/// A received packet is checked for form; what its values must agree with (shapes, limits, who may say it) is the
/// reader's to check.
package enum Codec {
    /// The frames to send, the peer's name not among them.
    package static func frames(_ packet: Packet) throws -> [Frame] {
        let (kind, body) = try encoded(packet.message)
        let header = Header(kind: kind, epoch: packet.epoch, sequence: packet.sequence)
        var frames = [try Frame(header.bytes)]
        if let body { frames.append(try Frame(body)) }
        return frames + packet.tensors
    }

    /// Reads a message's frames, the peer's name already taken off.
    ///
    /// - Parameters:
    ///   - maxBody: the longest body that is decoded, bytes.
    ///   - isWanted: asked before the body is decoded.
    /// - Returns: `nil` for an epoch that is not wanted.
    package static func packet(
        _ frames: some RandomAccessCollection<Frame>, maxBody: Int, isWanted: (Epoch) -> Bool = { _ in true }
    ) throws(MessageError) -> Packet? {
        guard let first = frames.first else { throw MessageError("header", "the message has no frame") }
        let header = try first.withBytes { bytes throws(MessageError) in try Header(bytes) }
        guard isWanted(header.epoch) else { return nil }
        guard header.kind != .probe else {
            return Packet(epoch: header.epoch, sequence: header.sequence, .probe)
        }
        guard let body = frames.dropFirst().first else { throw MessageError("body", "missing") }
        guard body.count <= maxBody else {
            throw MessageError("body", "\(body.count) bytes, at most \(maxBody) are read")
        }
        let message = try decoded(header.kind, body.withBytes { [UInt8]($0) })
        return Packet(
            epoch: header.epoch, sequence: header.sequence, message, tensors: Array(frames.dropFirst(2)))
    }

    private static func encoded(_ message: Message) throws -> (Header.Kind, [UInt8]?) {
        switch message {
        case .report(let report): (.report, try Winnow_Wire_V3_Report(report).serializedBytes())
        case .desired(let desired): (.desired, try Winnow_Wire_V3_Desired(desired).serializedBytes())
        case .probe: (.probe, nil)
        case .microBatch(let microBatch): (.microBatch, try Winnow_Wire_V3_MicroBatch(microBatch).serializedBytes())
        case .outcome(let outcome): (.outcome, try Winnow_Wire_V3_Outcome(outcome).serializedBytes())
        case .release(let requests):
            (.release, try Winnow_Wire_V3_Release.with { $0.requests = requests }.serializedBytes())
        case .score(let score): (.score, try Winnow_Wire_V3_Score(score).serializedBytes())
        case .scored(let scored): (.scored, try Winnow_Wire_V3_Scored(scored).serializedBytes())
        }
    }

    private static func decoded(_ kind: Header.Kind, _ bytes: [UInt8]) throws(MessageError) -> Message {
        do {
            switch kind {
            case .report: return .report(try Report(Winnow_Wire_V3_Report(serializedBytes: bytes)))
            case .desired: return .desired(try Desired(Winnow_Wire_V3_Desired(serializedBytes: bytes)))
            case .probe: return .probe
            case .microBatch: return .microBatch(try WireMicroBatch(Winnow_Wire_V3_MicroBatch(serializedBytes: bytes)))
            case .outcome: return .outcome(try WireOutcome(Winnow_Wire_V3_Outcome(serializedBytes: bytes)))
            case .release: return .release(try Winnow_Wire_V3_Release(serializedBytes: bytes).requests)
            case .score: return .score(try WireScore(Winnow_Wire_V3_Score(serializedBytes: bytes)))
            case .scored: return .scored(WireScored(try Winnow_Wire_V3_Scored(serializedBytes: bytes)))
            }
        } catch let error as MessageError {
            throw error
        } catch {
            throw MessageError("body", "not a \(kind) of \(bytes.count) bytes (\(error))")
        }
    }
}
