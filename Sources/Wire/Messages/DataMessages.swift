// What travels along a pipeline.

/// How a request's tokens are drawn, as the wire carries it.
package struct WireSampling: Equatable, Sendable {
    package var temperature: Float
    package var topK: Int
    package var topP: Float
    package var minP: Float
    package var seed: UInt64
    /// Alternatives to report with each token; `nil`: none.
    package var topLogProbabilities: Int?

    package init(
        temperature: Float, topK: Int, topP: Float, minP: Float, seed: UInt64, topLogProbabilities: Int?
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.seed = seed
        self.topLogProbabilities = topLogProbabilities
    }
}

/// The rows of one request in a micro-batch.
package struct WireSegment: Equatable, Sendable {
    package struct Opening: Equatable, Sendable {
        /// Rows of KV cache the request may come to hold.
        package var kvRows: Int
        package var sampling: WireSampling
        /// Most probable alternatives to report with each target.
        package var topTargets: Int

        package init(kvRows: Int, sampling: WireSampling, topTargets: Int = 0) {
            self.kvRows = kvRows
            self.sampling = sampling
            self.topTargets = topTargets
        }
    }

    package var request: UInt64
    /// One a row.
    package var positions: [Int32]
    /// One a row; to stage 0 only.
    package var tokens: [Int32]
    /// In a request's first segment.
    package var opening: Opening?
    /// Sample the last row, that before the drafts, as the request's `step`-th token.
    package var sample: Bool
    package var step: Int
    /// The prompt tokens to score: for each row but a sampled one the token that follows it, or none at all.
    package var targets: [Int32]
    /// The last so many rows were decoded one by one, and are to be computed as then.
    package var decoded: Int
    /// Rows of the request that its KV caches hold before these: what they hold beyond is forgotten.
    package var cached: Int
    /// Guesses of the tokens to be sampled, each with a row at the segment's end; at most ``Protocol/maxDrafts``. The row
    /// before them is sampled, and one of them after the other as long as the token guessed for it was.
    package var drafts: [Int32]

    package init(
        request: UInt64, positions: [Int32], tokens: [Int32] = [], opening: Opening? = nil, sample: Bool = false,
        step: Int = 0, targets: [Int32] = [], decoded: Int = 0, cached: Int = 0, drafts: [Int32] = []
    ) {
        self.cached = cached
        self.drafts = drafts
        self.decoded = decoded
        self.request = request
        self.positions = positions
        self.tokens = tokens
        self.opening = opening
        self.sample = sample
        self.step = step
        self.targets = targets
    }
}

/// A request whose segment could not be computed.
package struct WireFailure: Equatable, Sendable {
    package var request: UInt64
    package var reason: String

    package init(request: UInt64, reason: String) {
        self.request = request
        self.reason = reason
    }
}

/// When a stage got a message and when it began with it, by its own clock, microseconds.
package struct WireStageTime: Equatable, Sendable {
    package var received: UInt64
    package var started: UInt64

    package init(received: UInt64 = 0, started: UInt64 = 0) {
        self.received = received
        self.started = started
    }
}

/// Token rows of several requests. Behind stage 0 a tensor goes with it: rows x hidden.
package struct WireMicroBatch: Equatable, Sendable {
    package var id: UInt64
    package var segments: [WireSegment]
    /// Compute time of each stage passed.
    package var stageMicroseconds: [UInt64]
    package var failures: [WireFailure]
    /// Of each stage passed.
    package var stageTimes: [WireStageTime]

    package init(
        id: UInt64, segments: [WireSegment], stageMicroseconds: [UInt64] = [], failures: [WireFailure] = [],
        stageTimes: [WireStageTime] = []
    ) {
        self.stageTimes = stageTimes
        self.id = id
        self.segments = segments
        self.stageMicroseconds = stageMicroseconds
        self.failures = failures
    }

    package var rows: Int { segments.reduce(0) { $0 + $1.positions.count } }
}

/// A token that was drawn or scored.
package struct WireSample: Equatable, Sendable {
    package var request: UInt64
    package var step: Int
    package var token: Int32
    /// NaN: the logits were not finite, and the request cannot go on.
    package var logProbability: Float
    package var topTokens: [Int32]
    package var topLogProbabilities: [Float]

    package init(
        request: UInt64, step: Int, token: Int32, logProbability: Float, topTokens: [Int32] = [],
        topLogProbabilities: [Float] = []
    ) {
        self.request = request
        self.step = step
        self.token = token
        self.logProbability = logProbability
        self.topTokens = topTokens
        self.topLogProbabilities = topLogProbabilities
    }
}

/// What a micro-batch came to at the last stage.
package struct WireOutcome: Equatable, Sendable {
    package var microBatch: UInt64
    package var samples: [WireSample]
    package var targets: [WireSample]
    package var stageMicroseconds: [UInt64]
    package var failures: [WireFailure]
    package var stageTimes: [WireStageTime]

    package init(
        microBatch: UInt64, samples: [WireSample] = [], targets: [WireSample] = [], stageMicroseconds: [UInt64] = [],
        failures: [WireFailure] = [], stageTimes: [WireStageTime] = []
    ) {
        self.stageTimes = stageTimes
        self.microBatch = microBatch
        self.samples = samples
        self.targets = targets
        self.stageMicroseconds = stageMicroseconds
        self.failures = failures
    }
}

/// A prompt for a speculator.
package struct WireScore: Equatable, Sendable {
    package var request: UInt64
    package var prompt: [Int32]
    package var lookAhead: Int
    package var pool: Int
    /// Whether a long prompt may be read with block-sparse attention.
    package var isSparse: Bool
    /// The most keys a row looks at then, as a share of those before it; nil leaves it to the speculator.
    package var mostKeys: Float?

    package init(
        request: UInt64, prompt: [Int32], lookAhead: Int, pool: Int, isSparse: Bool = false, mostKeys: Float? = nil
    ) {
        self.isSparse = isSparse
        self.mostKeys = mostKeys
        self.request = request
        self.prompt = prompt
        self.lookAhead = lookAhead
        self.pool = pool
    }
}

/// What a speculator made of it; without an error a tensor goes with it: a Float32 for each token of the prompt.
package struct WireScored: Equatable, Sendable {
    package var request: UInt64
    package var error: String?
    package var microseconds: UInt64
    package var time: WireStageTime

    package init(
        request: UInt64, error: String? = nil, microseconds: UInt64 = 0, time: WireStageTime = WireStageTime()
    ) {
        self.time = time
        self.request = request
        self.error = error
        self.microseconds = microseconds
    }
}
