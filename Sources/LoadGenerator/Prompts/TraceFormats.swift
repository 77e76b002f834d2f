// The trace formats: lines of a file to arrivals, with the line number of whatever is wrong in them.

import Foundation

extension Trace {
    /// How a trace file is written.
    public enum Format: String, Sendable, CaseIterable {
        /// CSV of the Azure LLM inference traces: columns `TIMESTAMP` (date and time, any count of fraction digits),
        /// `ContextTokens` and `GeneratedTokens`, in any order, among others.
        case azure
        /// JSON lines of the Mooncake traces: `timestamp` in milliseconds, `input_length`, `output_length` and
        /// `hash_ids`, the ids of the prompt's 512-token blocks.
        case mooncake
        /// JSON lines of `time` in seconds, `prompt_tokens` and `output_tokens`; other fields are ignored.
        case jsonl

        var expectation: String {
            switch self {
            case .azure: "a header TIMESTAMP,ContextTokens,GeneratedTokens and a line for each request"
            case .mooncake: #"lines of {"timestamp": 27, "input_length": 6758, "output_length": 500, "hash_ids": [0]}"#
            case .jsonl: #"lines of {"time": 0.5, "prompt_tokens": 512, "output_tokens": 16}"#
            }
        }

        func arrivals(of lines: TraceLines) throws(LoadGeneratorError) -> [TraceArrival] {
            switch self {
            case .azure: try AzureTrace.arrivals(of: lines, expectation: expectation)
            case .mooncake: try MooncakeLine.arrivals(of: lines, expectation: expectation)
            case .jsonl: try PlainLine.arrivals(of: lines, expectation: expectation)
            }
        }
    }
}

/// One line of a trace, in file order.
struct TraceArrival {
    /// Nanoseconds from a zero of the file's own, 0...9e18.
    var time: Int64
    var promptTokens: Int
    /// May be 0.
    var outputTokens: Int
    var blocks: [Int] = []

    /// In nanoseconds.
    private static let latest = 9e18

    /// - Parameters:
    ///   - time: from the zero of the file, in units of its own.
    ///   - unit: nanoseconds.
    static func time(_ time: Double, unit: Int64, field: String, place: String) throws(LoadGeneratorError) -> Int64 {
        guard time.isFinite, time >= 0 else {
            throw LoadGeneratorError(.prompts, place, "\(field) \(time) must be a finite time of at least 0")
        }
        guard time * Double(unit) <= latest else {
            throw LoadGeneratorError(.prompts, place, "\(field) \(time) is over 280 years: is it in another unit?")
        }
        // Apart, because nanoseconds since 1970 do not fit a Double.
        let whole = time.rounded(.down)
        return Int64(whole) * unit + Int64(((time - whole) * Double(unit)).rounded())
    }

    static func check(_ tokens: Int, least: Int, field: String, place: String) throws(LoadGeneratorError) -> Int {
        guard tokens >= least, tokens <= Trace.maximumTokens else {
            throw LoadGeneratorError(
                .prompts, place, "\(field) \(tokens) must be a whole number of \(least) to \(Trace.maximumTokens)")
        }
        return tokens
    }
}

/// The lines of a file that are not blank, with their numbers.
struct TraceLines: Sequence, IteratorProtocol {
    let name: String
    private let bytes: [UInt8]
    private var position = 0
    private var number = 0

    /// - Throws: a prompts error for bytes that are not UTF-8, or too many lines.
    init(_ contents: Data, name: String, limit: Int) throws(LoadGeneratorError) {
        self.name = name
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        bytes = Array(contents.starts(with: mark) ? contents.dropFirst(3) : contents)
        let count = bytes.reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 } + (bytes.last == 10 ? 0 : 1)
        guard count <= limit else {
            throw LoadGeneratorError(
                .prompts, "\(name):\(limit + 1)", "one of \(count) lines, over the limit of \(limit): cut the file")
        }
        guard String(validating: bytes, as: UTF8.self) == nil else { return }
        for line in self where String(validating: line.bytes, as: UTF8.self) == nil {
            throw LoadGeneratorError(.prompts, line.place, "not UTF-8 text: expected a text file")
        }
        throw LoadGeneratorError(.prompts, name, "not UTF-8 text: expected a text file")
    }

    struct Line {
        var bytes: ArraySlice<UInt8>
        /// `file:line`.
        var place: String
    }

    mutating func next() -> Line? {
        while position < bytes.count {
            let rest = bytes[position...]
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            position = end + 1
            number += 1
            let line = Self.trimmed(rest[..<end])
            if !line.isEmpty { return Line(bytes: line, place: "\(name):\(number)") }
        }
        return nil
    }

    /// Without spaces, tabs and carriage returns at both ends.
    static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        var text = text
        while let last = text.last, isBlank(last) { text = text.dropLast() }
        while let first = text.first, isBlank(first) { text = text.dropFirst() }
        return text
    }
}

/// The CSV of the Azure LLM inference traces (Patel et al., "Splitwise", ISCA 2024; the 2024 files add a time zone).
private enum AzureTrace {
    private static let columns = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]

    static func arrivals(of lines: TraceLines, expectation: String) throws(LoadGeneratorError) -> [TraceArrival] {
        var lines = lines
        guard let header = lines.next() else { return [] }
        let names = fields(of: header).map { String(decoding: $0, as: UTF8.self) }
        var places: [Int] = []
        for column in columns {
            guard let place = names.firstIndex(of: column) else {
                throw LoadGeneratorError(.prompts, header.place, "has no column \(column): expected \(expectation)")
            }
            places.append(place)
        }
        var arrivals: [TraceArrival] = []
        while let line = lines.next() {
            let fields = fields(of: line)
            guard fields.count == names.count else {
                throw LoadGeneratorError(
                    .prompts, line.place, "has \(fields.count) columns, and the header has \(names.count)")
            }
            guard let time = Timestamp.nanoseconds(fields[places[0]]) else {
                throw LoadGeneratorError(
                    .prompts, line.place,
                    "\(columns[0]) '\(String(decoding: fields[places[0]].prefix(40), as: UTF8.self))' must be a time "
                        + "such as 2023-11-16 18:17:03.9799600, from 1970 to 2199")
            }
            arrivals.append(
                TraceArrival(
                    time: time,
                    promptTokens: try count(fields[places[1]], least: 1, field: columns[1], place: line.place),
                    outputTokens: try count(fields[places[2]], least: 0, field: columns[2], place: line.place)))
        }
        return arrivals
    }

    private static func fields(of line: TraceLines.Line) -> [ArraySlice<UInt8>] {
        line.bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map(TraceLines.trimmed)
    }

    private static func count(
        _ field: ArraySlice<UInt8>, least: Int, field name: String, place: String
    ) throws(LoadGeneratorError) -> Int {
        let text = String(decoding: field, as: UTF8.self)
        guard let number = Int(text) else {
            throw LoadGeneratorError(
                .prompts, place,
                "\(name) '\(text.prefix(40))' must be a whole number of \(least) to \(Trace.maximumTokens)")
        }
        return try TraceArrival.check(number, least: least, field: name, place: place)
    }
}

/// Dates with a time of day, in the one form the traces use.
private enum Timestamp {
    /// Reads `2023-11-16 18:17:03.9799600`, with an optional `Z` or `+01:00` behind it.
    ///
    /// - Returns: nanoseconds since 1970, or nil when it is something else or outside 1970...2199. Fraction digits
    ///   after the ninth are dropped.
    static func nanoseconds(_ text: ArraySlice<UInt8>) -> Int64? {
        var rest = text
        guard let year = number(&rest, digits: 4, in: 1970...2199), skip("-", &rest),
            let month = number(&rest, digits: 2, in: 1...12), skip("-", &rest),
            let day = number(&rest, digits: 2, in: 1...days(in: month, of: year)), skip(" ", &rest) || skip("T", &rest),
            let hour = number(&rest, digits: 2, in: 0...23), skip(":", &rest),
            let minute = number(&rest, digits: 2, in: 0...59), skip(":", &rest),
            let second = number(&rest, digits: 2, in: 0...59), let fraction = fraction(&rest), let zone = zone(&rest),
            rest.isEmpty
        else { return nil }
        let seconds = (dayNumber(year, month, day) * 24 + hour) * 3600 + (minute - zone) * 60 + second
        return seconds < 0 ? nil : Int64(seconds) * 1_000_000_000 + fraction
    }

    private static func skip(_ character: Unicode.Scalar, _ rest: inout ArraySlice<UInt8>) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    private static func digit(_ byte: UInt8?) -> Int? {
        guard let byte, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        return Int(byte) - 48
    }

    private static func number(_ rest: inout ArraySlice<UInt8>, digits: Int, in range: ClosedRange<Int>) -> Int? {
        var value = 0
        for _ in 0..<digits {
            guard let digit = digit(rest.first) else { return nil }
            value = value * 10 + digit
            rest = rest.dropFirst()
        }
        return range.contains(value) ? value : nil
    }

    /// - Returns: nanoseconds; 0 when there is no fraction, nil when there is a point and no digit.
    private static func fraction(_ rest: inout ArraySlice<UInt8>) -> Int64? {
        guard skip(".", &rest) else { return 0 }
        guard digit(rest.first) != nil else { return nil }
        var value: Int64 = 0
        var unit: Int64 = 100_000_000
        while let digit = digit(rest.first) {
            value += Int64(digit) * unit
            unit /= 10
            rest = rest.dropFirst()
        }
        return value
    }

    /// - Returns: minutes east of Greenwich.
    private static func zone(_ rest: inout ArraySlice<UInt8>) -> Int? {
        if rest.isEmpty || skip("Z", &rest) { return 0 }
        let isWest = rest.first == UInt8(ascii: "-")
        guard isWest || rest.first == UInt8(ascii: "+") else { return nil }
        rest = rest.dropFirst()
        guard let hours = number(&rest, digits: 2, in: 0...14), skip(":", &rest),
            let minutes = number(&rest, digits: 2, in: 0...59)
        else { return nil }
        return (hours * 60 + minutes) * (isWest ? -1 : 1)
    }

    private static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
    private static func dayNumber(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return year * 365 + year / 4 - year / 100 + year / 400 + dayOfYear - 719_468
    }
}
