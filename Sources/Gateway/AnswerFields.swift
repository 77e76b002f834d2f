// The fields that completions and chat completions share.

import Transformer

/// How to answer, as the request says it; what it leaves out is `nil` or OpenAI's default.
struct AnswerFields: Sendable {
    static let names: Set<String> = [
        "model", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "stream", "stream_options", "ignore_eos",
        "logprobs", "max_tokens", "n", "best_of", SpeculationField.name,
    ]

    var model: String
    /// Answers to give to each prompt, at least 1.
    var count: Int
    private var sampling: SamplingParameters
    private var hasSeed: Bool
    var stop: [String]
    var stream: Bool
    var streamOptions: StreamOptions
    var ignoreEOS: Bool
    var speculation: SpeculationField?

    /// Reads the shared fields; `own` are the names only this endpoint has.
    init(_ fields: Fields, own: Set<String>) throws {
        let known = Self.names.union(own).union(UnsupportedFields.ignored).union(UnsupportedFields.neutral.keys)
        try fields.refuseUnknown(known) { name in
            SpeculationField.names.contains(name)
                ? "It belongs inside '\(SpeculationField.name)'." : "Check its spelling."
        }
        try UnsupportedFields.refuse(in: fields, except: own)
        guard let model = try fields.string("model") else {
            throw APIError.invalid("model", "'model' is missing: GET /v1/models lists what is served.")
        }
        self.model = model
        count = try Self.count(fields)
        sampling = try Self.sampling(fields)
        hasSeed = fields.has("seed")
        stop = try Self.stops(fields)
        stream = try fields.boolean("stream") ?? false
        streamOptions = try StreamOptions.read(fields, stream: stream)
        ignoreEOS = try fields.boolean("ignore_eos") ?? false
        speculation = try fields.value(SpeculationField.name, expected: "true, false or an object")
    }

    /// How to sample the `index`-th answer to a prompt. A seed belongs to the first answer, and the next numbers to the
    /// others; without one, every answer has its own.
    func sampling(of index: Int) -> SamplingParameters {
        var sampling = sampling
        sampling.seed = hasSeed ? sampling.seed &+ UInt64(index) : UInt64.random(in: .min ... .max)
        return sampling
    }

    /// Reads how many tokens the answer may have. Where several of `names` say it, the first of them counts.
    static func maxTokens(_ fields: Fields, names: [String], atLeast least: Int = 1) throws -> Int? {
        var counts: [Int] = []
        for name in names {
            guard let count = try fields.integer(name) else { continue }
            guard count >= least else {
                throw APIError.invalid(name, "'\(name)' is \(count); an answer has at least \(least) token.")
            }
            counts.append(count)
        }
        return counts.first
    }

    private static func count(_ fields: Fields) throws -> Int {
        let count = try fields.integer("n") ?? 1
        guard count >= 1 else { throw APIError.invalid("n", "'n' is \(count); ask for at least 1 answer.") }
        if let best = try fields.integer("best_of"), best != count {
            throw APIError.invalid(
                "best_of", "'best_of' is not supported with this value: leave it out or send \(count).",
                code: "unsupported_field")
        }
        return count
    }

    private static func sampling(_ fields: Fields) throws -> SamplingParameters {
        var sampling = SamplingParameters()
        if let value = try fields.number("temperature") { sampling.temperature = Float(value) }
        if let value = try fields.number("top_p") { sampling.topP = Float(value) }
        if let value = try fields.number("min_p") { sampling.minP = Float(value) }
        // Other servers write "off" as -1.
        if let value = try fields.integer("top_k") { sampling.topK = value == -1 ? 0 : value }
        if let value = try fields.integer("seed") { sampling.seed = UInt64(bitPattern: Int64(value)) }
        do {
            try sampling.validate()
        } catch {
            throw APIError.invalid(error.field, "'\(error.field)' is \(error.value); allowed is \(error.allowed).")
        }
        return sampling
    }

    /// Stop strings of one request, and bytes of one of them.
    private static let mostStops = 64
    private static let longestStop = 1024

    private static func stops(_ fields: Fields) throws -> [String] {
        guard fields.has("stop") else { return [] }
        let stops: [String]
        if let one = try? fields.string("stop") {
            stops = [one]
        } else {
            stops = try fields.value("stop", expected: "a string or an array of strings") ?? []
        }
        guard stops.count <= mostStops else {
            throw APIError.invalid("stop", "'stop' holds \(stops.count) strings; at most \(mostStops) are allowed.")
        }
        // Every byte of an answer is held against every stop.
        if let long = stops.first(where: { $0.utf8.count > longestStop }) {
            throw APIError.invalid(
                "stop", "'stop' holds a string of \(long.utf8.count) bytes; at most \(longestStop) are allowed.")
        }
        if stops.contains("") {
            throw APIError.invalid("stop", "'stop' holds an empty string, which would end every answer at once.")
        }
        return stops
    }
}
