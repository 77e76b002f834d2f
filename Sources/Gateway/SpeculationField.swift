// The request's `speculative_prefill`: what a caller may say about the pruning of one prompt.

import OutsideText
import Speculation

/// `true`, `false`, or an object; everything not said stays as the service has it.
struct SpeculationField: Decodable, Equatable, Sendable {
    static let name = "speculative_prefill"
    static let names: Set<String> = [
        "enabled", "keep_rate", "look_ahead", "selection", "chunk", "stride", "pool", "tail", "threshold", "keep_head",
        "keep_spans",
    ]

    /// An object without `enabled` asks for pruning: nobody tunes what they do not want.
    var enabled: Bool
    var keepRate: Double?
    var lookAhead: Int?
    var selection: SelectionMode?
    var chunk: Int?
    var stride: Int?
    var pool: Int?
    var tail: Int?
    var threshold: Int?
    var keepHead: Bool?
    /// Half-open ranges of prompt indices to keep whatever their importance.
    var keepSpans: [Range<Int>] = []

    init(from decoder: any Decoder) throws {
        if let flag = try? decoder.singleValueContainer().decode(Bool.self) {
            enabled = flag
            return
        }
        guard (try? decoder.container(keyedBy: FieldName.self)) != nil else {
            throw APIError.wrongType(
                Self.name, expected: "true, false or an object", found: Fields.kind(of: decoder))
        }
        let fields = try Fields(decoder, called: Self.name)
        try fields.refuseUnknown(Self.names)
        enabled = try fields.boolean("enabled") ?? true
        keepRate = try fields.number("keep_rate")
        lookAhead = try fields.integer("look_ahead")
        chunk = try fields.integer("chunk")
        stride = try fields.integer("stride")
        pool = try fields.integer("pool")
        tail = try fields.integer("tail")
        threshold = try fields.integer("threshold")
        keepHead = try fields.boolean("keep_head")
        if let mode = try fields.string("selection") {
            selection = SelectionMode(rawValue: mode)
            if selection == nil {
                let known = SelectionMode.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
                throw APIError.invalid(
                    fields.place("selection"),
                    "'\(fields.place("selection"))' is \"\(mode.shown)\"; known are \(known).")
            }
        }
        keepSpans = try Self.spans(fields)
    }

    private static func spans(_ fields: Fields) throws -> [Range<Int>] {
        let place = fields.place("keep_spans")
        let expected = "an array of [start, end] pairs of token indices"
        let pairs: [[Int]] = try fields.value("keep_spans", expected: expected) ?? []
        return try pairs.enumerated().map { index, pair in
            guard pair.count == 2, pair[0] >= 0, pair[0] < pair[1] else {
                throw APIError.invalid(
                    "\(place)[\(index)]",
                    "'\(place)[\(index)]' is \("\(pair.prefix(20))".shown); a span is [start, end] with 0 <= start < end."
                )
            }
            return pair[0]..<pair[1]
        }
    }

    /// The parameters of this request: `base` with what the caller said.
    func applied(to base: SpeculationParameters) -> SpeculationParameters {
        var parameters = base
        parameters.enabled = enabled
        if let keepRate { parameters.keepRate = keepRate }
        if let lookAhead { parameters.lookAhead = lookAhead }
        if let selection { parameters.selection = selection }
        if let chunk { parameters.chunk = chunk }
        if let stride { parameters.stride = stride }
        if let pool { parameters.pool = pool }
        if let tail { parameters.tail = tail }
        if let threshold { parameters.threshold = threshold }
        if let keepHead { parameters.keepHead = keepHead }
        return parameters
    }
}
