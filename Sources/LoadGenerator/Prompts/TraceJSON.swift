// JSON-lines traces: objects of two known shapes to arrivals, and what is wrong with a line of neither.

import Foundation

/// One line of a JSON-lines trace, decoded straight into its fields: a line may have hundreds of block ids.
protocol TraceLine: Decodable {
    /// The names of the fields in the file; `blocks` is nil when the shape has none.
    static var names: (time: String, promptTokens: String, outputTokens: String, blocks: String?) { get }
    /// Nanoseconds of a unit of time.
    static var unit: Int64 { get }

    /// In units of the file's own.
    var time: Double { get }
    var promptTokens: Int { get }
    var outputTokens: Int { get }
    var blocks: [Int]? { get }
}

/// A line of the Mooncake traces (Qin et al., "Mooncake", FAST 2025).
struct MooncakeLine: TraceLine {
    static let names = (
        time: "timestamp", promptTokens: "input_length", outputTokens: "output_length", blocks: "hash_ids" as String?
    )
    static let unit: Int64 = 1_000_000

    var time: Double
    var promptTokens: Int
    var outputTokens: Int
    var blocks: [Int]?

    private enum CodingKeys: String, CodingKey {
        case time = "timestamp"
        case promptTokens = "input_length"
        case outputTokens = "output_length"
        case blocks = "hash_ids"
    }
}

/// A line of the plain form.
struct PlainLine: TraceLine {
    static let names = (
        time: "time", promptTokens: "prompt_tokens", outputTokens: "output_tokens", blocks: nil as String?
    )
    static let unit: Int64 = 1_000_000_000

    var time: Double
    var promptTokens: Int
    var outputTokens: Int
    var blocks: [Int]? { nil }

    private enum CodingKeys: String, CodingKey {
        case time
        case promptTokens = "prompt_tokens"
        case outputTokens = "output_tokens"
    }
}

extension TraceLine {
    static func arrivals(of lines: TraceLines, expectation: String) throws(LoadGeneratorError) -> [TraceArrival] {
        let decoder = JSONDecoder()
        var arrivals: [TraceArrival] = []
        for line in lines {
            let data = Data(line.bytes)
            guard let fields = try? decoder.decode(Self.self, from: data) else {
                throw mistake(in: data, place: line.place, expectation: expectation)
            }
            arrivals.append(try fields.arrival(place: line.place))
        }
        return arrivals
    }

    private func arrival(place: String) throws(LoadGeneratorError) -> TraceArrival {
        let names = Self.names
        return TraceArrival(
            time: try TraceArrival.time(time, unit: Self.unit, field: "\"\(names.time)\"", place: place),
            promptTokens: try TraceArrival.check(
                promptTokens, least: 1, field: "\"\(names.promptTokens)\"", place: place),
            outputTokens: try TraceArrival.check(
                outputTokens, least: 0, field: "\"\(names.outputTokens)\"", place: place),
            blocks: blocks ?? [])
    }

    /// What is wrong with a line that did not decode.
    private static func mistake(in line: Data, place: String, expectation: String) -> LoadGeneratorError {
        func error(_ problem: String) -> LoadGeneratorError { LoadGeneratorError(.prompts, place, problem) }
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: line) else {
            return error("not valid JSON, or a number out of all range: expected \(expectation)")
        }
        guard case .object(let fields) = value else { return error("not a JSON object: expected \(expectation)") }
        if let missing = [names.time, names.promptTokens, names.outputTokens].first(where: { fields[$0] == nil }) {
            return error("has no \"\(missing)\": expected \(expectation)")
        }
        switch fields[names.time] {
        case .integer, .number: break
        default: return error("\"\(names.time)\" must be a number: expected \(expectation)")
        }
        for (field, least) in [(names.promptTokens, 1), (names.outputTokens, 0)] {
            guard case .integer = fields[field] else {
                return error("\"\(field)\" must be a whole number of \(least) to \(Trace.maximumTokens)")
            }
        }
        return error("\"\(names.blocks ?? names.time)\" must be an array of whole numbers: expected \(expectation)")
    }
}
