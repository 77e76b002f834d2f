// Long frames travel in pieces, so that a socket need not take a long frame of anybody: not even of a stranger, whose
// handshake libzmq reads whole before it looks at it.

/// A frame is sent as pieces of exactly ``size`` bytes and a shorter one, which may be empty.
package enum Pieces {
    /// Bytes.
    package static let size = 1 << 16

    /// The frames as they travel. Pieces of a long frame lie in its memory.
    package static func split(_ frames: [Frame]) throws(ZeroMQError) -> [Frame] {
        guard frames.contains(where: { $0.count >= size }) else { return frames }
        var pieces: [Frame] = []
        for frame in frames {
            guard frame.count >= size else {
                pieces.append(frame)
                continue
            }
            for start in stride(from: 0, through: frame.count, by: size) {
                pieces.append(try frame.part(start..<min(start + size, frame.count)))
            }
        }
        return pieces
    }

    /// The frames as they were before they were split.
    ///
    /// - Throws: where the last is not ended, or one is longer than `limit` bytes.
    package static func join(
        _ pieces: some RandomAccessCollection<Frame>, limit: Int
    ) throws(MessageError) -> [Frame] {
        guard pieces.contains(where: { $0.count >= size }) else { return Array(pieces) }
        var frames: [Frame] = []
        var run: [Frame] = []
        var length = 0
        for piece in pieces {
            guard piece.count <= size else {
                throw MessageError(
                    "frames[\(frames.count)]", "a piece of \(piece.count) bytes, at most \(size) expected")
            }
            length += piece.count
            guard length <= limit else {
                throw MessageError("frames[\(frames.count)]", "over \(limit) bytes")
            }
            run.append(piece)
            guard piece.count < size else { continue }
            frames.append(run.count == 1 ? piece : try joined(run, length))
            run = []
            length = 0
        }
        guard run.isEmpty else { throw MessageError("frames[\(frames.count)]", "its end is missing") }
        return frames
    }

    private static func joined(_ run: [Frame], _ length: Int) throws(MessageError) -> Frame {
        do throws(ZeroMQError) {
            return try Frame(size: length) { target in
                var start = 0
                for piece in run {
                    piece.withBytes { bytes in
                        UnsafeMutableRawBufferPointer(rebasing: target[start..<start + bytes.count]).copyMemory(
                            from: bytes)
                    }
                    start += piece.count
                }
            }
        } catch {
            throw MessageError("frames", "\(error)")
        }
    }
}
