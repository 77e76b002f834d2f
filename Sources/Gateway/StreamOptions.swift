// What a streamed answer says besides its text.

/// The field `stream_options`.
struct StreamOptions: Decodable, Sendable, Equatable {
    /// The stream ends with an event that holds the usage.
    var includeUsage = false
    /// Every event holds the usage so far, as vLLM has it.
    var continuousUsage = false

    init() {}

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "stream_options")
        // Obfuscation pads events against eavesdroppers; leaving it out changes no answer.
        try fields.refuseUnknown(["include_usage", "continuous_usage_stats", "include_obfuscation"])
        includeUsage = try fields.boolean("include_usage") ?? false
        continuousUsage = try fields.boolean("continuous_usage_stats") ?? false
    }

    /// Reads the field of a request, which may have it only where the answer streams.
    static func read(_ fields: Fields, stream: Bool) throws -> StreamOptions {
        let options: StreamOptions? = try fields.value("stream_options", expected: "an object")
        guard let options else { return StreamOptions() }
        guard stream else {
            throw APIError.invalid("stream_options", "'stream_options' has a meaning only when 'stream' is true.")
        }
        return options
    }
}
