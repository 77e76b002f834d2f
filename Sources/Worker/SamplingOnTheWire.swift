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
