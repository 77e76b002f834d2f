import Transformer
import Wire

extension SamplingParameters {
    /// As they came with a request's first segment; not yet validated.
    init(_ message: SamplingMessage) {
        self.init(
            temperature: message.temperature, topK: Int(message.topK), topP: message.topP, minP: message.minP,
            seed: message.seed,
            topLogProbabilities: message.hasTopLogProbabilities ? Int(message.topLogProbabilities) : nil)
    }
}

extension SampleMessage {
    /// What is said of a request whose logits are not finite, so that no token was drawn: a log-probability that is no
    /// number.
    static func withoutToken(request: UInt64, step: Int) -> SampleMessage {
        var message = SampleMessage()
        message.request = request
        message.step = UInt32(step)
        message.logProbability = .nan
        return message
    }

    init(request: UInt64, step: Int, token: SampledToken) {
        self.init()
        self.request = request
        self.step = UInt32(step)
        self.token = UInt32(bitPattern: token.token)
        logProbability = token.logProbability
        topTokens = token.top.map { UInt32(bitPattern: $0.token) }
        topLogProbabilities = token.top.map(\.logProbability)
    }
}
