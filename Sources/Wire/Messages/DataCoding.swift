// Data messages to protobuf and back.

import OutsideText

/// Ids that fit the engine's 32-bit integers.
private func integers(_ values: [UInt32], _ field: String) throws(MessageError) -> [Int32] {
    guard values.allSatisfy({ $0 <= UInt32(Int32.max) }) else { throw MessageError(field, "an id is out of range") }
    return values.map { Int32(bitPattern: $0) }
}

private func words(_ values: [Int32]) -> [UInt32] { values.map { UInt32(bitPattern: $0) } }

extension Winnow_Wire_V3_Sampling {
    fileprivate init(_ sampling: WireSampling) {
        self.init()
        temperature = sampling.temperature
        topK = UInt32(clamping: sampling.topK)
        topP = sampling.topP
        minP = sampling.minP
        seed = sampling.seed
        if let count = sampling.topLogProbabilities { topLogProbabilities = UInt32(clamping: count) }
    }
}

extension WireSampling {
    fileprivate init(_ message: Winnow_Wire_V3_Sampling) {
        self.init(
            temperature: message.temperature, topK: Int(message.topK), topP: message.topP, minP: message.minP,
            seed: message.seed,
            topLogProbabilities: message.hasTopLogProbabilities ? Int(message.topLogProbabilities) : nil)
    }
}

extension Winnow_Wire_V3_Segment {
    fileprivate init(_ segment: WireSegment) {
        self.init()
        request = segment.request
        positions = words(segment.positions)
        tokens = words(segment.tokens)
        sample = segment.sample
        step = UInt32(clamping: segment.step)
        targets = words(segment.targets)
        decoded = UInt32(clamping: segment.decoded)
        cached = UInt32(clamping: segment.cached)
        drafts = words(segment.drafts)
        if let opening = segment.opening {
            self.opening.kvRows = UInt32(clamping: opening.kvRows)
            self.opening.sampling = Winnow_Wire_V3_Sampling(opening.sampling)
            self.opening.topTargets = UInt32(clamping: opening.topTargets)
        }
    }
}

extension WireSegment {
    fileprivate init(_ message: Winnow_Wire_V3_Segment, _ place: String) throws(MessageError) {
        var opening: Opening?
        if message.hasOpening {
            guard message.opening.hasSampling else { throw MessageError("\(place).opening.sampling", "missing") }
            opening = Opening(
                kvRows: Int(message.opening.kvRows), sampling: WireSampling(message.opening.sampling),
                topTargets: Int(message.opening.topTargets))
        }
        self.init(
            request: message.request, positions: try integers(message.positions, "\(place).positions"),
            tokens: try integers(message.tokens, "\(place).tokens"), opening: opening, sample: message.sample,
            step: Int(message.step), targets: try integers(message.targets, "\(place).targets"),
            decoded: Int(message.decoded), cached: Int(message.cached),
            drafts: try integers(message.drafts, "\(place).drafts"))
    }
}

extension Winnow_Wire_V3_Failure {
    fileprivate init(_ failure: WireFailure) {
        self.init()
        request = failure.request
        reason = failure.reason
    }
}

extension WireFailure {
    fileprivate init(_ message: Winnow_Wire_V3_Failure) {
        self.init(request: message.request, reason: message.reason.shown(upTo: 1000))
    }
}

extension Winnow_Wire_V3_StageTime {
    fileprivate init(_ time: WireStageTime) {
        self.init()
        received = time.received
        started = time.started
    }
}

extension WireStageTime {
    fileprivate init(_ message: Winnow_Wire_V3_StageTime) {
        self.init(received: message.received, started: message.started)
    }
}

extension Winnow_Wire_V3_MicroBatch {
    init(_ microBatch: WireMicroBatch) {
        self.init()
        id = microBatch.id
        segments = microBatch.segments.map { Winnow_Wire_V3_Segment($0) }
        stageMicroseconds = microBatch.stageMicroseconds
        failures = microBatch.failures.map { Winnow_Wire_V3_Failure($0) }
        stageTimes = microBatch.stageTimes.map { Winnow_Wire_V3_StageTime($0) }
    }
}

extension WireMicroBatch {
    init(_ message: Winnow_Wire_V3_MicroBatch) throws(MessageError) {
        var segments: [WireSegment] = []
        segments.reserveCapacity(message.segments.count)
        for (index, segment) in message.segments.enumerated() {
            segments.append(try WireSegment(segment, "micro_batch.segments[\(index)]"))
        }
        self.init(
            id: message.id, segments: segments, stageMicroseconds: message.stageMicroseconds,
            failures: message.failures.map { WireFailure($0) },
            stageTimes: message.stageTimes.map { WireStageTime($0) })
    }
}

extension Winnow_Wire_V3_Sample {
    fileprivate init(_ sample: WireSample) {
        self.init()
        request = sample.request
        step = UInt32(clamping: sample.step)
        token = UInt32(bitPattern: sample.token)
        logProbability = sample.logProbability
        topTokens = words(sample.topTokens)
        topLogProbabilities = sample.topLogProbabilities
    }
}

extension WireSample {
    fileprivate init(_ message: Winnow_Wire_V3_Sample, _ place: String) throws(MessageError) {
        guard message.topTokens.count == message.topLogProbabilities.count else {
            throw MessageError("\(place).top_tokens", "as many as log-probabilities expected")
        }
        self.init(
            request: message.request, step: Int(message.step),
            token: try integers([message.token], "\(place).token")[0],
            logProbability: message.logProbability, topTokens: try integers(message.topTokens, "\(place).top_tokens"),
            topLogProbabilities: message.topLogProbabilities)
    }
}

extension Winnow_Wire_V3_Outcome {
    init(_ outcome: WireOutcome) {
        self.init()
        microBatch = outcome.microBatch
        samples = outcome.samples.map { Winnow_Wire_V3_Sample($0) }
        targets = outcome.targets.map { Winnow_Wire_V3_Sample($0) }
        stageMicroseconds = outcome.stageMicroseconds
        failures = outcome.failures.map { Winnow_Wire_V3_Failure($0) }
        stageTimes = outcome.stageTimes.map { Winnow_Wire_V3_StageTime($0) }
    }
}

extension WireOutcome {
    init(_ message: Winnow_Wire_V3_Outcome) throws(MessageError) {
        var samples: [WireSample] = []
        var targets: [WireSample] = []
        for (index, sample) in message.samples.enumerated() {
            samples.append(try WireSample(sample, "outcome.samples[\(index)]"))
        }
        for (index, sample) in message.targets.enumerated() {
            targets.append(try WireSample(sample, "outcome.targets[\(index)]"))
        }
        self.init(
            microBatch: message.microBatch, samples: samples, targets: targets,
            stageMicroseconds: message.stageMicroseconds, failures: message.failures.map { WireFailure($0) },
            stageTimes: message.stageTimes.map { WireStageTime($0) })
    }
}

extension Winnow_Wire_V3_Score {
    init(_ score: WireScore) {
        self.init()
        request = score.request
        prompt = words(score.prompt)
        lookAhead = UInt32(clamping: score.lookAhead)
        pool = UInt32(clamping: score.pool)
        sparseAttention = score.isSparse
        mostKeys = score.mostKeys ?? 0
    }
}

extension WireScore {
    init(_ message: Winnow_Wire_V3_Score) throws(MessageError) {
        self.init(
            request: message.request, prompt: try integers(message.prompt, "score.prompt"),
            lookAhead: Int(message.lookAhead), pool: Int(message.pool), isSparse: message.sparseAttention,
            mostKeys: message.mostKeys == 0 ? nil : message.mostKeys)
    }
}

extension Winnow_Wire_V3_Scored {
    init(_ scored: WireScored) {
        self.init()
        request = scored.request
        error = scored.error ?? ""
        microseconds = scored.microseconds
        time = Winnow_Wire_V3_StageTime(scored.time)
    }
}

extension WireScored {
    init(_ message: Winnow_Wire_V3_Scored) {
        self.init(
            request: message.request, error: message.error.isEmpty ? nil : message.error.shown(upTo: 1000),
            microseconds: message.microseconds, time: WireStageTime(message.time))
    }
}
