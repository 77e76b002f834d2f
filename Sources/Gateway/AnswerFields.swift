// The fields that completions and chat completions share.

import Transformer

/// How to answer, as the request says it; what it leaves out is `nil` or OpenAI's default.
struct AnswerFields: Sendable {
    static let names: Set<String> = [
        "model", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "stream", "stream_options", "ignore_eos",
        "logprobs", "max_tokens", SpeculationField.name,
    ]

    var model: String
    var sampling: SamplingParameters
    var stop: [String]
    var stream: Bool
    /// The stream ends with an event that holds the usage.
    var includeUsage: Bool
    var ignoreEOS: Bool
    var speculation: SpeculationField?

    /// Reads the shared fields; `own` are the names only this endpoint has.
    init(_ fields: Fields, own: Set<String>) throws {
        let known = Self.names.union(own).union(UnsupportedFields.ignored).union(UnsupportedFields.neutral.keys)
        try fields.refuseUnknown(known) { name in
            SpeculationField.names.contains(name)
                ? "It belongs inside '\(SpeculationField.name)'." : "Check its spelling."
        }
        try UnsupportedFields.refuse(in: fields)
        guard let model = try fields.string("model") else {
            throw APIError.invalid("model", "'model' is missing: GET /v1/models lists what is served.")
        }
        self.model = model
        sampling = try Self.sampling(fields)
        stop = try Self.stops(fields)
        stream = try fields.boolean("stream") ?? false
        includeUsage = try Self.includeUsage(fields, stream: stream)
        ignoreEOS = try fields.boolean("ignore_eos") ?? false
        speculation = try fields.value(SpeculationField.name, expected: "true, false or an object")
    }

    /// Reads how many tokens the answer may have; at most one of `names` may say it.
    static func maxTokens(_ fields: Fields, names: [String]) throws -> Int? {
        let said = names.filter(fields.has)
        guard let name = said.first else { return nil }
        guard said.count == 1 else {
            throw APIError.invalid(said[1], "'\(said[0])' and '\(said[1])' say the same: send one of them.")
        }
        guard let count = try fields.integer(name) else { return nil }
        guard count >= 1 else {
            throw APIError.invalid(name, "'\(name)' is \(count); an answer has at least 1 token.")
        }
        return count
    }

    private static func sampling(_ fields: Fields) throws -> SamplingParameters {
        var sampling = SamplingParameters(seed: UInt64.random(in: .min ... .max))
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

    private static func stops(_ fields: Fields) throws -> [String] {
        guard fields.has("stop") else { return [] }
        let stops: [String]
        if let one = try? fields.string("stop") {
            stops = [one]
        } else {
            stops = try fields.value("stop", expected: "a string or an array of up to 4 strings") ?? []
        }
        guard stops.count <= 4 else {
            throw APIError.invalid("stop", "'stop' holds \(stops.count) strings; at most 4 are allowed.")
        }
        if stops.contains("") {
            throw APIError.invalid("stop", "'stop' holds an empty string, which would end every answer at once.")
        }
        return stops
    }

    private static func includeUsage(_ fields: Fields, stream: Bool) throws -> Bool {
        let options: StreamOptions? = try fields.value("stream_options", expected: "an object")
        guard let options else { return false }
        guard stream else {
            throw APIError.invalid("stream_options", "'stream_options' has a meaning only when 'stream' is true.")
        }
        return options.includeUsage
    }

    private struct StreamOptions: Decodable {
        var includeUsage: Bool

        init(from decoder: any Decoder) throws {
            let fields = try Fields(decoder, called: "stream_options")
            // Obfuscation pads events against eavesdroppers; leaving it out changes no answer.
            try fields.refuseUnknown(["include_usage", "include_obfuscation"])
            includeUsage = try fields.boolean("include_usage") ?? false
        }
    }
}
