// Ends a text at the first stop string in it.

/// Looks for stop strings in a text that comes in parts.
///
/// The text ends as soon as one of the stops is complete; if several are complete at the same byte, the one that
/// began first counts. So the result does not depend on how the text was cut into parts. Only what may yet become a
/// stop is held back.
public struct StopMatcher: Sendable {
    /// One stop string with its Knuth-Morris-Pratt failure table and how much of it the text now ends with.
    private struct Stop {
        let bytes: [UInt8]
        let failures: [Int]
        var matched = 0

        init(_ text: String) {
            bytes = Array(text.utf8)
            var failures = [Int](repeating: 0, count: bytes.count)
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0, bytes[index] != bytes[length] { length = failures[length - 1] }
                if bytes[index] == bytes[length] { length += 1 }
                failures[index] = length
            }
            self.failures = failures
        }

        mutating func advance(_ byte: UInt8) {
            while matched > 0, bytes[matched] != byte { matched = failures[matched - 1] }
            if bytes[matched] == byte { matched += 1 }
        }
    }

    private var stops: [Stop]
    /// The end of the text, as far as it may be the beginning of a stop.
    private var held: [UInt8] = []
    /// Whether a stop string was found; nothing more is emitted then.
    public private(set) var isStopped = false

    /// Looks for any of `stops`; empty ones are ignored.
    public init(_ stops: [String]) {
        self.stops = stops.filter { !$0.isEmpty }.map(Stop.init)
    }

    /// The text that is safe to emit now that `text` has come: nothing of it can belong to a stop string.
    public mutating func append(_ text: String) -> String {
        guard !isStopped else { return "" }
        guard !stops.isEmpty else { return text }
        for byte in text.utf8 {
            held.append(byte)
            var complete = 0
            for index in stops.indices {
                stops[index].advance(byte)
                if stops[index].matched == stops[index].bytes.count {
                    complete = max(complete, stops[index].matched)
                }
            }
            if complete > 0 {
                isStopped = true
                held.removeLast(complete)
                defer { held = [] }
                return String(decoding: held, as: UTF8.self)
            }
        }
        let possible = stops.reduce(0) { max($0, $1.matched) }
        let safe = held.count - possible
        defer { held.removeFirst(safe) }
        return String(decoding: held[..<safe], as: UTF8.self)
    }

    /// The text held back, once it is known that no more comes.
    public mutating func finish() -> String {
        defer { held = [] }
        return isStopped ? "" : String(decoding: held, as: UTF8.self)
    }
}
