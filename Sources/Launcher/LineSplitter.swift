// Bytes of a pipe to lines of text, in bounded memory.

/// Cuts a byte stream into lines. A line longer than ``limit`` comes out in pieces.
package struct LineSplitter {
    /// Longest line, in bytes.
    package static let limit = 16_384
    private var pending: [UInt8] = []

    /// A splitter at the start of a stream.
    package init() {}

    /// The lines that end in `bytes`, without their newline (or CR LF).
    package mutating func append(_ bytes: some Sequence<UInt8>) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
                lines.append(take())
            } else {
                pending.append(byte)
                if pending.count == Self.limit { lines.append(take()) }
            }
        }
        return lines
    }

    /// The last line, where the stream ended without a newline.
    package mutating func finish() -> String? { pending.isEmpty ? nil : take() }

    private mutating func take() -> String {
        defer { pending.removeAll(keepingCapacity: true) }
        return String(decoding: pending, as: UTF8.self)
    }
}
