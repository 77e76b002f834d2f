// How a token is drawn from logits, and the check of values that come from outside.

/// How the next token is drawn from the logits of one row.
///
/// The filters apply in this order, each on what the one before left: temperature, top-k, top-p, min-p.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits, 0...2. 0 is greedy: the largest logit, the lowest id among equals.
    public var temperature: Float
    /// Keeps the k most likely tokens; 0 keeps all.
    public var topK: Int
    /// Keeps the smallest set of most likely tokens whose probabilities reach this sum, 0...1; 1 keeps all, 0 only
    /// the most likely one.
    public var topP: Float
    /// Keeps tokens at least this many times as likely as the most likely one, 0...1; 0 keeps all.
    public var minP: Float
    /// With the step, decides the draw: the same seed and step on the same logits give the same token.
    public var seed: UInt64
    /// How many of the most likely tokens to report, 0...20; nil reports none.
    public var topLogProbabilities: Int?

    /// Sampling from the whole distribution unless told otherwise. Values are not checked here: see ``validate()``.
    public init(
        temperature: Float = 1, topK: Int = 0, topP: Float = 1, minP: Float = 0, seed: UInt64 = 0,
        topLogProbabilities: Int? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.seed = seed
        self.topLogProbabilities = topLogProbabilities
    }

    /// Throws for the first field outside its range; NaN is outside every range.
    public func validate() throws(SamplingError) {
        guard temperature >= 0, temperature <= 2 else {
            throw SamplingError(field: "temperature", value: "\(temperature)", allowed: "0 to 2")
        }
        guard topK >= 0 else {
            throw SamplingError(field: "top_k", value: "\(topK)", allowed: "0 (off) or more")
        }
        guard topP >= 0, topP <= 1 else {
            throw SamplingError(field: "top_p", value: "\(topP)", allowed: "0 to 1")
        }
        guard minP >= 0, minP <= 1 else {
            throw SamplingError(field: "min_p", value: "\(minP)", allowed: "0 to 1")
        }
        if let topLogProbabilities, !(0...20).contains(topLogProbabilities) {
            throw SamplingError(field: "top_logprobs", value: "\(topLogProbabilities)", allowed: "0 to 20")
        }
    }
}

/// A sampling parameter outside its range.
public struct SamplingError: Error, CustomStringConvertible, Sendable, Equatable {
    /// The field, as requests spell it.
    public var field: String
    /// The value found.
    public var value: String
    /// The values allowed, in words.
    public var allowed: String

    /// Names a parameter outside its range.
    public init(field: String, value: String, allowed: String) {
        self.field = field
        self.value = value
        self.allowed = allowed
    }

    /// `field is value: allowed is range`.
    public var description: String { "\(field) is \(value): allowed is \(allowed)" }
}

/// A token with the model's own log-probability for it.
public struct TokenLogProbability: Sendable, Equatable {
    /// The token id.
    public var token: Int32
    /// Natural logarithm of the probability, before temperature and filters.
    public var logProbability: Float

    /// Pairs a token with its log-probability.
    public init(token: Int32, logProbability: Float) {
        self.token = token
        self.logProbability = logProbability
    }
}

/// What ``Sampler`` drew.
public struct SampledToken: Sendable, Equatable {
    /// The token id.
    public var token: Int32
    /// Natural logarithm of its probability, before temperature and filters.
    public var logProbability: Float
    /// The most likely tokens, best first; empty unless they were asked for.
    public var top: [TokenLogProbability]

    /// A drawn token.
    public init(token: Int32, logProbability: Float, top: [TokenLogProbability] = []) {
        self.token = token
        self.logProbability = logProbability
        self.top = top
    }
}
