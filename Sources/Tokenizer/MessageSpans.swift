// Which stretch of a rendered conversation belongs to which of its messages.

internal import Jinja

/// The bytes of every owner in a rendered conversation.
///
/// A message's bytes are its own words and what the template writes around them: its header, its end mark. Most of that is
/// known from the rendering, because the template writes it while a loop stands at the message or joins it to the message's
/// words. What it writes otherwise between the words of two is divided here: the first mark behind words closes them, the
/// rest opens the next words, unless those bring a header of their own.
struct MessageSpans {
    /// By owner, ascending and apart.
    private(set) var spans: [UInt32: [Range<Int>]] = [:]

    /// - Parameters:
    ///   - text: the conversation.
    ///   - bos: the BOS mark's bytes, which belong to nobody.
    ///   - markEnd: the end of the first special token in a range of the text, and of the white space behind it.
    init(_ text: Text, bos: [UInt8], markEnd: (Range<Int>) -> Int?) {
        let pieces = Self.pieces(text)
        for (index, piece) in pieces.enumerated() {
            guard piece.origin.owner == 0 else {
                add(piece.range, piece.origin.owner)
                continue
            }
            let before = index > 0 ? pieces[index - 1].origin : nil
            let after = index + 1 < pieces.count ? pieces[index + 1].origin : nil
            divide(piece.range, before, after, text.bytes, bos, markEnd)
        }
    }

    private struct Piece {
        var range: Range<Int>
        var origin: Origin
    }

    private static func pieces(_ text: Text) -> [Piece] {
        var start = 0
        return text.runs.map { run in
            defer { start = run.end }
            return Piece(range: start..<run.end, origin: run.origin)
        }
    }

    private mutating func add(_ range: Range<Int>, _ owner: UInt32) {
        guard !range.isEmpty else { return }
        var own = spans[owner] ?? []
        if let last = own.last, last.upperBound == range.lowerBound {
            own[own.count - 1] = last.lowerBound..<range.upperBound
        } else {
            own.append(range)
        }
        spans[owner] = own
    }

    /// Gives the template's words in `range` to the owners of what stands before and after them.
    private mutating func divide(
        _ range: Range<Int>, _ before: Origin?, _ after: Origin?, _ bytes: [UInt8], _ bos: [UInt8],
        _ markEnd: (Range<Int>) -> Int?
    ) {
        if let before, let after, before.owner == after.owner { return add(range, before.owner) }
        // JSON around a tool's words is no mark: what stands beside it is.
        func isOpen(_ origin: Origin) -> Bool { origin.isInput || origin.owner == ChatOwner.tools }
        let opens = after.map(isOpen) ?? false
        var start = range.lowerBound
        if let before, isOpen(before) {
            let end = markEnd(range) ?? (opens ? Self.lineEnd(bytes, range) : range.upperBound)
            add(start..<end, before.owner)
            start = end
        }
        guard let after, opens else { return }
        if start + bos.count <= range.upperBound, !bos.isEmpty, bytes[start...].starts(with: bos) { start += bos.count }
        add(start..<range.upperBound, after.owner)
    }

    /// Behind the first line break in `range` and those that follow it; the start where there is none.
    private static func lineEnd(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
        guard let first = bytes[range].firstIndex(of: 0x0A) else { return range.lowerBound }
        return bytes[first..<range.upperBound].firstIndex { $0 != 0x0A } ?? range.upperBound
    }
}
