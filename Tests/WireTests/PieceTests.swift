import Testing
import Wire

/// Long frames, in pieces and whole again.
@Suite("Pieces")
struct PieceTests {
    private func frame(_ count: Int) throws -> Frame {
        try Frame(size: count) { for index in 0..<count { $0[index] = UInt8(truncatingIfNeeded: index &* 31 >> 3) } }
    }

    @Test(
        arguments: [
            [32], [0], [], [32, 65535], [32, 65536], [32, 65537, 0, 131_072, 5], [65536, 65536], [1 << 20],
        ])
    func whatIsSplitIsJoined(counts: [Int]) throws {
        let frames = try counts.map { try frame($0) }
        let pieces = try Pieces.split(frames)
        #expect(pieces.allSatisfy { $0.count <= Pieces.size })
        let joined = try Pieces.join(pieces, limit: 1 << 21)
        #expect(joined.map { $0.withBytes { Array($0) } } == frames.map { $0.withBytes { Array($0) } })
    }

    @Test(
        arguments: [
            ([32, 65536], "its end is missing"), ([65537], "a piece of 65537 bytes"),
            ([65536, 65536, 65536, 1], "over 131073 bytes"),
        ])
    func whatIsNoneIsRefused(counts: [Int], says: String) throws {
        let frames = try counts.map { try frame($0) }
        let error = #expect(throws: MessageError.self) { _ = try Pieces.join(frames, limit: 131_073) }
        #expect(error?.problem.contains(says) == true, "\(String(describing: error))")
    }
}
