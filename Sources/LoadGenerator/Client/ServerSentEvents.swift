// Bytes of an event stream to events, wherever the network cut them.

/// One event of a `text/event-stream` (WHATWG HTML, section 9.2).
public struct ServerSentEvent: Sendable, Equatable {
    /// The `event` field; `message` when there was none.
    public var name: String
    /// The `data` lines joined by line feeds, as raw bytes: nothing is promised about their encoding.
    public var data: [UInt8]

    /// Makes an event.
    public init(name: String, data: [UInt8]) {
        self.name = name
        self.data = data
    }
}

/// An event stream that breaks the parser's bounds.
public struct ServerSentEventError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The bound that was passed, in bytes.
    public let limit: Int
    /// What to read in a report.
    public var description: String { "an event of the stream is longer than \(limit) bytes" }
}

/// An incremental parser: feed it bytes as they come, get the events that are complete.
///
/// Memory is bounded by one event. What stands in the buffer at the end of the stream is not an event, as the
/// standard says: ``hasPartialEvent`` tells.
public struct ServerSentEventParser: Sendable {
    private let limit: Int
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var name: [UInt8] = []
    /// The last byte was a carriage return: a line feed now belongs to it.
    private var afterCarriageReturn = false
    private var isFirstLine = true

    /// - Parameter limit: the greatest size of an event (and of a line), in bytes.
    public init(limit: Int = 4 << 20) {
        self.limit = limit
    }

    /// Whether bytes of an unfinished event are held.
    public var hasPartialEvent: Bool { !line.isEmpty || hasData }

    /// Takes the next bytes of the stream and returns the events they complete, in order.
    ///
    /// - Throws: when a line or an event passes the limit; the parser is of no use after that.
    public mutating func append(_ bytes: some Sequence<UInt8>) throws(ServerSentEventError) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            let endsPair = afterCarriageReturn && byte == UInt8(ascii: "\n")
            afterCarriageReturn = byte == UInt8(ascii: "\r")
            if endsPair { continue }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                if let event = endLine() { events.append(event) }
            } else {
                line.append(byte)
            }
            guard line.count + data.count <= limit else { throw ServerSentEventError(limit: limit) }
        }
        return events
    }

    private mutating func endLine() -> ServerSentEvent? {
        defer {
            line.removeAll(keepingCapacity: true)
            isFirstLine = false
        }
        if isFirstLine, line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
        guard !line.isEmpty else { return endEvent() }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        var value = line[colon...].dropFirst()
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        // Comments have an empty field name; `id`, `retry` and unknown fields mean nothing here.
        if line[..<colon].elementsEqual("data".utf8) {
            if hasData { data.append(UInt8(ascii: "\n")) }
            data.append(contentsOf: value)
            hasData = true
        } else if line[..<colon].elementsEqual("event".utf8) {
            name = Array(value)
        }
        return nil
    }

    private mutating func endEvent() -> ServerSentEvent? {
        defer {
            data = []
            hasData = false
            name = []
        }
        guard hasData else { return nil }
        return ServerSentEvent(name: name.isEmpty ? "message" : String(decoding: name, as: UTF8.self), data: data)
    }
}
